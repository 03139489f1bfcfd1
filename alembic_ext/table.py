"""Tables as a revision sees them: a key from the database, columns as they are named.

A revision imports no model: the model of today may have other columns than the table
at that point of its history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import (
    Column,
    Connection,
    Enum,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
)
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.jobs.tables import fences

__all__ = [
    "columns_of",
    "fenced",
    "plain_type",
    "quoted_table",
    "refuse_fences",
    "table_of",
]


def table_of(
    connection: Any,
    name: str,
    schema: str | None,
    columns: Mapping[str, TypeEngine[Any] | None],
) -> Table:
    """Return a table with its primary key and some columns.

    Args:
        connection: a connection or an engine.
        name: of the table.
        schema: of the table.
        columns: type of each column by name; ``None`` is what the database says.

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
    # A sealed type takes its field from the one column that it belongs to.
    rest = [
        Column(column, _own(kinds.get(column) if kind is None else kind))
        for column, kind in columns.items()
    ]
    return Table(name, MetaData(), *own, *rest, schema=schema)


def _own(kind: TypeEngine[Any] | None) -> TypeEngine[Any] | None:
    return kind.copy() if isinstance(kind, EncryptedType) else kind


def plain_type(operations: Operations, kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of a plaintext column, where a text needs a length to be one."""
    dialect = operations.impl.dialect.name
    short = isinstance(kind, String) and not isinstance(kind, Text | Enum)
    if dialect in {"mysql", "mariadb"} and short and _length(kind) is None:
        return Text()
    return kind


def _length(kind: Any) -> int | None:
    found: int | None = kind.length
    return found


def quoted_table(operations: Operations, name: str, schema: str | None) -> str:
    """Return the name of a table as SQL has it, with its schema."""
    quote = operations.impl.dialect.identifier_preparer
    return quote.format_table(Table(name, MetaData(), schema=schema))


def columns_of(
    connection: Connection, name: str, schema: str | None
) -> dict[str, ReflectedColumn]:
    """Return what the database says of a table's columns; none if it is not there."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        return {}
    return {one["name"]: one for one in inspector.get_columns(name, schema=schema)}


def fenced(connection: Connection, name: str, schema: str | None) -> dict[str, str]:
    """Return the kind of a fence by the column it is around."""
    if not inspect(connection).has_table(fences.name):
        return {}
    place = Table(name, MetaData(), schema=schema).fullname
    found = select(fences.c.column_name, fences.c.kind).where(
        fences.c.table_name == place
    )
    return {row[0]: row[1] for row in connection.execute(found)}


def refuse_fences(
    connection: Connection, name: str, schema: str | None, column: str | None
) -> None:
    """Refuse to rename what a fence is around: its trigger would know no such column.

    Raises:
        CommandError: there is one, around the column or any column of the table.

    """
    found = fenced(connection, name, schema)
    names = [*found] if column is None else [one for one in found if one == column]
    if names:
        raise CommandError(
            f"{name}.{names[0]} has a fence, which knows it by its name. Write "
            "op.drop_seal_fence(...) before the renaming, and op.seal_fence(...) with "
            "the new name after it (of a fence of keys: sealed fence drop)"
        )
