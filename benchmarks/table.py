"""A table of one model, filled from nothing: ``COPY`` first, indexes after it.

What the flush would write is computed with the same closures, column by column, and
sent in the binary format. A million rows through ``add_all`` would take many minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contenders import Model
from sqlalchemy import Column, Engine, Integer, text
from sqlalchemy.orm import configure_mappers
from sqlalchemy.schema import CreateTable

from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.ciphertext import CiphertextType
from sqlalchemy_sealed.fast import sealer
from sqlalchemy_sealed.indexer import indexer_of
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.scope import binding_of

__all__ = ["fill"]

_Row = Callable[[int], dict[str, str]]


def fill(engine: Engine, model: Model, rows: int, values: _Row) -> None:
    """Create the table of a model with rows numbered from 0.

    Args:
        engine: a PostgreSQL engine with a keyring.
        model: its primary key is ``id``; names of attributes have no underscore.
        rows: how many.
        values: the values of a row, by attribute.

    """
    configure_mappers()
    table: Any = model.__table__
    with engine.begin() as connection:
        connection.execute(CreateTable(table))
    _copy(engine, table, rows, values)
    with engine.begin() as connection:
        for index in table.indexes:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in (f"VACUUM (ANALYZE) {table.name}", "CHECKPOINT"):
            connection.execute(text(statement))


def _copy(engine: Engine, table: Any, rows: int, values: _Row) -> None:
    # The key comes first. A column of an attribute starts with the attribute's name.
    columns = [column for column in table.columns if not column.primary_key]
    stored = [
        (column.name.partition("_")[0], _stored(engine, column)) for column in columns
    ]
    names = ", ".join(("id", *(column.name for column in columns)))
    connection: Any = engine.raw_connection()
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types([_type(table.columns.id), *map(_type, columns)])
        for row in range(rows):
            plain = values(row)
            copy.write_row((row, *(make(plain[name]) for name, make in stored)))
    connection.commit()
    connection.close()


def _type(column: Column[Any]) -> str:
    if isinstance(column.type, Integer):
        return "int4"
    is_bytes = isinstance(column.type, CiphertextType | IndexTermType)
    return "bytea" if is_bytes else "text"


def _stored(engine: Engine, column: Column[Any]) -> Callable[[str], Any]:
    """Return what makes a value of the column from the value of its attribute."""
    binding, kind = binding_of(engine.dialect), column.type
    if isinstance(kind, CiphertextType):
        return sealer(cipher_of(binding, kind.field()))
    if isinstance(kind, IndexTermType):
        return indexer_of(binding, kind.index).term
    return str
