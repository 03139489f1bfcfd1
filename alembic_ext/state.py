"""What revisions have sealed, in a small table: types in a database do not tell.

A sealed column has the type of any other, and an empty table holds no envelope.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from sqlalchemy_sealed import EncryptedType

__all__ = ["forget", "record", "sealed_columns"]

_metadata = sa.MetaData()

#: One row per sealed column; the declaration is for people, and for autogenerate.
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
    connection = operations.get_bind()
    _metadata.create_all(connection, checkfirst=True)
    forget(operations, table, column, schema)
    row = {
        "table_name": _name(table, schema),
        "column_name": column,
        "declaration": repr(type_),
    }
    connection.execute(sealed_columns.insert(), row)


def forget(operations: Operations, table: str, column: str, schema: str | None) -> None:
    """Write down that a column holds plaintext."""
    connection = operations.get_bind()
    if not sa.inspect(connection).has_table(sealed_columns.name):
        return
    connection.execute(
        sealed_columns.delete().where(
            sealed_columns.c.table_name == _name(table, schema),
            sealed_columns.c.column_name == column,
        )
    )


def _name(table: str, schema: str | None) -> str:
    return table if schema is None else f"{schema}.{table}"
