"""``op.decrypt_column``: the way back, truly."""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.inplace import check_text, restore
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import column_names, table_of
from sqlalchemy_sealed import Decryption, EncryptedType

__all__ = ["DecryptColumnOp", "drop_sealed"]


@Operations.register_operation("decrypt_column")
class DecryptColumnOp(MigrateOperation):
    """Open the values of a sealed column.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        into: the column for the plaintext; ``None`` is in place.
        schema: of the table.
        drop: whether the sealed column is dropped when every value is opened.

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
    ) -> None:
        """Open the values of a sealed column, into another one or in place.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration.
            into: the column for the plaintext, added if it is not there; without it
                the column itself is used.
            schema: of the table.
            drop: drop the sealed column at the end.

        Raises:
            CommandError: a value could not be opened; nothing was dropped.

        """
        operations.invoke(cls(table_name, column_name, type_, into, schema, drop))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        from alembic_ext.encrypt import EncryptColumnOp  # noqa: PLC0415 - each other

        plain = self.into or self.column_name
        into = None if self.into is None else self.column_name
        return EncryptColumnOp(self.table_name, plain, self.type_, into, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        name = self.into or self.column_name
        return ("decrypt_column", self.schema, self.table_name, self.column_name, name)


@Operations.implementation_for(DecryptColumnOp)
def _decrypt(operations: Operations, op: DecryptColumnOp) -> None:
    offline = is_offline(operations)
    if op.into is None:
        check_text(f"{op.table_name}.{op.column_name}", op.type_)
    elif offline or op.into not in column_names(
        operations.get_bind(), op.table_name, op.schema
    ):
        plain: sa.Column[Any] = sa.Column(op.into, op.type_.inner, nullable=True)
        operations.add_column(op.table_name, plain, schema=op.schema)
    if offline:
        pair = op.column_name if op.into is None else f"{op.into}={op.column_name}"
        leave_gap(operations, f"sealed decrypt MODULE:MODEL --column {pair}")
    else:
        run_job(operations, partial(_job, op=op))
        state.forget(operations, op.table_name, op.column_name, op.schema)
    if op.into is None:
        restore(operations, op.table_name, op.column_name, op.type_.inner, op.schema)
    elif op.drop:
        drop_sealed(operations, op.table_name, op.column_name, op.type_, op.schema)


def _job(engine: Any, op: DecryptColumnOp, **options: Any) -> Decryption:
    plain = op.into or op.column_name
    kinds: dict[str, Any] = {op.column_name: op.type_.copy()}
    if op.into is not None:
        kinds[op.into] = op.type_.inner
    table = table_of(engine, op.table_name, op.schema, kinds)
    return Decryption(engine, table, {plain: op.column_name}, **options)


def drop_sealed(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Drop a sealed column, and those of its index."""
    declared = sa.Table(
        table, sa.MetaData(), sa.Column(column, type_.copy()), schema=schema
    )
    for index in declared.indexes:
        name = str(index.name)
        operations.drop_index(name, table_name=table, schema=schema)
    for one in reversed(declared.columns.values()):
        operations.drop_column(table, one.name, schema=schema)
