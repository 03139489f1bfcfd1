"""``op.reencrypt_columns``: to the active key, or from another declaration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext import state
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.redeclared import backwards
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, Reencryption

__all__ = ["ReencryptColumnsOp"]


@Operations.register_operation("reencrypt_column")
@Operations.register_operation("reencrypt_columns")
class ReencryptColumnsOp(MigrateOperation):
    """Move sealed columns of a table to the active key and the present declaration.

    Attributes:
        table_name: the table.
        columns: declaration of each sealed column by name.
        schema: of the table.

    """

    def __init__(
        self,
        table_name: str,
        columns: Mapping[str, EncryptedType[Any]],
        schema: str | None = None,
    ) -> None:
        self.table_name = table_name
        self.columns = dict(columns)
        self.schema = schema

    @classmethod
    def reencrypt_columns(
        cls,
        operations: Operations,
        table_name: str,
        columns: Mapping[str, EncryptedType[Any]],
        *,
        schema: str | None = None,
    ) -> None:
        """Move sealed columns of a table to the active key, in one pass.

        Args:
            table_name: the table.
            columns: declaration of each sealed column by name. Values that look
                otherwise, of another suite or padding, are moved to it if it names
                the declaration they had: ``accepts=``.
            schema: of the table.

        Raises:
            CommandError: a value could not be moved, or old ones keep appearing.

        """
        operations.invoke(cls(table_name, columns, schema))

    @classmethod
    def reencrypt_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Move one sealed column of a table to the active key.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration; see ``op.reencrypt_columns``.
            schema: of the table.

        Raises:
            CommandError: a value could not be moved, or old ones keep appearing.

        """
        operations.invoke(cls(table_name, {column_name: type_}, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back: whichever key is active then, is the one to move to."""
        former = {name: backwards(type_) for name, type_ in self.columns.items()}
        return ReencryptColumnsOp(self.table_name, former, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("reencrypt_columns", self.schema, self.table_name, [*self.columns])


@Operations.implementation_for(ReencryptColumnsOp)
def _reencrypt(operations: Operations, op: ReencryptColumnsOp) -> None:
    if is_offline(operations):
        leave_gap(operations, "sealed reencrypt MODULE:MODEL")
        return
    run_job(operations, partial(_job, op=op))
    for name, type_ in op.columns.items():
        state.change(operations, op.table_name, name, type_, op.schema)


def _job(engine: Any, op: ReencryptColumnsOp, **options: Any) -> Reencryption:
    table = table_of(engine, op.table_name, op.schema, op.columns)
    return Reencryption(engine, table, **options)
