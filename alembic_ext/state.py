"""What revisions have sealed, in a small table: types in a database do not tell.

A sealed column has the type of any other, and an empty table holds no envelope.
"""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa
from alembic.operations import Operations

from alembic_ext.declared import to_json
from sqlalchemy_sealed import EncryptedType

__all__ = [
    "ON_ITS_WAY",
    "change",
    "everything",
    "forget",
    "place_of",
    "record",
    "recorded",
    "remember",
    "sealed_columns",
]

#: The declaration of a column that was filled and is not renamed yet.
ON_ITS_WAY: Final = "{}"
_LOOKS: Final = ("suite", "storage", "padding", "accept_leakage")
_metadata = sa.MetaData()

#: One row per sealed column; the declaration is JSON, for autogenerate.
sealed_columns = sa.Table(
    "sealed_columns",
    _metadata,
    sa.Column("table_name", sa.String(191), primary_key=True),
    sa.Column("column_name", sa.String(64), primary_key=True),
    sa.Column("declaration", sa.Text, nullable=False),
)


def record(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Write down that a column is sealed."""
    what = to_json(type_, f"{table}.{column}")
    _write(operations, table, column, schema, what)


def change(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Write down how the values of a sealed column look now, and nothing else of it."""
    known = recorded(operations.get_bind(), table, schema).get(column, ON_ITS_WAY)
    if known == ON_ITS_WAY:
        return
    present = json.loads(to_json(type_))
    looks = {name: present[name] for name in _LOOKS}
    what = json.dumps({**json.loads(known), **looks})
    _write(operations, table, column, schema, what)


def remember(operations: Operations, table: str, name: str, schema: str | None) -> None:
    """Write down that a column was filled, and is about to take another one's place."""
    _write(operations, table, name, schema, ON_ITS_WAY)


def _write(
    operations: Operations, table: str, column: str, schema: str | None, what: str
) -> None:
    connection = operations.get_bind()
    _metadata.create_all(connection, checkfirst=True)
    forget(operations, table, column, schema)
    row = {
        "table_name": place_of(table, schema),
        "column_name": column,
        "declaration": what,
    }
    connection.execute(sealed_columns.insert(), row)


def everything(connection: sa.Connection) -> dict[str, dict[str, str]]:
    """Return the declaration of each sealed column by table and name, as JSON."""
    if not sa.inspect(connection).has_table(sealed_columns.name):
        return {}
    tables: dict[str, dict[str, str]] = {}
    for table, column, declaration in connection.execute(sa.select(sealed_columns)):
        tables.setdefault(table, {})[column] = declaration
    return tables


def recorded(
    connection: sa.Connection, table: str, schema: str | None
) -> dict[str, str]:
    """Return the declaration of each sealed column of a table, as JSON."""
    if not sa.inspect(connection).has_table(sealed_columns.name):
        return {}
    found = connection.execute(
        sa.select(sealed_columns.c.column_name, sealed_columns.c.declaration).where(
            sealed_columns.c.table_name == place_of(table, schema)
        )
    )
    return {row[0]: row[1] for row in found}


def forget(operations: Operations, table: str, column: str, schema: str | None) -> None:
    """Write down that a column holds plaintext."""
    connection = operations.get_bind()
    if not sa.inspect(connection).has_table(sealed_columns.name):
        return
    connection.execute(
        sealed_columns.delete().where(
            sealed_columns.c.table_name == place_of(table, schema),
            sealed_columns.c.column_name == column,
        )
    )


def place_of(table: str, schema: str | None) -> str:
    """Return the name under which a table is remembered."""
    return table if schema is None else f"{schema}.{table}"
