"""``op.create_blind_index`` and ``op.drop_blind_index``."""

from __future__ import annotations

from functools import partial
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from alembic_ext import state
from alembic_ext.columnop import ColumnOp
from alembic_ext.columns import add_sealed, drop_terms
from alembic_ext.declared import pinned
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, IndexFill

__all__ = ["CreateBlindIndexOp", "DropBlindIndexOp"]


class _BlindIndexOp(ColumnOp):
    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        schema: str | None = None,
    ) -> None:
        if type_.index is None:
            raise CommandError(
                f"{table_name}.{column_name}: the type declares no index; write "
                "EncryptedType(..., index=BlindIndex(...)), as in the model"
            )
        super().__init__(table_name, column_name, type_, schema)


@Operations.register_operation("create_blind_index")
class CreateBlindIndexOp(_BlindIndexOp):
    """Add and fill the columns of a blind index.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration, with ``index=BlindIndex(...)``.
        schema: of the table.

    """

    name = "create_blind_index"

    @classmethod
    def create_blind_index(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Add the columns of a blind index, and compute the terms of every row.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration, with ``index=BlindIndex(...)``.
            schema: of the table.

        Raises:
            CommandError: a value could not be opened, or the type has no index.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.same_column(DropBlindIndexOp)


@Operations.register_operation("drop_blind_index")
class DropBlindIndexOp(_BlindIndexOp):
    """Drop the columns of a blind index.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration, with the index that goes.
        schema: of the table.

    """

    name = "drop_blind_index"

    @classmethod
    def drop_blind_index(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Drop the columns of a blind index; the sealed values stay.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration, with the index that goes.
            schema: of the table.

        Raises:
            CommandError: the type has no index.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.same_column(CreateBlindIndexOp)


@Operations.implementation_for(CreateBlindIndexOp)
def _create(operations: Operations, op: CreateBlindIndexOp) -> None:
    add_sealed(operations, op.table_name, op.column_name, op.type_, op.schema)
    if is_offline(operations):
        leave_gap(operations, "sealed fill-index MODULE:MODEL")
        return
    run_job(operations, partial(_job, op=op))
    state.record(operations, op.table_name, op.column_name, op.type_, op.schema)


def _job(engine: Any, op: CreateBlindIndexOp, **options: Any) -> IndexFill:
    kinds = {op.column_name: op.type_}
    table = table_of(engine, op.table_name, op.schema, kinds)
    return IndexFill(engine, table, **options)


@Operations.implementation_for(DropBlindIndexOp)
def _drop(operations: Operations, op: DropBlindIndexOp) -> None:
    drop_terms(operations, op.table_name, op.column_name, op.type_, op.schema)
    if not is_offline(operations):
        without = pinned(op.type_, op.type_.context, index=False)
        state.record(operations, op.table_name, op.column_name, without, op.schema)
