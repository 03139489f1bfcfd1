"""``op.rename_sealed_table``: a table of sealed columns under another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from sqlalchemy import inspect

from alembic_ext import state
from alembic_ext.columns import index_name, rename_index
from alembic_ext.found import terms_of
from alembic_ext.moving import is_offline
from alembic_ext.rename import check_field, refuse_unpinned
from alembic_ext.table import refuse_fences
from sqlalchemy_sealed import EncryptedType

__all__ = ["RenameSealedTableOp"]


@Operations.register_operation("rename_sealed_table")
class RenameSealedTableOp(MigrateOperation):
    """Rename a table, whose sealed values stay sealed for the fields they are.

    Attributes:
        table_name: the table.
        new_table_name: its new name.
        columns: declaration of each sealed column by name, with ``context=``.
        schema: of the table.

    """

    def __init__(
        self,
        table_name: str,
        new_table_name: str,
        columns: Mapping[str, EncryptedType[Any]],
        schema: str | None = None,
    ) -> None:
        self.table_name = table_name
        self.new_table_name = new_table_name
        self.columns = dict(columns)
        self.schema = schema
        for name, type_ in self.columns.items():
            refuse_unpinned(table_name, name, type_)

    @classmethod
    def rename_sealed_table(
        cls,
        operations: Operations,
        table_name: str,
        new_table_name: str,
        columns: Mapping[str, EncryptedType[Any]],
        *,
        schema: str | None = None,
    ) -> None:
        """Rename a table with sealed columns; no value is moved.

        Args:
            table_name: the table.
            new_table_name: its new name.
            columns: declaration of each sealed column by name, with ``context=``, the
                field that its values are sealed for. The model declares it, too.
            schema: of the table.

        Raises:
            CommandError: a column is missing, or pins another field than that of its
                values; or a fence is around one.

        """
        operations.invoke(cls(table_name, new_table_name, columns, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        names = self.new_table_name, self.table_name
        return RenameSealedTableOp(*names, self.columns, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        names = self.table_name, self.new_table_name
        return ("rename_sealed_table", self.schema, *names, [*self.columns])


@Operations.implementation_for(RenameSealedTableOp)
def _rename(operations: Operations, op: RenameSealedTableOp) -> None:
    old, new = op.table_name, op.new_table_name
    offline = is_offline(operations)
    if offline or not _is_done(operations, op):
        operations.rename_table(old, new, schema=op.schema)
    for name, type_ in op.columns.items():
        # They have come along, under the names they had.
        for term in terms_of(name, type_):
            names = index_name(old, term), index_name(new, term)
            rename_index(operations, new, op.schema, names, term)
        if not offline:
            state.forget(operations, old, name, op.schema)
            state.record(operations, new, name, type_, op.schema)


def _is_done(operations: Operations, op: RenameSealedTableOp) -> bool:
    """Check what is to be renamed; tell whether a killed revision has done it."""
    bind = operations.get_bind()
    refuse_fences(bind, op.table_name, op.schema, None)
    recorded = state.recorded(bind, op.table_name, op.schema)
    for name, declaration in recorded.items():
        if name not in op.columns:
            raise CommandError(
                f"{op.table_name}.{name} is sealed, too: name it with its declaration"
            )
        check_field(op.table_name, name, op.columns[name], declaration)
    inspector = inspect(bind)
    if inspector.has_table(op.table_name, schema=op.schema):
        return False
    if not inspector.has_table(op.new_table_name, schema=op.schema):
        raise CommandError(f"there is no table {op.table_name}")
    return True
