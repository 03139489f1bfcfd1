"""``op.seal_fence`` and ``op.drop_seal_fence``: the database refuses plaintext."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext.columnop import ColumnOp
from alembic_ext.moving import is_offline, leave_gap, lend_engine
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, FenceKind
from sqlalchemy_sealed.jobs.fence import drop_fence, fence_in, fences_of
from sqlalchemy_sealed.targets import sealed_tables

__all__ = ["DropSealFenceOp", "SealFenceOp", "between_fences"]


@Operations.register_operation("seal_fence")
class SealFenceOp(ColumnOp):
    """Have the database refuse anything but envelopes in a column.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    """

    name = "seal_fence"

    @classmethod
    def seal_fence(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Put a fence up: whatever writes plaintext fails in the database.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration.
            schema: of the table.

        Raises:
            FenceError: a row holds something else; nothing was put up.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.same_column(DropSealFenceOp)


@Operations.register_operation("drop_seal_fence")
class DropSealFenceOp(ColumnOp):
    """Take a fence down.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    """

    name = "drop_seal_fence"

    @classmethod
    def drop_seal_fence(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        *,
        schema: str | None = None,
    ) -> None:
        """Take a fence down, before values are decrypted.

        Args:
            table_name: the table.
            column_name: the sealed column.
            type_: its declaration.
            schema: of the table.

        """
        operations.invoke(cls(table_name, column_name, type_, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.same_column(SealFenceOp)


def between_fences(
    op: MigrateOperation,
    columns: Mapping[tuple[str, str], tuple[str, str]],
    kinds: tuple[Mapping[str, EncryptedType[Any]], Mapping[str, EncryptedType[Any]]],
    schema: str | None,
) -> list[MigrateOperation]:
    """Return what takes fences down, changes what they are around, and puts them up.

    Args:
        op: changes columns.
        columns: former table and column of each fence to the new ones.
        kinds: declarations before and after, by former name.
        schema: of the table.

    """
    before = [
        DropSealFenceOp(table, name, kinds[0][name], schema) for table, name in columns
    ]
    after = [
        SealFenceOp(*columns[table, name], kinds[1][name], schema)
        for table, name in columns
    ]
    return [*before, op, *after]


@Operations.implementation_for(SealFenceOp)
def _seal(operations: Operations, op: SealFenceOp) -> None:
    if is_offline(operations):
        leave_gap(operations, "sealed fence add MODULE:MODEL")
        return
    with (
        operations.migration_context.autocommit_block(),
        lend_engine(operations) as engine,
    ):
        [sealed] = sealed_tables(_table(engine, op))
        fence_in(engine, sealed, FenceKind.SHAPE)


@Operations.implementation_for(DropSealFenceOp)
def _drop(operations: Operations, op: DropSealFenceOp) -> None:
    if is_offline(operations):
        leave_gap(operations, "sealed fence drop MODULE:MODEL --kind shape")
        return
    with (
        operations.migration_context.autocommit_block(),
        lend_engine(operations) as engine,
    ):
        [sealed] = sealed_tables(_table(engine, op))
        for one in fences_of(engine, sealed.name):
            if one.column == op.column_name and one.kind is FenceKind.SHAPE:
                drop_fence(engine, sealed, one)


def _table(engine: Any, op: ColumnOp) -> Any:
    return table_of(engine, op.table_name, op.schema, {op.column_name: op.type_})
