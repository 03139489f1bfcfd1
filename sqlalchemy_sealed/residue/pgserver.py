"""The server of PostgreSQL: what it writes beside its tables - logs, WAL, slots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand
from sqlalchemy_sealed.residue.sealing import Sealing

__all__ = ["beside_tables", "statements_kept"]

_LISTS_WAL: Final = text(
    "SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE'), "
    "pg_is_in_recovery(), current_setting('wal_keep_size')"
)
#: Up to the sealing, and the file that was written after: it may have begun before.
_OLD_WAL: Final = text("""
SELECT count(*) FROM (SELECT modification, lag(modification) OVER (ORDER BY name) AS
before FROM pg_ls_waldir()) AS files
WHERE modification <= to_timestamp(:ended) OR before <= to_timestamp(:ended)
""")
_SLOTS: Final = text(
    "SELECT slot_name, pg_size_pretty(pg_current_wal_lsn() - restart_lsn) "
    "FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL"
)
_LOGS: Final = text(
    "SELECT current_setting('log_statement') IN ('mod', 'all') "
    "OR current_setting('log_min_duration_statement') <> '-1' "
    "OR current_setting('log_min_duration_sample') <> '-1' "
    "OR current_setting('log_transaction_sample_rate')::float > 0, "
    "current_setting('log_parameter_max_length') <> '0', "
    "current_setting('archive_mode') <> 'off'"
)
_STATEMENTS: Final = text("""
SELECT count(*) FILTER (WHERE position(:name IN query) > 0 AND position('''' IN query)
> 0), count(*) FILTER (WHERE query = '<insufficient privilege>') FROM pg_stat_statements
""")


def beside_tables(connection: Connection, sealing: Sealing) -> Iterator[Finding]:
    """Tell of what the server kept of the time before a sealing."""
    yield from _wal(connection, sealing)
    logged, parameters, archived = connection.execute(_LOGS).one()
    if archived:
        yield Finding(
            "archived WAL",
            "wal",
            "archive_mode is on: the archive holds the plaintext as it was written",
            Severity.UNSEEN,
            by_hand("take a new base backup, then let older ones and their WAL expire"),
        )
    if logged:
        detail = "with their parameters" if parameters else "without parameters"
        yield Finding(
            "server log",
            "log",
            f"statements are logged, {detail}: files from before the values were "
            "sealed hold them",
            Severity.UNSEEN,
            by_hand("delete the log files from before, and where they were sent to"),
        )


def _wal(connection: Connection, sealing: Sealing) -> Iterator[Finding]:
    allowed, replica, kept = connection.execute(_LISTS_WAL).one()
    if not allowed:
        yield Finding(
            "pg_wal",
            "wal",
            "this user may not list it: GRANT pg_monitor",
            Severity.UNSEEN,
        )
        return
    old = connection.scalar(_OLD_WAL, {"ended": sealing.ended})
    if old:
        yield Finding(
            "pg_wal",
            "wal",
            f"{old} files were written before the values were sealed, or in that "
            f"moment (wal_keep_size {kept}); replicas have them too",
            Severity.POSSIBLE,
            by_hand("CHECKPOINT; and time: the server overwrites or removes them"),
        )
    if replica:
        return
    for name, size in connection.execute(_SLOTS):
        literal = "'" + str(name).replace("'", "''") + "'"
        yield Finding(
            f"replication slot {name}",
            "wal",
            f"nobody reads from it, and it keeps {size} of WAL",
            Severity.POSSIBLE,
            by_hand(f"SELECT pg_drop_replication_slot({literal});"),
        )


def statements_kept(connection: Connection, name: str) -> Iterator[Finding]:
    """Tell of statements with literals in pg_stat_statements that name a table."""
    view = connection.scalar(text("SELECT to_regclass('pg_stat_statements')::text"))
    loaded = text("SELECT current_setting('pg_stat_statements.max', true)")
    if view is None or connection.scalar(loaded) is None:
        return
    found, hidden = connection.execute(_STATEMENTS, {"name": name}).one()
    if hidden:
        yield Finding(
            "pg_stat_statements",
            "statements",
            "statements of others are hidden from this user: GRANT pg_read_all_stats",
            Severity.UNSEEN,
        )
    if found:
        yield Finding(
            "pg_stat_statements",
            "statements",
            f"{found} statements on {name} are kept with literals in them",
            Severity.POSSIBLE,
            by_hand("SELECT pg_stat_statements_reset();"),
        )
