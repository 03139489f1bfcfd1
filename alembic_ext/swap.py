"""A column whose type changes with its values: another one is filled, and renamed.

A character column cannot hold the bytes of envelopes. What holds them comes beside it,
is filled, and takes its name and its place when every value is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.types import TypeEngine

from alembic_ext import state
from alembic_ext.arrived import has_arrived
from alembic_ext.attached import attached
from alembic_ext.batch import batch_alter
from alembic_ext.columns import rename_column
from alembic_ext.moving import is_offline
from alembic_ext.plainindex import constraint_name
from alembic_ext.sqlitetable import check_copy, hidden_indexes
from alembic_ext.table import columns_of, plain_type

__all__ = ["moving", "swap"]


def moving(column: str) -> str:
    """Return the name of the column that takes another one's place."""
    return f"{column}_moving"


def swap(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    kind: TypeEngine[Any],
    fill: Callable[[str], None],
    mark: str,
) -> None:
    """Replace a column by one of another type that is filled from it.

    It may be killed anywhere, and goes on where it stopped.

    Args:
        operations: of the revision.
        table: the table.
        column: the column, whose name stays.
        schema: of the table.
        kind: the new type.
        fill: moves the values into the column of the name it is given.
        mark: the name under which the state remembers that it was filled; whoever
            calls takes it back, or leaves it, in the transaction of the revision.

    """
    other = moving(column)
    wanted, kind = kind, plain_type(operations, kind)
    known: Collection[str] = {column}
    nullable, comment = True, None
    if not is_offline(operations):
        connection = operations.get_bind()
        known = stored = columns_of(connection, table, schema)
        if column not in known and other not in known:
            raise CommandError(f"{table} has no column {column}")
        if column not in known:
            rename_column(operations, table, other, column, schema)
            return
        place = connection, table, schema
        is_marked = mark in state.recorded(*place)
        if (
            other not in known
            and is_marked
            and has_arrived(*place, stored[column], wanted)
        ):
            return  # renamed already, and killed before the revision was written down
        nullable = stored[column]["nullable"]
        comment = stored[column].get("comment")
        _check_indexes(operations, table, column, schema)
        _check_attached(operations, table, column, schema)
        if not nullable:
            check_copy(operations, table)
    if other not in known:
        new: sa.Column[Any] = sa.Column(other, kind, nullable=True, comment=comment)
        operations.add_column(table, new, schema=schema)
    fill(other)
    if not nullable:
        with batch_alter(operations, table, schema) as batch:
            batch.alter_column(other, existing_type=kind, nullable=False)
    if not is_offline(operations):
        _check_both(operations, table, column, schema)
        state.remember(operations, table, mark, schema)
    operations.drop_column(table, column, schema=schema)
    rename_column(operations, table, other, column, schema)


def _check_both(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    """Look again before a column is dropped: rows were moved for a long time.

    Raises:
        CommandError: another process has put the new column in place already.

    """
    known = columns_of(operations.get_bind(), table, schema)
    if column not in known or moving(column) not in known:
        raise CommandError(
            f"{table}.{column}: the columns are not what they were when this began. "
            "Another process is at it: wait, then apply the revision again"
        )


def _check_indexes(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    """Refuse a column whose indexes would go with it without a word.

    Raises:
        CommandError: naming them.

    """
    inspector = sa.inspect(operations.get_bind())
    found: list[Any] = [
        *inspector.get_indexes(table, schema=schema),
        *inspector.get_unique_constraints(table, schema=schema),
    ]
    own = [one for one in found if column in one["column_names"]]
    names = {constraint_name(table, one) for one in own}
    names |= hidden_indexes(operations.get_bind(), table, column)
    if names:
        raise CommandError(
            f"{table}.{column} is replaced by another column, and "
            f"{', '.join(sorted(names))} would go with it: drop it before "
            "(op.drop_plain_index), and create what is to stay after "
            "(op.create_plain_index). Nothing was changed"
        )


def _check_attached(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    """Refuse a column whose constraints or default would go with it without a word.

    Raises:
        CommandError: naming them.

    """
    reasons = list(attached(operations.get_bind(), table, column, schema))
    if reasons:
        raise CommandError(
            f"{table}.{column} is replaced by another column, and what is attached to "
            f"it would go without a word: {'; '.join(reasons)}. Nothing was changed"
        )
