"""Adding and dropping sealed columns, with those of their blind indexes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from alembic_ext.batch import batch_alter
from alembic_ext.declared import pinned
from alembic_ext.moving import is_offline
from alembic_ext.quoted import Quoted
from alembic_ext.table import columns_of, quoted_table
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.jobs.uniques import uniques

__all__ = [
    "add_sealed",
    "drop_sealed",
    "drop_terms",
    "index_name",
    "rename_column",
    "rename_index",
]


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
    for term in _unique(declared):
        _make_unique(operations, table, term, schema)


def _unique(declared: sa.Table) -> list[str]:
    """Return the columns of terms that are unique."""
    return [one.name for one in declared.columns if one.unique]


def _make_unique(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    if not is_offline(operations):
        inspector = sa.inspect(operations.get_bind())
        known = uniques(inspector, table, schema)
        if any(one["column_names"] == [column] for one in known):
            return
    # SQLite has to copy the table for it.
    with batch_alter(operations, table, schema) as batch:
        batch.create_unique_constraint(f"uq_{table}_{column}", [column])


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
    """Drop the columns of the index of a sealed column, unless they are gone."""
    declared = _declared(table, column, type_, schema)
    names = {one.name for one in declared.columns} - {column}
    for index in declared.indexes:
        if _has_index(operations, table, schema, str(index.name)):
            operations.drop_index(str(index.name), table_name=table, schema=schema)
    if not is_offline(operations):
        names &= set(columns_of(operations.get_bind(), table, schema))
    unique = _unique(declared)
    for one in sorted(names):
        if one in unique:
            # SQLite has to copy the table for it.
            with batch_alter(operations, table, schema) as batch:
                batch.drop_column(one)
        else:
            operations.drop_column(table, one, schema=schema)


def rename_column(
    operations: Operations, table: str, old: str, new: str, schema: str | None
) -> None:
    """Rename a column and nothing else."""
    quote = operations.impl.dialect.identifier_preparer
    place = quoted_table(operations, table, schema)
    # The same on every supported database, and nothing is to be repeated in it.
    names = f"{quote.quote(old)} TO {quote.quote(new)}"
    operations.execute(Quoted(f"ALTER TABLE {place} RENAME COLUMN {names}"))


def index_name(table: str, column: str) -> str:
    """Return the name of the index on a column of terms, unless conventions differ."""
    return f"ix_{table}_{column}"


def rename_index(
    operations: Operations,
    table: str,
    schema: str | None,
    names: tuple[str, str],
    column: str,
) -> None:
    """Rename the index on a column of terms, if it has the former name."""
    old, new = names
    if old == new or not _has_index(operations, table, schema, old):
        return
    dialect = operations.impl.dialect
    quote = dialect.identifier_preparer
    place = quoted_table(operations, table, schema)
    quoted = quote.quote(old), quote.quote(new)
    if dialect.name == "sqlite":  # which cannot rename one
        operations.drop_index(old, table_name=table, schema=schema)
        operations.create_index(new, table, [column], schema=schema)
    elif dialect.name == "postgresql":
        prefix = "" if schema is None else f"{quote.quote_schema(schema)}."
        renaming = f"{prefix}{quoted[0]} RENAME TO {quoted[1]}"
        operations.execute(Quoted(f"ALTER INDEX {renaming}"))
    else:
        renaming = f"RENAME INDEX {quoted[0]} TO {quoted[1]}"
        operations.execute(Quoted(f"ALTER TABLE {place} {renaming}"))


def _has_index(
    operations: Operations, table: str, schema: str | None, name: str
) -> bool:
    if is_offline(operations):
        return True
    inspector = sa.inspect(operations.get_bind())
    found = inspector.get_indexes(table, schema=schema)
    return name in {one["name"] for one in found}


def _declared(
    table: str, column: str, type_: EncryptedType[Any], schema: str | None
) -> sa.Table:
    """Return the column as a table declares it, with those that its type adds."""
    own: sa.Column[Any] = sa.Column(column, type_.copy())
    return sa.Table(table, sa.MetaData(), own, schema=schema)
