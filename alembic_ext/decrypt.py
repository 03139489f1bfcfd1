"""``op.decrypt_column``: the way back, truly."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.alone import alone_with
from alembic_ext.batch import batch_alter
from alembic_ext.blindindex import DropBlindIndexOp
from alembic_ext.columnop import ValuesOp
from alembic_ext.columns import drop_sealed
from alembic_ext.declared import of_field, pinned
from alembic_ext.inplace import restore
from alembic_ext.moving import check_keys, is_offline
from alembic_ext.pair import decrypt_pair, is_done
from alembic_ext.strategy import Strategy
from alembic_ext.swap import moving, swap
from alembic_ext.table import columns_of, plain_type
from sqlalchemy_sealed import EncryptedType

__all__ = ["DecryptColumnOp"]


@Operations.register_operation("decrypt_column")
class DecryptColumnOp(ValuesOp):
    """Open the values of a sealed column.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        into: the column for the plaintext; ``None`` keeps the name.
        schema: of the table.
        drop: whether the sealed column is dropped when every value is opened.
        strategy: that was asked for; ``None`` takes the one that fits.
        nullable: whether the column for the plaintext may hold NULL.
        source_wins: whether a plaintext that differs is written anew.

    """

    name = "decrypt_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
        strategy: Strategy | None = None,
        nullable: bool = True,
        source_wins: bool = False,
    ) -> None:
        super().__init__(table_name, column_name, type_, into, schema, drop, strategy)
        self.nullable = nullable
        self.source_wins = source_wins

    @classmethod
    def decrypt_column(
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
        strategy: Strategy | None = None,
        source_wins: bool = False,
    ) -> None:
        """Open the values of a sealed column, into another one or under its name.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration.
            into: the column for the plaintext, added if it is not there; without it
                the column itself is used.
            schema: of the table.
            drop: drop the sealed column at the end.
            nullable: whether the column for the plaintext may hold NULL at the end.
            strategy: as of ``op.encrypt_column``.
            source_wins: overwrite a plaintext of ``into`` that differs: it is out of
                date where an application has written the sealed column only.
                Otherwise it stops the revision, and both are left.

        Raises:
            CommandError: the strategy does not fit, or a value could not be opened;
                nothing was dropped.

        """
        place = table_name, column_name, type_, into, schema, drop
        operations.invoke(cls(*place, strategy, nullable, source_wins))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        from alembic_ext.encrypt import EncryptColumnOp  # noqa: PLC0415 - each other

        into = None if self.into is None else self.column_name
        return EncryptColumnOp(
            self.table_name,
            self.target,
            self.type_,
            into,
            self.schema,
            strategy=self.strategy,
            nullable=self.nullable,
        )


@Operations.implementation_for(DecryptColumnOp)
def _decrypt(operations: Operations, op: DecryptColumnOp) -> None:
    place = op.table_name, op.column_name, op.schema
    check_keys(operations)
    with alone_with(operations, op.table_name, op.schema):
        if not is_done(operations, op):
            _decrypt_alone(operations, op)
    if not is_offline(operations):
        # What says that it was done stays: the rest of the revision may fail.
        state.forget(operations, *place)


def _decrypt_alone(operations: Operations, op: DecryptColumnOp) -> None:
    if op.into is None:
        _under_its_name(operations, op)
        return
    _add_plain(operations, op)
    wins = op.source_wins
    decrypt_pair(operations, op, op.type_, op.into, op.column_name, source_wins=wins)
    if not op.nullable:
        kind = plain_type(operations, op.type_.inner)
        with batch_alter(operations, op.table_name, op.schema) as batch:
            batch.alter_column(op.into, existing_type=kind, nullable=False)
    if op.drop:
        drop_sealed(operations, op.table_name, op.column_name, op.type_, op.schema)


def _under_its_name(operations: Operations, op: DecryptColumnOp) -> None:
    place = op.table_name, op.column_name, op.schema
    kind = of_field(op.type_, op.table_name, op.column_name)
    if op.type_.index is not None:
        drop = DropBlindIndexOp(op.table_name, op.column_name, kind, op.schema)
        operations.invoke(drop)
    without = pinned(kind, kind.context, index=False)
    if op.way == "in-place":
        decrypt_pair(operations, op, without, op.column_name, op.column_name)
        restore(operations, *place, op.type_.inner)
    else:
        fill = partial(
            decrypt_pair,
            operations,
            op,
            without,
            sealed=op.column_name,
            source_wins=True,
        )
        swap(operations, *place, op.type_.inner, fill, moving(op.column_name))


def _add_plain(operations: Operations, op: DecryptColumnOp) -> None:
    known: Collection[str] = ()
    if not is_offline(operations):
        known = columns_of(operations.get_bind(), op.table_name, op.schema)
    if op.into not in known:
        kind = plain_type(operations, op.type_.inner)
        plain: sa.Column[Any] = sa.Column(op.into, kind, nullable=True)
        operations.add_column(op.table_name, plain, schema=op.schema)
