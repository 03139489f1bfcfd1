"""``op.encrypt_column``: plaintext becomes ciphertext."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from alembic_ext import state
from alembic_ext.alone import alone_with
from alembic_ext.batch import batch_alter
from alembic_ext.blindindex import CreateBlindIndexOp
from alembic_ext.columnop import ValuesOp
from alembic_ext.columns import add_sealed
from alembic_ext.declared import of_field, pinned
from alembic_ext.inplace import is_in_place, make_room
from alembic_ext.moving import check_keys, is_offline
from alembic_ext.pair import encrypt_pair, is_done
from alembic_ext.preflight import check_in_place
from alembic_ext.strategy import Strategy
from alembic_ext.swap import moving, swap
from alembic_ext.table import columns_of
from sqlalchemy_sealed import BlindIndex, EncryptedType
from sqlalchemy_sealed.former import Legacy, legacy_of

__all__ = ["EncryptColumnOp"]


@Operations.register_operation("encrypt_column")
class EncryptColumnOp(ValuesOp):
    """Seal the values of a column.

    Attributes:
        table_name: the table.
        column_name: the column with the plaintext.
        type_: the declaration of the sealed column, as in the model. Without
            ``context=`` its field id is the table and the sealed column.
        into: the sealed column; ``None`` keeps the name.
        schema: of the table.
        nullable: whether the sealed column may hold NULL.
        drop: whether the plaintext column is dropped when every value is sealed.
        legacy: formats of another library that the column holds instead of plaintext.
        strategy: that was asked for; ``None`` takes the one that fits.

    """

    name = "encrypt_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
        nullable: bool = True,
        legacy: Legacy = (),
        strategy: Strategy | None = None,
    ) -> None:
        self.legacy = legacy_of(legacy) or type_.legacy
        plain = pinned(type_, None) if type_.legacy or type_.policy else type_
        super().__init__(table_name, column_name, plain, into, schema, drop, strategy)
        self.nullable = nullable

    @classmethod
    def encrypt_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
        nullable: bool = True,
        legacy: Legacy = (),
        strategy: Strategy | None = None,
    ) -> None:
        """Seal the values of a column, into another one or under its own name.

        The sealed column is added if it is not there. Rows are moved in batches that
        are committed one by one, after what the revision did before; a revision that
        is killed goes on when it is applied again.

        Args:
            table_name: the table.
            column_name: the column with the plaintext.
            type_: the declaration of the sealed column, as in the model.
            into: the sealed column. Without it the column keeps its name: with
                ``storage="text"`` values change in place, otherwise another column is
                filled, and takes its place at the end.
            schema: of the table.
            drop: drop the plaintext column at the end. Values are kept otherwise, for
                the application that still reads them.
            nullable: whether the sealed column may hold NULL at the end.
            legacy: formats of ``sqlalchemy_sealed.legacy`` that the column holds
                instead of plaintext. A binary column of theirs is sealed in place. The
                way back gives plaintext: readers do not write.
            strategy: ``"expand-contract"`` (with ``into=``), ``"swap"`` (another
                column is filled and takes the name) or ``"in-place"`` (a character
                column, ``storage="text"``, after a look at what is in the way).

        Raises:
            CommandError: the strategy does not fit, or something is in its way, and
                nothing was written; or a value could not be moved.

        """
        place = table_name, column_name, type_, into, schema, drop
        operations.invoke(cls(*place, nullable, legacy, strategy))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        from alembic_ext.decrypt import DecryptColumnOp  # noqa: PLC0415 - each other

        into = None if self.into is None else self.column_name
        drop = into is not None
        return DecryptColumnOp(
            self.table_name,
            self.target,
            self.type_,
            into,
            self.schema,
            drop,
            self.strategy,
            self.nullable,
        )


@Operations.implementation_for(EncryptColumnOp)
def _encrypt(operations: Operations, op: EncryptColumnOp) -> None:
    check_keys(operations)
    if not is_offline(operations):
        # Left by the way back, whose revision has been written down by now.
        state.forget(operations, op.table_name, moving(op.target), op.schema)
    with alone_with(operations, op.table_name, op.schema):
        if not is_done(operations, op):
            _encrypt_alone(operations, op)
    if not is_offline(operations):
        state.record(operations, op.table_name, op.target, op.type_, op.schema)


def _encrypt_alone(operations: Operations, op: EncryptColumnOp) -> None:
    if op.into is not None:
        _into_another(operations, op)
    else:
        _under_its_name(operations, op)
    if op.into is not None and not op.nullable:
        with batch_alter(operations, op.table_name, op.schema) as batch:
            batch.alter_column(op.into, existing_type=op.type_, nullable=False)
    if op.into is not None and op.drop:
        operations.drop_column(op.table_name, op.column_name, schema=op.schema)


def _into_another(operations: Operations, op: EncryptColumnOp) -> None:
    assert op.into is not None  # noqa: S101 - that is what is asked for
    add_sealed(operations, op.table_name, op.into, op.type_, op.schema)
    context = f"{op.table_name}.{op.into}"
    kind = pinned(op.type_, context, legacy=op.legacy)
    encrypt_pair(operations, op, kind, op.column_name, op.into)


def _under_its_name(operations: Operations, op: EncryptColumnOp) -> None:
    place = op.table_name, op.column_name, op.schema
    kind = of_field(op.type_, op.table_name, op.column_name)
    if op.way == "in-place" or is_in_place(operations, op):
        check_in_place(operations, op)
        make_room(operations, *place, op.type_)
        # Terms are computed on the way: one run, that goes on if it is killed.
        add_sealed(operations, *place[:2], kind, op.schema, is_new=False)
        whole = pinned(kind, kind.context, legacy=op.legacy)
        encrypt_pair(operations, op, whole, op.column_name, op.column_name)
        return
    without = pinned(kind, kind.context, index=False, legacy=op.legacy)
    moved, index = without, op.type_.index
    if index is not None and not is_offline(operations):
        _check_terms(operations, op, index)
        # Terms are computed on the way: what they refuse is refused while the
        # plaintext is still in its place.
        own = replace(index, column=index.column_name(op.column_name, 1))
        moved = pinned(kind, kind.context, own, legacy=op.legacy)

    def fill(other: str) -> None:
        if moved.index is not None:
            add_sealed(operations, op.table_name, other, moved, op.schema)
        encrypt_pair(operations, op, moved, op.column_name, other, source_wins=True)

    swap(operations, *place, without, fill, op.column_name)
    if index is not None and moved.index is None:  # printed, and filled by a command
        create = CreateBlindIndexOp(op.table_name, op.column_name, kind, op.schema)
        operations.invoke(create)


def _check_terms(
    operations: Operations, op: EncryptColumnOp, index: BlindIndex
) -> None:
    """Refuse a table with another column of the name of the index.

    Raises:
        CommandError: nothing was begun yet, so that it is none of ours.

    """
    connection = operations.get_bind()
    known = columns_of(connection, op.table_name, op.schema)
    recorded = state.recorded(connection, op.table_name, op.schema)
    names = [index.column_name(op.column_name, v) for v in index.versions]
    found = [name for name in names if name in known]
    begun = moving(op.column_name) in known or op.column_name in recorded
    if found and not begun:
        raise CommandError(
            f"{op.table_name} has a column {', '.join(found)} already, and it is no "
            "index of ours: give the index another one, BlindIndex(column=...). "
            "Nothing was changed"
        )
