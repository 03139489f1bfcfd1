"""``op.rename_sealed_column``: another name, the same field, so the values still open.

The key of a value is derived for its field id, by default the names of the table and
the column. A name that changes leaves the id as it was: it is pinned from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from alembic_ext import state
from alembic_ext.columnop import ColumnOp
from alembic_ext.columns import index_name, rename_column, rename_index
from alembic_ext.declared import field_of
from alembic_ext.found import terms_of
from alembic_ext.moving import is_offline
from alembic_ext.table import columns_of, refuse_fences
from sqlalchemy_sealed import EncryptedType

__all__ = ["RenameSealedColumnOp", "check_field"]


@Operations.register_operation("rename_sealed_column")
class RenameSealedColumnOp(ColumnOp):
    """Rename a sealed column, whose values stay sealed for the field they are.

    Attributes:
        table_name: the table.
        column_name: the column.
        new_column_name: its new name.
        type_: its declaration, with ``context=`` pinned to the field.
        terms: former and new name of columns of index terms that are not its own.
        schema: of the table.

    """

    name = "rename_sealed_column"

    def __init__(
        self,
        table_name: str,
        column_name: str,
        new_column_name: str,
        type_: EncryptedType[Any],
        terms: Mapping[str, str] | None = None,
        schema: str | None = None,
    ) -> None:
        super().__init__(table_name, column_name, type_, schema)
        self.new_column_name = new_column_name
        self.terms = dict(terms or {})
        refuse_unpinned(table_name, column_name, type_)

    @classmethod
    def rename_sealed_column(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        new_column_name: str,
        type_: EncryptedType[Any],
        *,
        terms: Mapping[str, str] | None = None,
        schema: str | None = None,
    ) -> None:
        """Rename a sealed column with its blind index; no value is moved.

        Args:
            table_name: the table.
            column_name: the column.
            new_column_name: its new name.
            type_: its declaration with ``context=``, the field that its values are
                sealed for: its first table and name. The model declares it, too.
            terms: former and new name of columns of index terms that ``type_`` does
                not name, as beside ``encrypted()``.
            schema: of the table.

        Raises:
            CommandError: no field is pinned, or another one than that of the values;
                or a fence is around the column.

        """
        operations.invoke(
            cls(table_name, column_name, new_column_name, type_, terms, schema)
        )

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return RenameSealedColumnOp(
            self.table_name,
            self.new_column_name,
            self.column_name,
            self.type_,
            {new: old for old, new in self.terms.items()},
            self.schema,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return (*super().to_diff_tuple(), self.new_column_name)

    def term_names(self) -> dict[str, str]:
        """Return the former and the new name of every column of terms."""
        former = terms_of(self.column_name, self.type_)
        later = terms_of(self.new_column_name, self.type_)
        return {**dict(zip(former, later, strict=True)), **self.terms}


def refuse_unpinned(table: str, column: str, type_: EncryptedType[Any]) -> None:
    """Refuse a declaration that would follow the new name.

    Raises:
        CommandError: it pins no field.

    """
    if not type_.pinned:
        raise CommandError(
            f"{table}.{column}: under another name its values open only if the field "
            f"they are sealed for is pinned: EncryptedType(..., "
            f'context="{table}.{column}"), or whatever the model pins already'
        )


def check_field(
    table: str, column: str, type_: EncryptedType[Any], declaration: str | None
) -> None:
    """Refuse another field than the one that the state remembers.

    Raises:
        CommandError: the values are sealed for another one.

    """
    if declaration is None or declaration == state.ON_ITS_WAY:
        return
    field = field_of(declaration, table, column)
    if field != type_.context:
        raise CommandError(
            f"{table}.{column}: its values are sealed for {field}, and the revision "
            f'pins {type_.context}. Write context="{field}" here and in the model'
        )


@Operations.implementation_for(RenameSealedColumnOp)
def _rename(operations: Operations, op: RenameSealedColumnOp) -> None:
    table, old, new = op.table_name, op.column_name, op.new_column_name
    terms = op.term_names()
    names = {old: new, **terms}
    if not is_offline(operations):
        bind = operations.get_bind()
        refuse_fences(bind, table, op.schema, old)
        recorded = state.recorded(bind, table, op.schema)
        check_field(table, old, op.type_, recorded.get(old))
        known = columns_of(bind, table, op.schema)
        if old not in known and new not in known:
            raise CommandError(f"{table} has no column {old}")
        # Where every statement commits, a revision may have been killed half-way.
        names = {one: other for one, other in names.items() if one in known}
    for one, other in names.items():
        if one != other:
            rename_column(operations, table, one, other, op.schema)
    for one, other in terms.items():
        indexes = index_name(table, one), index_name(table, other)
        rename_index(operations, table, op.schema, indexes, other)
    if not is_offline(operations):
        state.forget(operations, table, old, op.schema)
        state.record(operations, table, new, op.type_, op.schema)
