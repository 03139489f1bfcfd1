"""A character column that holds plaintext and envelopes in turn: room and collation."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from alembic_ext.table import columns_of

__all__ = ["make_room", "restore"]


def make_room(
    operations: Operations, table: str, column: str, schema: str | None
) -> None:
    """Widen a character column, so that an envelope fits and is compared by bytes."""
    dialect = operations.impl.dialect.name
    if dialect == "sqlite":
        return  # which has no lengths, and compares bytes
    wide: TypeEngine[Any] = sa.Text()
    if dialect in {"mysql", "mariadb"}:
        wide = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    if not operations.migration_context.as_sql:
        stored = columns_of(operations.get_bind(), table, schema)[column]["type"]
        if not isinstance(stored, sa.String):
            raise CommandError(
                f"{table}.{column} is no character column but {stored!r}; name another "
                'column for its envelopes, into="..."'
            )
        if _is_like(stored, wide):
            return
    operations.alter_column(table, column, type_=wide, schema=schema)


def _is_like(stored: Any, wide: Any) -> bool:
    same = type(stored).__name__.upper() == type(wide).__name__.upper()
    return same and getattr(stored, "collation", None) == wide.collation


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
