"""``op.reencrypt_columns``: sealed values move to the active key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, Reencryption

__all__ = ["ReencryptColumnsOp"]


@Operations.register_operation("reencrypt_columns")
class ReencryptColumnsOp(MigrateOperation):
    """Move sealed columns of a table to the active key.

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
            columns: declaration of each sealed column by name.
            schema: of the table.

        Raises:
            CommandError: a value could not be moved, or old ones keep appearing.

        """
        operations.invoke(cls(table_name, columns, schema))

    def reverse(self) -> MigrateOperation:
        """Return the same: whichever key is active then, is the one to move to."""
        return ReencryptColumnsOp(self.table_name, self.columns, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("reencrypt_columns", self.schema, self.table_name, [*self.columns])


@Operations.implementation_for(ReencryptColumnsOp)
def _reencrypt(operations: Operations, op: ReencryptColumnsOp) -> None:
    if is_offline(operations):
        leave_gap(operations, "sealed reencrypt MODULE:MODEL")
    else:
        run_job(operations, partial(_job, op=op))


def _job(engine: Any, op: ReencryptColumnsOp, **options: Any) -> Reencryption:
    table = table_of(engine, op.table_name, op.schema, op.columns)
    return Reencryption(engine, table, **options)
