"""What is attached to a column of plaintext, and would be lost or broken with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from alembic_ext.mention import mentions
from alembic_ext.table import columns_of

__all__ = ["attached"]


def attached(
    connection: sa.Connection, table: str, column: str, schema: str | None
) -> Iterator[str]:
    """Return what is attached to a column beside its indexes, for an error message."""
    found = columns_of(connection, table, schema).get(column)
    default = None if found is None else found.get("default")
    if default is not None and not default.upper().startswith("NULL"):
        yield (
            "it has a default in the database, which would be stored as plaintext: "
            "op.alter_column(..., server_default=None) in an earlier revision, and "
            "default= in the model"
        )
    for key in sa.inspect(connection).get_foreign_keys(table, schema=schema):
        if column in key["constrained_columns"]:
            yield (
                f"the foreign key {key['name']} is on it, which ciphertext breaks: "
                "drop it in an earlier revision"
            )
    yield from _checks(connection, table, column, schema)


def _checks(
    connection: sa.Connection, table: str, column: str, schema: str | None
) -> Iterator[str]:
    for constraint, condition in _conditions(connection, table, schema):
        fence = str(constraint).startswith("sealed_fence_")
        if not fence and mentions(condition, column):
            what = "a CHECK constraint without a name"
            if constraint:
                what = f"the CHECK constraint {constraint}"
            yield (
                f"{what} looks at it, and would see ciphertext: drop it in an earlier "
                "revision"
            )


def _conditions(
    connection: sa.Connection, table: str, schema: str | None
) -> list[tuple[Any, str]]:
    if connection.dialect.name not in {"mysql", "mariadb"}:
        inspector = sa.inspect(connection)
        found = inspector.get_check_constraints(table, schema=schema)
        return [(one["name"], one["sqltext"]) for one in found]
    # The dialect does not see those that belong to a column, which MODIFY drops.
    rows = connection.execute(
        sa.text(
            "SELECT c.constraint_name, c.check_clause "
            "FROM information_schema.check_constraints c "
            "JOIN information_schema.table_constraints t "
            "ON t.constraint_schema = c.constraint_schema "
            "AND t.constraint_name = c.constraint_name "
            "WHERE t.table_name = :name "
            "AND t.table_schema = coalesce(:schema, database())"
        ),
        {"name": table, "schema": schema},
    )
    return [(row[0], row[1]) for row in rows]
