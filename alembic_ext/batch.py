"""Alembic's batch mode on SQLite, where a table is copied and replaced.

What hangs on the old table would be lost with it: rows that refer to it (ON DELETE
CASCADE), triggers, and with them fences. And one that was killed leaves its copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations

from alembic_ext.moving import is_offline
from alembic_ext.sqlitetable import check_copy

__all__ = ["batch_alter"]


@contextmanager
def batch_alter(
    operations: Operations,
    table: str,
    schema: str | None,
    naming: dict[str, str] | None = None,
) -> Iterator[BatchOperations]:
    """Alter a table in batch mode, and keep what hangs on it.

    Args:
        operations: of the revision.
        table: the table.
        schema: of the table.
        naming: names for constraints that have none, as of ``MetaData``.

    """
    options: dict[str, Any] = {"schema": schema, "naming_convention": naming}
    if is_offline(operations) or operations.impl.dialect.name != "sqlite":
        with operations.batch_alter_table(table, **options) as batch:
            yield batch
        return
    connection = operations.get_bind()
    check_copy(operations, table)
    _drop_leftover(connection, table)
    triggers = _triggers(connection, table)
    with (
        _without_foreign_keys(operations),
        operations.batch_alter_table(table, **options) as batch,
    ):
        yield batch
    for name, sql in triggers.items():
        if name not in _triggers(connection, table):
            connection.exec_driver_sql(sql)


def _triggers(connection: sa.Connection, table: str) -> dict[str, str]:
    query = sa.text(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :t"
    )
    return {row[0]: row[1] for row in connection.execute(query, {"t": table})}


def _drop_leftover(connection: sa.Connection, table: str) -> None:
    # It is filled, and takes the place of the table, in one transaction: one that is
    # there beside the table is empty.
    copy = f"_alembic_tmp_{table}"
    names = set(sa.inspect(connection).get_table_names())
    if {table, copy} <= names:
        quoted = connection.dialect.identifier_preparer.quote(copy)
        connection.exec_driver_sql(f"DROP TABLE {quoted}")


@contextmanager
def _without_foreign_keys(operations: Operations) -> Iterator[None]:
    connection: Any = operations.get_bind()
    if not connection.exec_driver_sql("PRAGMA foreign_keys").scalar():
        yield
        return
    _pragma(operations, "OFF")
    try:
        yield
    finally:
        _pragma(operations, "ON")


def _pragma(operations: Operations, value: str) -> None:
    # It does nothing inside a transaction.
    with operations.migration_context.autocommit_block():
        operations.get_bind().exec_driver_sql(f"PRAGMA foreign_keys = {value}")
