"""``op.drop_plain_index`` and ``op.create_plain_index``: what is in a column's way.

An index on plaintext goes before its values are sealed, and comes back after they were
decrypted. Both do nothing where it has gone, or is there: the revision may have been
killed, and is applied again from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from alembic_ext.batch import batch_alter
from alembic_ext.moving import is_offline
from alembic_ext.sqlitetable import UNNAMED, unique_columns, unnamed

__all__ = [
    "CreatePlainIndexOp",
    "DropPlainIndexOp",
    "PlainIndexOp",
    "constraint_name",
]

_Kind = Literal["index", "unique index", "unique constraint"]


class PlainIndexOp(MigrateOperation):
    """An operation on an index of plaintext.

    Attributes:
        index_name: its name.
        table_name: the table.
        columns: names of its columns.
        kind: what it is.
        schema: of the table.

    """

    def __init__(
        self,
        index_name: str,
        table_name: str,
        columns: Sequence[str],
        kind: _Kind = "index",
        schema: str | None = None,
    ) -> None:
        self.index_name = index_name
        self.table_name = table_name
        self.columns = list(columns)
        self.kind = kind
        self.schema = schema

    def as_other(self, kind: type[PlainIndexOp]) -> PlainIndexOp:
        """Return the other operation on the same index."""
        place = self.index_name, self.table_name, self.columns
        return kind(*place, self.kind, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return (type(self).__name__, self.schema, self.table_name, self.index_name)


@Operations.register_operation("drop_plain_index")
class DropPlainIndexOp(PlainIndexOp):
    """Drop an index of plaintext, if it is there.

    Attributes:
        index_name: its name.
        table_name: the table.
        columns: names of its columns, for the way back.
        kind: what it is.
        schema: of the table.

    """

    @classmethod
    def drop_plain_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[str],
        *,
        kind: Literal["index", "unique index", "unique constraint"] = "index",
        schema: str | None = None,
    ) -> None:
        """Drop an index of plaintext, if it is there.

        Args:
            index_name: its name.
            table_name: the table.
            columns: names of its columns, for the way back.
            kind: ``"index"``, ``"unique index"`` or ``"unique constraint"``.
            schema: of the table.

        """
        operations.invoke(cls(index_name, table_name, columns, kind, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.as_other(CreatePlainIndexOp)


@Operations.register_operation("create_plain_index")
class CreatePlainIndexOp(PlainIndexOp):
    """Create an index of plaintext, if it is not there.

    Attributes:
        index_name: its name.
        table_name: the table.
        columns: names of its columns.
        kind: what it is.
        schema: of the table.

    """

    @classmethod
    def create_plain_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[str],
        *,
        kind: Literal["index", "unique index", "unique constraint"] = "index",
        schema: str | None = None,
    ) -> None:
        """Create an index of plaintext, if it is not there.

        Args:
            index_name: its name.
            table_name: the table.
            columns: names of its columns.
            kind: ``"index"``, ``"unique index"`` or ``"unique constraint"``.
            schema: of the table.

        """
        operations.invoke(cls(index_name, table_name, columns, kind, schema))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        return self.as_other(DropPlainIndexOp)


@Operations.implementation_for(DropPlainIndexOp)
def _drop(operations: Operations, op: DropPlainIndexOp) -> None:
    indexes, constraints = _names(operations, op)
    if op.index_name in constraints and op.kind == "unique constraint":
        with batch_alter(operations, op.table_name, op.schema, UNNAMED) as batch:
            batch.drop_constraint(op.index_name, type_="unique")
    elif op.index_name in indexes:
        operations.drop_index(op.index_name, table_name=op.table_name, schema=op.schema)
    else:
        _check_seen(operations, op)


@Operations.implementation_for(CreatePlainIndexOp)
def _create(operations: Operations, op: CreatePlainIndexOp) -> None:
    if not is_offline(operations):
        indexes, constraints = _names(operations, op)
        if op.index_name in indexes | constraints:
            return
    if op.kind == "unique constraint":
        with batch_alter(operations, op.table_name, op.schema) as batch:
            batch.create_unique_constraint(op.index_name, op.columns)
        return
    operations.create_index(
        op.index_name,
        op.table_name,
        op.columns,
        schema=op.schema,
        unique=op.kind == "unique index",
    )


def _names(operations: Operations, op: PlainIndexOp) -> tuple[set[str], set[str]]:
    """Return the names of the indexes and of the unique constraints of a table."""
    if is_offline(operations):
        return {op.index_name}, {op.index_name}
    inspector = sa.inspect(operations.get_bind())
    indexes = inspector.get_indexes(op.table_name, schema=op.schema)
    constraints = inspector.get_unique_constraints(op.table_name, schema=op.schema)
    return (
        {str(one["name"]) for one in indexes},
        {constraint_name(op.table_name, one) for one in constraints},
    )


def _check_seen(operations: Operations, op: PlainIndexOp) -> None:
    """Refuse a constraint of SQLite that is there, and that nothing here can drop.

    Raises:
        CommandError: it is in the column's own definition, in an unusual spelling.

    """
    if is_offline(operations):
        return
    connection = operations.get_bind()
    if op.columns in unique_columns(connection, op.table_name):
        raise CommandError(
            f"{op.table_name} has a UNIQUE on {', '.join(op.columns)}, which "
            "SQLAlchemy does not read from its CREATE TABLE. It cannot be dropped "
            "alone: make the table anew without it, in a revision of your own"
        )


def constraint_name(table: str, constraint: Any) -> str:
    """Return the name of a unique constraint, or that of one without, as in SQLite."""
    return str(constraint["name"] or unnamed(table, constraint["column_names"]))
