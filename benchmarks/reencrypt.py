"""Re-encrypting a table: ``Reencryption(engine, Base).run()`` after a rotation.

Everything the job does is in the time: planning the ranges, reading, opening, sealing,
opening again, compare-and-swap, reading back, the cursor, the final count; one worker,
batches of 1,000. Baselines: see ``baselines.py``. Every measurement starts from a fresh
copy of the table in the same physical state, and the order alternates.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from baselines import BATCH, orm_loop, postgresql_update, prepare_loop, sqlite_update
from measure import Line, Spread, interleave, timed
from people import Base, People, PostgresqlPeople, SqlitePeople
from setting import Setting, sealed_engine, server_database, sqlite_database

from sqlalchemy_sealed import Reencryption

__all__ = ["run"]

_LOOPED = 20_000
_SQLITE_ROWS = 100_000
_SMALL = 100_000


def run(setting: Setting) -> list[Line]:
    """Return rates, shares of the limit, and peak memory."""
    with server_database(setting.url) as url:
        people: People = PostgresqlPeople(url, setting.rows)
        lines = _measure("PostgreSQL", people, postgresql_update, setting.repeat)
        lines += _memory(people)
    with sqlite_database() as file:
        people = SqlitePeople(file, min(setting.rows, _SQLITE_ROWS))
        lines += _measure("SQLite", people, sqlite_update, setting.repeat)
    return lines


def _measure(
    database: str, people: People, update: Callable[[People], None], repeat: int
) -> list[Line]:
    looped = min(people.rows, _LOOPED)

    def limit() -> float:
        people.fresh()
        return people.rows / timed(lambda: update(people))

    def sealed() -> float:
        people.fresh()
        return people.rows / timed(lambda: _reencrypt(people))

    def loop() -> float:
        prepare_loop(people.url, looped)
        return looped / timed(orm_loop(people.url))

    names = "its own UPDATE", "re-encryption", "ORM loop, SQLAlchemy-Utils"
    samples = interleave(dict(zip(names, (limit, sealed, loop), strict=True)), repeat)
    title = f"{database}, {people.rows:,} rows"
    rates = [
        Line("reencrypt", f"{title}: {name}", Spread.of(rate), "rows/s")
        for name, rate in samples.items()
    ]
    goals = {"re-encryption": ">= 0.50"} if database == "PostgreSQL" else {}
    shares = [
        Line(
            "reencrypt",
            f"{title}: {name}",
            Spread.ratio(samples[name], samples[names[0]]),
            "of the limit",
            goals.get(name, ""),
        )
        for name in names[1:]
    ]
    return [*rates, *shares]


def _reencrypt(people: People) -> None:
    engine = sealed_engine(people.url, people.keyring)
    (report,) = Reencryption(engine, Base, batch_size=BATCH).run()
    engine.dispose()
    _check(report.counts.moved, people.rows)


def _check(moved: int, rows: int) -> None:
    if moved != rows:
        raise SystemExit(f"{moved} of {rows} rows were re-encrypted")


def _memory(people: People) -> list[Line]:
    lines = []
    for rows in sorted({min(_SMALL, people.rows), people.rows}):
        people.fresh(rows)
        moved, peak = _peak(people)
        _check(moved, rows)
        title = f"PostgreSQL, {rows:,} rows: peak resident memory"
        lines.append(Line("reencrypt", title, Spread.of([peak]), "MiB"))
    return lines


def _peak(people: People) -> tuple[int, float]:
    # A process of its own: the peak of this one is that of all the parts before.
    keys = " ".join(key.to_text() for key in people.keyring)
    environment = {
        **os.environ,
        "SEALED_KEYS": f"active={people.keyring.active.version} {keys}",
    }
    url = people.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("memory.py"), url],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    moved, peak = done.stdout.split()
    return int(moved), float(peak)
