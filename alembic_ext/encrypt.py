"""``op.encrypt_column``: plaintext becomes ciphertext."""

from __future__ import annotations

from functools import partial
from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.blindindex import CreateBlindIndexOp
from alembic_ext.columns import add_sealed
from alembic_ext.declared import of_field, pinned
from alembic_ext.inplace import make_room
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.swap import swap
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, Encryption

__all__ = ["EncryptColumnOp"]


@Operations.register_operation("encrypt_column")
class EncryptColumnOp(MigrateOperation):
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

    """

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
        nullable: bool = True,
    ) -> None:
        self.nullable = nullable
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
        nullable: bool = True,
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

        Raises:
            CommandError: a value could not be moved, or a column cannot hold both.

        """
        operations.invoke(
            cls(table_name, column_name, type_, into, schema, drop, nullable)
        )

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        from alembic_ext.decrypt import DecryptColumnOp  # noqa: PLC0415 - each other

        sealed, plain = self.into or self.column_name, self.column_name
        into = None if self.into is None else plain
        drop = into is not None
        return DecryptColumnOp(
            self.table_name, sealed, self.type_, into, self.schema, drop
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        name = self.into or self.column_name
        return ("encrypt_column", self.schema, self.table_name, self.column_name, name)


@Operations.implementation_for(EncryptColumnOp)
def _encrypt(operations: Operations, op: EncryptColumnOp) -> None:
    place = op.table_name, op.column_name, op.schema
    if op.into is not None:
        add_sealed(operations, op.table_name, op.into, op.type_, op.schema)
        _move(operations, op, op.type_, op.into)
    elif op.type_.storage == "text":
        make_room(operations, *place)
        _move(operations, op, op.type_, op.column_name)
    else:
        kind = of_field(op.type_, op.table_name, op.column_name)
        without = pinned(kind, kind.context, index=False)
        fill = partial(_move, operations, op, without)
        swap(operations, *place, without, fill, op.column_name)
        if op.type_.index is not None:
            operations.invoke(
                CreateBlindIndexOp(op.table_name, op.column_name, kind, op.schema)
            )
    if not is_offline(operations):
        sealed = op.into or op.column_name
        state.record(operations, op.table_name, sealed, op.type_, op.schema)
    if op.into is not None and not op.nullable:
        with operations.batch_alter_table(op.table_name, schema=op.schema) as batch:
            batch.alter_column(op.into, existing_type=op.type_, nullable=False)
    if op.into is not None and op.drop:
        operations.drop_column(op.table_name, op.column_name, schema=op.schema)


def _move(
    operations: Operations, op: EncryptColumnOp, kind: EncryptedType[Any], sealed: str
) -> None:
    if is_offline(operations):
        pair = op.column_name + ("" if sealed == op.column_name else f"={sealed}")
        leave_gap(operations, f"sealed encrypt MODULE:MODEL --column {pair}")
    else:
        run_job(operations, partial(_job, op=op, kind=kind, sealed=sealed))


def _job(
    engine: Any,
    op: EncryptColumnOp,
    kind: EncryptedType[Any],
    sealed: str,
    **options: Any,
) -> Encryption:
    kinds: dict[str, Any] = {sealed: kind.copy()}
    if sealed != op.column_name:
        kinds[op.column_name] = kind.inner
    table = table_of(engine, op.table_name, op.schema, kinds)
    return Encryption(engine, table, {op.column_name: sealed}, **options)
