"""``op.encrypt_column``: plaintext becomes ciphertext."""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.inplace import check_text, make_room
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import column_names, table_of
from sqlalchemy_sealed import EncryptedType, Encryption

__all__ = ["EncryptColumnOp", "add_sealed"]


@Operations.register_operation("encrypt_column")
class EncryptColumnOp(MigrateOperation):
    """Seal the values of a column.

    Attributes:
        table_name: the table.
        column_name: the column with the plaintext.
        type_: the declaration of the sealed column, as in the model. Without
            ``context=`` its field id is the table and the sealed column.
        into: the sealed column; ``None`` is in place, in a character column.
        schema: of the table.
        drop: whether the plaintext column is dropped when every value is sealed.

    """

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
    ) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.type_ = type_
        self.into = into
        self.schema = schema
        self.drop = drop

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
    ) -> None:
        """Seal the values of a column, into another one or in place.

        The sealed column is added if it is not there. Rows are moved in batches that
        are committed one by one, after what the revision did before; a revision that
        is killed goes on when it is applied again.

        Args:
            table_name: the table.
            column_name: the column with the plaintext.
            type_: the declaration of the sealed column, as in the model.
            into: the sealed column; without it the column itself is used, in the text
                form.
            schema: of the table.
            drop: drop the plaintext column at the end. Values are kept otherwise, for
                the application that still reads them.

        Raises:
            CommandError: a value could not be moved, or a column cannot hold both.

        """
        operations.invoke(cls(table_name, column_name, type_, into, schema, drop))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        from alembic_ext.decrypt import DecryptColumnOp  # noqa: PLC0415 - each other

        sealed, plain = self.into or self.column_name, self.column_name
        into = None if self.into is None else plain
        return DecryptColumnOp(
            self.table_name, sealed, self.type_, into, self.schema, drop=True
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        name = self.into or self.column_name
        return ("encrypt_column", self.schema, self.table_name, self.column_name, name)


@Operations.implementation_for(EncryptColumnOp)
def _encrypt(operations: Operations, op: EncryptColumnOp) -> None:
    sealed = op.into or op.column_name
    if op.into is None:
        check_text(f"{op.table_name}.{op.column_name}", op.type_)
        make_room(operations, op.table_name, op.column_name, op.schema)
    else:
        add_sealed(operations, op.table_name, op.into, op.type_, op.schema)
    if is_offline(operations):
        pair = op.column_name + ("" if op.into is None else f"={op.into}")
        leave_gap(operations, f"sealed encrypt MODULE:MODEL --column {pair}")
    else:
        run_job(operations, partial(_job, op=op))
        state.record(operations, op.table_name, sealed, op.type_, op.schema)
    if op.into is not None and op.drop:
        operations.drop_column(op.table_name, op.column_name, schema=op.schema)


def _job(engine: Any, op: EncryptColumnOp, **options: Any) -> Encryption:
    sealed = op.into or op.column_name
    kinds: dict[str, Any] = {sealed: op.type_.copy()}
    if op.into is not None:
        kinds[op.column_name] = op.type_.inner
    table = table_of(engine, op.table_name, op.schema, kinds)
    return Encryption(engine, table, {op.column_name: sealed}, **options)


def add_sealed(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Add a sealed column, and those of its index, unless they are there."""
    known = set()
    if not is_offline(operations):
        known = column_names(operations.get_bind(), table, schema)
    declared = sa.Table(
        table, sa.MetaData(), sa.Column(column, type_.copy()), schema=schema
    )
    for one in declared.columns:
        if one.name in known:
            continue
        operations.add_column(
            table, sa.Column(one.name, one.type, nullable=True), schema=schema
        )
    for index in declared.indexes:
        if not {c.name for c in index.columns} <= known:
            names = [c.name for c in index.columns]
            unique = bool(index.unique)
            operations.create_index(
                index.name, table, names, schema=schema, unique=unique
            )
