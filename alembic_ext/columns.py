"""Adding and dropping sealed columns, with those of their blind indexes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from alembic_ext.moving import is_offline
from alembic_ext.table import columns_of
from sqlalchemy_sealed import EncryptedType

__all__ = ["add_sealed", "drop_sealed", "drop_terms"]


def add_sealed(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Add a sealed column, and those of its index, unless they are there."""
    known: set[str] = set()
    indexed: set[str | None] = set()
    if not is_offline(operations):
        bind = operations.get_bind()
        known = set(columns_of(bind, table, schema))
        found = sa.inspect(bind).get_indexes(table, schema=schema)
        indexed = {index["name"] for index in found}
    declared = _declared(table, column, type_, schema)
    for one in declared.columns:
        if one.name in known:
            continue
        operations.add_column(
            table, sa.Column(one.name, one.type, nullable=True), schema=schema
        )
    for index in declared.indexes:
        if index.name not in indexed:
            names = [c.name for c in index.columns]
            unique = bool(index.unique)
            operations.create_index(
                index.name, table, names, schema=schema, unique=unique
            )


def drop_sealed(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Drop a sealed column, and those of its index."""
    drop_terms(operations, table, column, type_, schema)
    operations.drop_column(table, column, schema=schema)


def drop_terms(
    operations: Operations,
    table: str,
    column: str,
    type_: EncryptedType[Any],
    schema: str | None,
) -> None:
    """Drop the columns of the index of a sealed column."""
    declared = _declared(table, column, type_, schema)
    for index in declared.indexes:
        operations.drop_index(str(index.name), table_name=table, schema=schema)
    for one in declared.columns:
        if one.name != column:
            operations.drop_column(table, one.name, schema=schema)


def _declared(
    table: str, column: str, type_: EncryptedType[Any], schema: str | None
) -> sa.Table:
    """Return the column as a table declares it, with those that its type adds."""
    own: sa.Column[Any] = sa.Column(column, type_.copy())
    return sa.Table(table, sa.MetaData(), own, schema=schema)
