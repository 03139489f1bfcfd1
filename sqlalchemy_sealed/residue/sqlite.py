"""SQLite: free pages and free bytes, the files beside the database, and statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

from sqlalchemy_sealed.jobs.tablename import table_name
from sqlalchemy_sealed.jobs.tables import ranges, runs
from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand, locking, sql
from sqlalchemy_sealed.residue.sealing import Sealing, sealing_of
from sqlalchemy_sealed.residue.shape import MARKS
from sqlalchemy_sealed.residue.sqlitepages import SqlitePages
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["look"]

#: A database of this size is copied into memory to be looked at.
_LARGEST: Final = 256 << 20
_SECURE: Final = by_hand(
    "PRAGMA secure_delete = ON; -- on every connection of the application, before that"
)


_ROOT: Final = (
    "SELECT rootpage FROM {schema}.sqlite_master WHERE type = 'table' AND name = :name"
)
_STATISTICS: Final = "SELECT 1 FROM {schema}.sqlite_master WHERE name = 'sqlite_stat4'"
_SAMPLES: Final = """
SELECT count(*) FROM {schema}.sqlite_stat4 WHERE tbl = :table AND idx IN (
    SELECT l.name FROM pragma_index_list(:table, :schema) AS l,
    pragma_index_info(l.name, :schema) AS i
    WHERE i.name IN (SELECT value FROM json_each(:columns)))
AND NOT ({sealed})
"""
_TRIGGERS: Final = """
SELECT name FROM {schema}.sqlite_master WHERE type = 'trigger' AND tbl_name = :name
AND name NOT LIKE 'sealed^_fence^_%' ESCAPE '^'
"""


def look(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    """Tell of the residue of a table, and of its database."""
    schema = sealed.table.schema or "main"
    sealing = sealing_of(connection, sealed.name)
    yield from _samples(connection, sealed, schema)
    yield from _pages(connection, sealed, schema, sealing)
    yield from _log(connection, schema, sealing)
    yield from _journal(connection, schema, sealing)
    yield from _copies(connection, sealed, schema)


def _pages(
    connection: Connection, sealed: SealedTable, schema: str, sealing: Sealing | None
) -> Iterator[Finding]:
    own = _quoted(connection, schema)
    remedies = _SECURE + locking(f"VACUUM {own};")
    if connection.scalar(text(f"PRAGMA {own}.journal_mode")) == "wal":
        # It writes to the log; the file has the old pages until then.
        remedies += sql(_checkpoint(own))
    pages = _copy(connection, schema)
    if pages is None:
        yield Finding(
            sealed.name,
            "rows",
            "the pages of the database cannot be looked at: it is too large, or the "
            "driver does not let them be read",
            Severity.UNSEEN,
            remedies,
        )
        return
    severity, since = Severity.POSSIBLE, ""
    # Jobs leave remains of their own rows; a VACUUM after them has cleaned those too.
    books = (runs.name, ranges.name)
    if sealing and any(_remains(connection, schema, pages, one) for one in books):
        severity, since = Severity.FOUND, "; no VACUUM was run since values were sealed"
    remains = _remains(connection, schema, pages, sealed.table.name)
    if remains:
        yield Finding(
            sealed.name,
            "rows",
            f"{remains:,} pages of the table hold bytes of former rows{since}",
            severity,
            remedies,
        )
    free = pages.free_pages()
    if free:
        yield Finding(
            "the database file",
            "free pages",
            f"{free:,} free pages hold bytes of former rows{since}",
            severity,
            remedies,
        )


def _remains(connection: Connection, schema: str, pages: SqlitePages, name: str) -> int:
    root = text(_ROOT.format(schema=_quoted(connection, schema)))
    found = connection.scalar(root, {"name": name})
    return pages.remains(found) if found else 0


def _copy(connection: Connection, schema: str) -> SqlitePages | None:
    quoted = _quoted(connection, schema)
    count = connection.scalar(text(f"PRAGMA {quoted}.page_count")) or 0
    size = connection.scalar(text(f"PRAGMA {quoted}.page_size")) or 0
    driver: Any = connection.connection.driver_connection
    if count * size > _LARGEST or not hasattr(driver, "serialize"):
        return None
    # Not by opening the file: closing it would drop the locks of this process.
    return SqlitePages(driver.serialize(name=schema))


def _log(
    connection: Connection, schema: str, sealing: Sealing | None
) -> Iterator[Finding]:
    path = _path(connection, schema)
    log = path.with_name(f"{path.name}-wal") if path else None
    if path is None or log is None or not log.exists() or not log.stat().st_size:
        return
    behind = sealing is not None and path.stat().st_mtime <= sealing.ended
    yield Finding(
        log.name,
        "wal",
        "the database file was not written since the values were sealed: the log has "
        "not been moved into it"
        if behind
        else "the log is not empty, and may hold pages from before",
        Severity.FOUND if behind else Severity.POSSIBLE,
        sql(_checkpoint(_quoted(connection, schema))),
    )


def _checkpoint(schema: str) -> str:
    return f"PRAGMA {schema}.wal_checkpoint(TRUNCATE);"


def _journal(
    connection: Connection, schema: str, sealing: Sealing | None
) -> Iterator[Finding]:
    path = _path(connection, schema)
    journal = path.with_name(f"{path.name}-journal") if path else None
    mode = f"PRAGMA {_quoted(connection, schema)}.journal_mode"
    if journal is not None and journal.exists() and journal.stat().st_size:
        yield Finding(
            journal.name,
            "journal",
            "a journal is kept (journal_mode = PERSIST): it holds pages as they were "
            "before the last transactions",
            Severity.FOUND if sealing else Severity.POSSIBLE,
            # Only a change of the mode removes the file.
            sql(f"{mode} = PERSIST;", f"{mode} = DELETE;"),
        )


def _path(connection: Connection, schema: str) -> Path | None:
    for _, name, file in connection.execute(text("PRAGMA database_list")):
        if name == schema and file:
            return Path(file)
    return None


def _samples(
    connection: Connection, sealed: SealedTable, schema: str
) -> Iterator[Finding]:
    quoted = _quoted(connection, schema)
    if connection.scalar(text(_STATISTICS.format(schema=quoted))) is None:
        return
    shape = " OR ".join(f"instr(sample, x'{mark.hex()}')" for mark in MARKS)
    named = {
        "table": sealed.table.name,
        "schema": schema,
        "columns": json.dumps([column.name for column in sealed.columns]),
    }
    samples = text(_SAMPLES.format(schema=quoted, sealed=shape))
    count = connection.scalar(samples, named)
    if count:
        name = table_name(connection.dialect, sealed.table)
        yield Finding(
            f"{sealed.name}, sqlite_stat4",
            "statistics",
            f"{count:,} samples are not sealed",
            Severity.FOUND,
            sql(f"ANALYZE {name};"),
        )


def _copies(
    connection: Connection, sealed: SealedTable, schema: str
) -> Iterator[Finding]:
    name = sealed.table.name
    triggers = text(_TRIGGERS.format(schema=_quoted(connection, schema)))
    for trigger in connection.scalars(triggers, {"name": name}):
        yield Finding(
            f"{sealed.name}, trigger {trigger}",
            "trigger",
            "what it has written elsewhere, an audit table or a full-text index "
            "perhaps, is not looked at",
            Severity.UNSEEN,
        )


def _quoted(connection: Connection, schema: str) -> str:
    return connection.dialect.identifier_preparer.quote(schema)
