"""What a run writes to disk: write-ahead log per row, and how much the table grows.

PostgreSQL keeps the old version of every row until it is vacuumed. Autovacuum is off
for the table, so that the growth does not depend on when it happens to come by: the
line "with vacuum" is what ``Pace(vacuum=True)`` does alone. Beside it the server's own
UPDATE, which cannot write less. The run begins right behind a checkpoint, so the first
change of every page is logged as the whole page; a table whose pages were changed
shortly before costs less. Nothing of this depends on time: it is measured once. But the
log is that of the whole server: whoever else writes there meanwhile is counted too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from baselines import postgresql_update
from job import move, share
from measure import Line, Spread
from people import People, PostgresqlPeople
from setting import Setting, server_database
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import Pace

__all__ = ["run"]


def run(setting: Setting) -> list[Line]:
    """Return bytes of log per row and the growth of the table."""
    with server_database(setting.url) as url:
        people = PostgresqlPeople(url, setting.rows)
        # Vacuum comes between ranges: there have to be some in a small table too.
        job = partial(move, range_size=share(people.rows))
        contenders: dict[str, Callable[[People], None]] = {
            "its own UPDATE": postgresql_update,
            "re-encryption": job,
            "re-encryption with vacuum": partial(
                job, pace=replace(Pace.full_speed(), vacuum=True)
            ),
        }
        found = {name: _measure(people, work) for name, work in contenders.items()}
    title = f"PostgreSQL, {setting.rows:,} rows"
    logs, growths = [], []
    for name, (log, growth) in found.items():
        what = f"{title}: {name}"
        logs.append(Line("disk", f"{what}, log", Spread.of([log]), "bytes per row"))
        growths.append(Line("disk", f"{what}, table", Spread.of([growth]), "x before"))
    return [*logs, *growths]


def _measure(people: People, work: Callable[[People], None]) -> tuple[float, float]:
    people.fresh()
    engine = create_engine(people.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def scalar(sql: str) -> Any:
            return connection.execute(text(sql)).scalar_one()

        connection.execute(text("ALTER TABLE person SET (autovacuum_enabled = off)"))
        size = scalar("SELECT pg_total_relation_size('person')")
        log = scalar("SELECT pg_current_wal_lsn()::text")
        work(people)
        behind = f"pg_wal_lsn_diff(pg_current_wal_lsn(), '{log}')"
        written = scalar(f"SELECT {behind}::float8")
        grown = scalar("SELECT pg_total_relation_size('person')")
    engine.dispose()
    return written / people.rows, grown / size
