"""The server of MariaDB and MySQL: what it writes beside its tables, its logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand
from sqlalchemy_sealed.residue.sealing import Sealing
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["beside_tables"]

_SETTINGS: Final = text(
    "SELECT @@log_bin, @@general_log OR @@slow_query_log, @@log_output"
)
_LOG_TABLES: Final = {
    "general_log": "SELECT count(*) FROM mysql.general_log WHERE "
    "event_time <= from_unixtime(:ended) AND locate(:name, argument)",
    "slow_log": "SELECT count(*) FROM mysql.slow_log WHERE "
    "start_time <= from_unixtime(:ended) AND locate(:name, sql_text)",
}


def beside_tables(
    connection: Connection, sealed: SealedTable, sealing: Sealing
) -> Iterator[Finding]:
    """Tell of what the server kept of the time before a sealing."""
    binary, logged, output = connection.execute(_SETTINGS).one()
    if binary:
        yield from _binary(connection)
    if logged and "FILE" in str(output):
        yield Finding(
            "server log",
            "log",
            "statements are logged, with their values: files from before they were "
            "sealed hold them",
            Severity.UNSEEN,
            by_hand("delete the files of the general and the slow query log"),
        )
    for name, query in _LOG_TABLES.items():
        yield from _log_table(connection, sealed, sealing, name, query)
    yield Finding(
        "undo, redo, doublewrite and relay logs",
        "log",
        "InnoDB overwrites them in turn; old values may be in them until then",
        Severity.UNSEEN,
        by_hand(
            "time; or a restart after SET GLOBAL innodb_fast_shutdown = 0, which "
            "purges old row versions"
        ),
    )


def _binary(connection: Connection) -> Iterator[Finding]:
    try:
        files = connection.execute(text("SHOW BINARY LOGS")).all()
    except DBAPIError:
        files = []
    many = len(files) > 1
    yield Finding(
        "binary log",
        "log",
        f"{len(files)} files hold values as they were written, from before they were "
        "sealed too, unless those files are gone already"
        if many
        else "log_bin is on: what was written before the values were sealed is in it, "
        "unless the file at work was begun since",
        Severity.POSSIBLE if many else Severity.UNSEEN,
        by_hand(
            "FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE now(); -- when replicas and "
            "backups have read them"
        ),
    )


def _log_table(
    connection: Connection,
    sealed: SealedTable,
    sealing: Sealing,
    name: str,
    query: str,
) -> Iterator[Finding]:
    named = {"ended": sealing.ended, "name": sealed.table.name}
    try:
        count = connection.scalar(text(query), named) or 0
    except DBAPIError:
        yield Finding(
            f"mysql.{name}",
            "log",
            "it is hidden from this user: GRANT SELECT on it",
            Severity.UNSEEN,
        )
        return
    if count:
        yield Finding(
            f"mysql.{name}",
            "log",
            f"{count:,} statements on {sealed.table.name} from before its values were "
            "sealed",
            Severity.FOUND,
            by_hand(f"TRUNCATE TABLE mysql.{name};"),
        )
