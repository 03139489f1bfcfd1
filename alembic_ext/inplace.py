"""A column that holds plaintext and envelopes in turn: room and collation.

It is a character column, or a binary one whose former values are a library's text.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util.messaging import warn
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from alembic_ext.columnop import ValuesOp
from alembic_ext.moving import is_offline
from alembic_ext.table import columns_of, plain_type, quoted_table
from sqlalchemy_sealed import EncryptedType

__all__ = ["is_in_place", "make_room", "restore"]


def is_in_place(operations: Operations, op: ValuesOp) -> bool:
    """Tell whether a binary column takes envelopes beside what a library has written.

    Its text never looks like an envelope in bytes.
    """
    ascii_only = op.legacy and all(one.is_ascii for one in op.legacy)
    if op.strategy is not None or not ascii_only or is_offline(operations):
        return False
    found = columns_of(operations.get_bind(), op.table_name, op.schema)
    stored = found.get(op.column_name)
    # SQLite keeps what it is given, whatever type the column has.
    return stored is not None and (
        operations.impl.dialect.name == "sqlite"
        or isinstance(stored["type"], sa.types._Binary)  # noqa: SLF001 - its only name
    )


def make_room(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    type_: EncryptedType[Any],
) -> None:
    """Widen a column, so that an envelope fits and is compared by bytes."""
    dialect = operations.impl.dialect.name
    if type_.storage == "binary":
        if dialect in {"mysql", "mariadb"}:
            _widen_bytes(operations, table, column, schema)
        return
    if dialect == "sqlite":
        return  # which has no lengths, and compares bytes
    stored: Any = None
    if not is_offline(operations):
        stored = columns_of(operations.get_bind(), table, schema)[column]["type"]
    if dialect in {"mysql", "mariadb"}:
        kind = (
            mysql.LONGTEXT if isinstance(stored, mysql.LONGTEXT) else mysql.MEDIUMTEXT
        )
        _alter(operations, table, column, schema, kind, stored)
        return
    wide = sa.Text()
    if stored is not None and _ignores(operations, table, column, schema):
        wide = sa.Text(collation="C")
    elif type(stored).__name__.upper() == "TEXT":
        return
    operations.alter_column(table, column, type_=wide, schema=schema)


def _widen_bytes(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    stored = columns_of(operations.get_bind(), table, schema)[column]["type"]
    if not isinstance(stored, mysql.MEDIUMBLOB | mysql.LONGBLOB):
        _retype(operations, table, column, schema, mysql.MEDIUMBLOB())


def _alter(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    kind: Any,
    stored: Any,
) -> None:
    wide = kind(charset="utf8mb4", collation="utf8mb4_bin")
    collation = getattr(stored, "collation", None)
    if isinstance(stored, kind) and collation == wide.collation:
        return
    _retype(operations, table, column, schema, wide)


def _ignores(
    operations: Operations, table: str, column: str, schema: str | None
) -> bool:
    """Tell whether a collation of PostgreSQL takes different texts for equal ones."""
    connection = operations.get_bind()
    place = quoted_table(operations, table, schema)
    query = sa.text(
        "SELECT NOT c.collisdeterministic FROM pg_attribute a "
        "JOIN pg_collation c ON c.oid = a.attcollation "
        "WHERE a.attrelid = to_regclass(:place) AND a.attname = :name"
    )
    # A value, and no statement: percent signs are not doubled in it.
    names = {"place": place.replace("%%", "%"), "name": column}
    return bool(connection.scalar(query, names))


def _retype(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    kind: TypeEngine[Any],
) -> None:
    """Change a type, and say again what MODIFY would take from the column."""
    kept: dict[str, Any] = {}
    if not is_offline(operations):
        found = columns_of(operations.get_bind(), table, schema)[column]
        kept["existing_nullable"] = found["nullable"]
        kept["existing_comment"] = found.get("comment")
    operations.alter_column(table, column, type_=kind, schema=schema, **kept)


def restore(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    inner: TypeEngine[Any],
) -> None:
    """Give a column the type of its plaintext again, if every value fits.

    It was of characters, and stays so for values of other types, which are text in it.
    """
    kind = plain_type(operations, inner)
    is_text = isinstance(kind, sa.String) and not isinstance(kind, sa.Enum)
    if operations.impl.dialect.name == "sqlite" or not is_text:
        return
    length = getattr(kind, "length", None)
    if not is_offline(operations) and length is not None:
        longest = _longest(operations, table, column, schema)
        if longest > length:
            warn(
                f"{table}.{column} has values of {longest} characters: it stays TEXT, "
                f"and does not become {kind!r} again"
            )
            return
    _retype(operations, table, column, schema, kind)


def _longest(
    operations: Operations, table: str, column: str, schema: str | None
) -> int:
    value: sa.ColumnClause[Any] = sa.column(column)
    place = sa.table(table, value, schema=schema)
    query = sa.select(sa.func.max(sa.func.char_length(value))).select_from(place)
    return operations.get_bind().scalar(query) or 0
