"""MariaDB and MySQL: pages that were not rebuilt, statistics, and the logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.jobs.tablename import quoted, table_name
from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand, locking
from sqlalchemy_sealed.residue.innodbtable import InnodbTable
from sqlalchemy_sealed.residue.mariadbserver import beside_tables
from sqlalchemy_sealed.residue.mariadbstatistics import samples, samples_behind
from sqlalchemy_sealed.residue.sealing import Sealing, sealing_of
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["look"]

_TRIGGERS: Final = text(
    "SELECT trigger_name FROM information_schema.triggers WHERE "
    "event_object_table = :name AND trigger_name NOT LIKE 'sealed^_fence^_%' ESCAPE "
    "'^' AND event_object_schema = coalesce(:schema, database()) ORDER BY 1"
)
_MARK: Final = "ALTER TABLE sealed_runs FORCE;"
_HOLDERS: Final = text(
    "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
    "WHERE unix_timestamp(trx_started) <= :ended AND trx_mysql_thread_id <> "
    "connection_id()"
)


def look(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    """Tell of the residue of a table."""
    sealing = sealing_of(connection, sealed.name)
    sampled = list(samples(connection, sealed))
    yield from sampled
    yield from _rows(connection, sealed, sealing)
    yield from _words(connection, sealed)
    if sealing:
        fresh = any(one.found for one in sampled)
        yield from samples_behind(connection, sealed, sealing, fresh)
        yield from _held(connection, sealing)
        yield from beside_tables(connection, sealed, sealing)
    named = {"name": sealed.table.name, "schema": sealed.table.schema}
    for trigger in connection.scalars(_TRIGGERS, named):
        yield Finding(
            f"{sealed.name}, trigger {trigger}",
            "trigger",
            "what it has written elsewhere, an audit table perhaps, is not looked at",
            Severity.UNSEEN,
        )


def _rows(
    connection: Connection, sealed: SealedTable, sealing: Sealing | None
) -> Iterator[Finding]:
    rebuild = f"ALTER TABLE {table_name(connection.dialect, sealed.table)} FORCE;"
    found = InnodbTable.of(connection, sealed.table)
    mark = InnodbTable.mark(connection) if sealing else None
    if found is None:
        return
    if sealing is None or mark is None:
        if found.free:
            yield Finding(
                sealed.name,
                "rows",
                f"{found.free:,} bytes of its file are free, of which no job has "
                "recorded whether they were plaintext",
                Severity.POSSIBLE,
                locking(rebuild),
            )
        return
    # So that the rebuild of the table can be told from a later change of it.
    first = () if mark.defined > sealing.ended else (_MARK,)
    if found.older_than(sealing.ended, mark):
        yield Finding(
            sealed.name,
            "rows",
            "the table was not rebuilt since its values were sealed: old row versions, "
            "and columns that were dropped since, lie in its pages and indexes",
            Severity.FOUND,
            locking(*first, rebuild),
        )
    elif not found.newer_than(sealing.ended, mark):
        yield Finding(
            sealed.name,
            "rows",
            "since its values were sealed the table was rebuilt, or a column was added "
            "or dropped instantly, which looks the same from here",
            Severity.UNSEEN,
            locking(*first, rebuild),
        )


def _words(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    names = {column.name for column in sealed.columns}
    owner = sealed.table
    indexes: Any = inspect(connection).get_indexes(owner.name, owner.schema)
    for index in indexes:
        full_text = "FULLTEXT" in index.get("dialect_options", {}).values()
        if full_text and names & set(index["column_names"]):
            name = table_name(connection.dialect, owner)
            own = quoted(connection.dialect, index["name"])
            yield Finding(
                f"{sealed.name}, index {index['name']}",
                "full-text index",
                "it keeps words of the plaintext in tables of its own, and finds "
                "nothing in sealed values",
                Severity.FOUND,
                by_hand(f"ALTER TABLE {name} DROP INDEX {own};"),
            )


def _held(connection: Connection, sealing: Sealing) -> Iterator[Finding]:
    try:
        held = connection.scalars(_HOLDERS, {"ended": sealing.ended}).all()
    except DBAPIError:
        yield Finding(
            "undo log",
            "undo",
            "whether open transactions keep old row versions is hidden from this "
            "user: GRANT PROCESS",
            Severity.UNSEEN,
        )
        return
    for thread in held:
        yield Finding(
            "undo log",
            "undo",
            f"the transaction of connection {thread} is open since before the values "
            "were sealed: old row versions are kept for it, if it has read",
            Severity.POSSIBLE,
            by_hand(f"KILL {thread};"),
        )
