"""``op.record_sealed_column``: a column that is born sealed is remembered."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.columnop import ColumnOp
from alembic_ext.moving import is_offline
from sqlalchemy_sealed import EncryptedType

__all__ = ["ForgetSealedColumnOp", "RecordSealedColumnOp"]


@Operations.register_operation("record_sealed_column")
class RecordSealedColumnOp(ColumnOp):
    """Remember that a column is sealed, and move nothing.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.
        former: the declaration it had before, if it was sealed before.

    """

    name = "record_sealed_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        schema: str | None = None,
        former: EncryptedType[Any] | None = None,
    ) -> None:
        super().__init__(table_name, column_name, type_, schema)
        self.former = former

    @classmethod
    def record_sealed_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Remember that a new column is sealed: autogenerate cannot see it.

        Args:
            table_name: the table.
            column_name: the sealed column, which has no plaintext.
            type_: its declaration.
            schema: of the table.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        place = self.table_name, self.column_name
        if self.former is None:
            return ForgetSealedColumnOp(*place, self.schema)
        return RecordSealedColumnOp(*place, self.former, self.schema, self.type_)


@Operations.register_operation("forget_sealed_column")
class ForgetSealedColumnOp(MigrateOperation):
    """Forget a sealed column that is no longer there.

    Attributes:
        table_name: the table.
        column_name: the column.
        schema: of the table.

    """

    def __init__(
        self, table_name: str, column_name: str, schema: str | None = None
    ) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.schema = schema

    @classmethod
    def forget_sealed_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Forget a sealed column that goes, with its values.

        Args:
            table_name: the table.
            column_name: the column.
            schema: of the table.

        """
        operations.invoke(cls(table_name, column_name, schema))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("forget_sealed_column", self.schema, self.table_name, self.column_name)

    def reverse(self) -> MigrateOperation:
        """Return the same: what was forgotten has gone."""
        return ForgetSealedColumnOp(self.table_name, self.column_name, self.schema)


@Operations.implementation_for(RecordSealedColumnOp)
def _record(operations: Operations, op: RecordSealedColumnOp) -> None:
    if not is_offline(operations):
        state.record(operations, op.table_name, op.column_name, op.type_, op.schema)


@Operations.implementation_for(ForgetSealedColumnOp)
def _forget(operations: Operations, op: ForgetSealedColumnOp) -> None:
    if not is_offline(operations):
        state.forget(operations, op.table_name, op.column_name, op.schema)
