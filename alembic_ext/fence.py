"""``op.seal_fence`` and ``op.drop_seal_fence``: the database refuses plaintext."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations

from alembic_ext.moving import is_offline, leave_gap, lend_engine
from alembic_ext.table import table_of
from sqlalchemy_sealed import EncryptedType, FenceKind
from sqlalchemy_sealed.jobs.fence import (
    drop_fence,
    fences_of,
    look,
    put_up,
    validate,
)
from sqlalchemy_sealed.targets import sealed_tables

__all__ = ["DropSealFenceOp", "SealFenceOp"]


class _FenceOp(MigrateOperation):
    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        schema: str | None = None,
    ) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.type_ = type_
        self.schema = schema


@Operations.register_operation("seal_fence")
class SealFenceOp(_FenceOp):
    """Have the database refuse anything but envelopes in a column.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    """

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
        return DropSealFenceOp(
            self.table_name, self.column_name, self.type_, self.schema
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("seal_fence", self.schema, self.table_name, self.column_name)


@Operations.register_operation("drop_seal_fence")
class DropSealFenceOp(_FenceOp):
    """Take a fence down.

    Attributes:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    """

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
        return SealFenceOp(self.table_name, self.column_name, self.type_, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("drop_seal_fence", self.schema, self.table_name, self.column_name)


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
        [column] = sealed.columns
        look(engine, sealed, column, FenceKind.SHAPE)
        for one in put_up(engine, sealed, FenceKind.SHAPE):
            validate(engine, sealed, one)


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


def _table(engine: Any, op: _FenceOp) -> Any:
    return table_of(engine, op.table_name, op.schema, {op.column_name: op.type_.copy()})
