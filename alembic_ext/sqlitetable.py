"""What SQLite knows of a table, and SQLAlchemy does not tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError

from alembic_ext.mention import mentions, without_strings

__all__ = ["UNNAMED", "check_copy", "hidden_indexes", "unique_columns", "unnamed"]

#: How a unique constraint without a name is called, for Alembic and for us.
UNNAMED: Final = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}

#: What the copy of a table is made without, and how it is written.
_LOST: Final = {
    "AUTOINCREMENT": re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE),
    "a collation": re.compile(r"\bCOLLATE\b", re.IGNORECASE),
    "STRICT or WITHOUT ROWID": re.compile(
        r"\)[\s,]*(STRICT|WITHOUT\s+ROWID)\b", re.IGNORECASE
    ),
}
_NAMED_CHECK: Final = re.compile(
    r"CONSTRAINT\s+(?:\w+|\"[^\"]+\"|`[^`]+`|\[[^\]]+\])\s+CHECK\b", re.IGNORECASE
)
_CHECK: Final = re.compile(r"\bCHECK\s*\(", re.IGNORECASE)


def check_copy(operations: Operations, table: str) -> None:
    """Refuse a table of SQLite whose copy would be less than it is.

    Raises:
        CommandError: naming what Alembic's batch mode would lose.

    """
    connection = operations.get_bind()
    if connection.dialect.name != "sqlite":
        return
    lost = _lost(connection, table)
    if lost:
        raise CommandError(
            f"{table} has to be copied, since SQLite's ALTER TABLE knows less, and the "
            f"copy of Alembic's batch mode would lose {', '.join(lost)}. Nothing was "
            "dropped. Do without it first, in a revision of your own: with "
            f'op.batch_alter_table({table!r}, recreate="always"), which loses it, and '
            "put back afterwards what you need"
        )


def _lost(connection: sa.Connection, table: str) -> list[str]:
    found = connection.execute(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :t"),
        {"t": table},
    ).scalar()
    sql = without_strings(str(found or ""))
    lost = [name for name, one in _LOST.items() if one.search(sql)]
    if len(_CHECK.findall(sql)) > len(_NAMED_CHECK.findall(sql)):
        lost.append("a CHECK without a name")
    indexes = connection.execute(
        sa.text(
            "SELECT name FROM sqlite_master AS m WHERE type = 'index' AND "
            "tbl_name = :t AND EXISTS (SELECT 1 FROM pragma_index_xinfo(m.name) "
            "WHERE cid = -2)"
        ),
        {"t": table},
    )
    return [*lost, *(f"the index {name} on an expression" for (name,) in indexes)]


def hidden_indexes(connection: sa.Connection, table: str, column: str) -> set[str]:
    """Return what makes a column unique, or looks at it, beside what is reflected."""
    if connection.dialect.name != "sqlite":
        return set()
    found = {
        unnamed(table, names)
        for names in unique_columns(connection, table)
        if column in names
    }
    rows = connection.execute(
        sa.text(
            "SELECT name, sql FROM sqlite_master WHERE tbl_name = :t "
            "AND type = 'index' AND sql IS NOT NULL"
        ),
        {"t": table},
    )
    return found | {
        name for name, sql in rows if mentions(sql.partition("(")[2], column)
    }


def unique_columns(connection: sa.Connection, table: str) -> list[list[str]]:
    """Return the columns of each unique constraint of a table of SQLite."""
    if connection.dialect.name != "sqlite":
        return []
    names = connection.execute(
        sa.text("SELECT name FROM pragma_index_list(:t) WHERE origin = 'u'"),
        {"t": table},
    ).scalars()
    query = sa.text("SELECT name FROM pragma_index_info(:i) ORDER BY seqno")
    return [list(connection.scalars(query, {"i": name})) for name in names.all()]


def unnamed(table: str, columns: Sequence[str]) -> str:
    """Return what a unique constraint without a name is called, as UNNAMED says."""
    return f"uq_{table}_{'_'.join(columns)}"
