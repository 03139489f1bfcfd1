"""A column that holds plaintext and envelopes in turn: room and collation.

It is a character column, or a binary one whose former values are a library's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from alembic_ext.moving import is_offline
from alembic_ext.table import columns_of
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.legacy.format import LegacyFormat

__all__ = ["is_in_place", "make_room", "restore"]


def is_in_place(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    type_: EncryptedType[Any],
    legacy: Sequence[LegacyFormat[Any]],
) -> bool:
    """Tell whether a column can hold its former values and envelopes in turn."""
    if type_.storage == "text":
        return True
    if not legacy or not all(one.is_ascii for one in legacy) or is_offline(operations):
        return False
    stored = columns_of(operations.get_bind(), table, schema).get(column)
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
    if dialect == "sqlite":
        return  # which has no lengths, and compares bytes
    wide: TypeEngine[Any] = sa.Text() if type_.storage == "text" else sa.LargeBinary()
    if dialect in {"mysql", "mariadb"}:
        wide = mysql.MEDIUMBLOB()
        if type_.storage == "text":
            wide = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    nullable = None
    if not is_offline(operations):
        found = columns_of(operations.get_bind(), table, schema)[column]
        stored, nullable = found["type"], found["nullable"]
        if type_.storage == "text" and not isinstance(stored, sa.String):
            raise CommandError(
                f"{table}.{column} is no character column but {stored!r}; name another "
                'column for its envelopes, into="..."'
            )
        if _is_like(stored, wide):
            return
    operations.alter_column(
        table, column, type_=wide, schema=schema, existing_nullable=nullable
    )


def _is_like(stored: Any, wide: Any) -> bool:
    if isinstance(wide, sa.LargeBinary):
        return type(stored).__name__ in {"BYTEA", "LONGBLOB", "MEDIUMBLOB"}
    same = type(stored).__name__.upper() == type(wide).__name__.upper()
    return same and getattr(stored, "collation", None) == getattr(
        wide, "collation", None
    )


def restore(
    operations: Operations,
    table: str,
    column: str,
    schema: str | None,
    inner: TypeEngine[Any],
) -> None:
    """Give a column the type of its plaintext again."""
    if operations.impl.dialect.name != "sqlite":
        operations.alter_column(table, column, type_=inner, schema=schema)
