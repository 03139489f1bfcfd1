"""Adding and dropping sealed columns, with those of their blind indexes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from alembic_ext.declared import pinned
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
    is_new: bool = True,
) -> None:
    """Add a sealed column, and those of its index, unless they are there."""
    known: set[str] = set() if is_new else {column}
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
        kind = one.type
        if isinstance(kind, EncryptedType):
            kind = pinned(kind, None, index=False)  # whose columns come by themselves
        operations.add_column(
            table, sa.Column(one.name, kind, nullable=True), schema=schema
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
    """Drop the columns of the index of a sealed column, as far as they are there."""
    declared = _declared(table, column, type_, schema)
    names = {column.name for column in declared.columns} - {column}
    indexes = {str(index.name) for index in declared.indexes}
    if not is_offline(operations):
        # A revision that was killed has dropped some already.
        bind = operations.get_bind()
        names &= set(columns_of(bind, table, schema))
        found = sa.inspect(bind).get_indexes(table, schema=schema)
        indexes &= {str(index["name"]) for index in found}
    for index in sorted(indexes):
        operations.drop_index(index, table_name=table, schema=schema)
    for name in sorted(names):
        operations.drop_column(table, name, schema=schema)


def _declared(
    table: str, column: str, type_: EncryptedType[Any], schema: str | None
) -> sa.Table:
    """Return the column as a table declares it, with those that its type adds."""
    own: sa.Column[Any] = sa.Column(column, type_.copy())
    return sa.Table(table, sa.MetaData(), own, schema=schema)
