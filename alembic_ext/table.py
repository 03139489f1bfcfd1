"""Tables as a revision sees them: a key from the database, columns as they are named.

A revision imports no model: the model of today may have other columns than the table
at that point of its history.
"""

from __future__ import annotations

from typing import Any

from alembic.util import CommandError
from sqlalchemy import Column, Connection, MetaData, Table, inspect
from sqlalchemy.types import TypeEngine

__all__ = ["column_names", "is_nullable", "stored_type", "table_of"]


def table_of(
    connection: Any, name: str, schema: str | None, columns: dict[str, TypeEngine[Any]]
) -> Table:
    """Return a table with its primary key and some columns.

    Args:
        connection: a connection or an engine.
        name: of the table.
        schema: of the table.
        columns: type of each column by name.

    Raises:
        CommandError: the table is not there, or has no primary key.

    """
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise CommandError(f"there is no table {name}; look at the order of revisions")
    key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    if not key:
        raise CommandError(
            f"{name} has no primary key, without which its rows cannot be moved one "
            "by one; add one in an earlier revision"
        )
    kinds = {c["name"]: c["type"] for c in inspector.get_columns(name, schema=schema)}
    own = [Column(k, kinds[k], primary_key=True, autoincrement=False) for k in key]
    rest = [Column(column, kind) for column, kind in columns.items()]
    return Table(name, MetaData(), *own, *rest, schema=schema)


def column_names(connection: Connection, name: str, schema: str | None) -> set[str]:
    """Return the names of a table's columns; none if it is not there."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        return set()
    return {column["name"] for column in inspector.get_columns(name, schema=schema)}


def is_nullable(
    connection: Connection, name: str, schema: str | None, column: str
) -> bool:
    """Tell whether a column may hold NULL."""
    found = inspect(connection).get_columns(name, schema=schema)
    return next(one["nullable"] for one in found if one["name"] == column)


def stored_type(
    connection: Connection, name: str, schema: str | None, column: str
) -> TypeEngine[Any]:
    """Return the type that a column has in the database."""
    found = inspect(connection).get_columns(name, schema=schema)
    return next(one["type"] for one in found if one["name"] == column)
