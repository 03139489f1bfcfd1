"""Re-encrypting a table: ``Reencryption(engine, Base).run()`` after a rotation.

Batches of 1,000 and no rate: ``Pace.full_speed()``. Baselines: see ``baselines.py`` and
``loops.py``. Every measurement starts from a fresh copy of the table in the same
physical state, and the order alternates.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from unittest.mock import patch

import memory
from baselines import mariadb_update, postgresql_update, sqlite_update
from crew import crew
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from job import move
from loops import LOOPS, Loop
from measure import Line, Samples, Spread, interleave, timed
from people import MariadbPeople, People, PostgresqlPeople, SqlitePeople
from pool import pooled
from setting import Setting, server_database, sqlite_database

from sqlalchemy_sealed.jobs.portable import PortableRows

__all__ = ["run"]

_LOOPED = 20_000
_CALLS = 50_000
_SQLITE_ROWS = 100_000
_MARIADB_ROWS = 200_000
_LIMIT, _ONE, _TWO = "its own UPDATE", "re-encryption", "re-encryption, two processes"
_POOLED = "re-encryption, ProcessPoolExecutor(2)"
_SWAPPED = "executemany, compare-and-swap"

#: What no job that verifies its values can beat: see ``_three_calls``.
_CIPHER = "AESGCM alone, three calls per value"

_Contenders = dict[str, Callable[[], float]]


def run(setting: Setting) -> list[Line]:
    """Return rates, shares of the limit, and peak memory."""
    lines: list[Line] = []
    with server_database(setting.url) as url:
        people: People = PostgresqlPeople(url, setting.rows)
        contenders = _contenders(people, postgresql_update)
        contenders[_TWO] = lambda: _two(people)
        contenders[_POOLED] = lambda: _pooled(people)
        goals = {_ONE: ">= 0.65", _TWO: ">= 0.85"}
        samples = interleave(contenders | _loops(people), setting.repeat)
        lines += _lines("PostgreSQL", people, samples, goals)
        lines += memory.lines(people)
    lines += _mariadb(setting)
    with sqlite_database() as file:
        small = SqlitePeople(file, min(setting.rows, _SQLITE_ROWS))
        contenders = _contenders(small, sqlite_update) | _loops(small)
        samples = interleave(contenders, setting.repeat)
        lines += _lines("SQLite", small, samples, {_ONE: ">= 0.15"})
    return lines


def _mariadb(setting: Setting) -> list[Line]:
    if not setting.mariadb_url:
        print("reencrypt: MariaDB is left out, --mariadb-url is empty", flush=True)
        return []
    with server_database(setting.mariadb_url) as url:
        people = MariadbPeople(url, min(setting.rows, _MARIADB_ROWS))
        contenders = _contenders(people, mariadb_update)
        contenders[_SWAPPED] = lambda: _swapped(people)
        samples = interleave(contenders, setting.repeat)
        return _lines("MariaDB", people, samples, {_ONE: ">= 0.15"})


def _contenders(people: People, update: Callable[[People], None]) -> _Contenders:
    """Return what measures the limit and the job, in rows per second."""

    def rate(work: Callable[[People], None]) -> float:
        people.fresh()
        return people.rows / timed(lambda: work(people))

    return {
        _LIMIT: lambda: rate(update),
        _ONE: lambda: rate(move),
        _CIPHER: lambda: _CALLS / timed(_three_calls),
    }


def _three_calls() -> None:
    """Open, seal and open again a value of 32 bytes: no database, no key, no copy."""
    cipher = AESGCM(bytes(range(32)))
    nonce, aad = os.urandom(12), os.urandom(24)
    sealed = cipher.encrypt(nonce, bytes(32), aad)
    for _ in range(_CALLS):
        plain = cipher.decrypt(nonce, sealed, aad)
        again = cipher.encrypt(nonce, plain, aad)
        cipher.decrypt(nonce, again, aad)


def _loops(people: People) -> _Contenders:
    rows = min(people.rows, _LOOPED)

    def rate(loop: Loop) -> float:
        loop.fill(people.url, rows)
        return rows / timed(lambda: loop.run(people.url))

    return {name: lambda loop=loop: rate(loop) for name, loop in LOOPS.items()}


def _two(people: People) -> float:
    people.fresh()
    seconds, _ = crew(people, 2)
    return people.rows / seconds


def _pooled(people: People) -> float:
    people.fresh()
    return people.rows / pooled(people)


def _swapped(people: People) -> float:
    # What the job would do without a path of its own for this database.
    rows = min(people.rows, _LOOPED)
    people.fresh(rows)
    portable = lambda engine, move, _polite: PortableRows(engine, move)  # noqa: E731
    with patch("sqlalchemy_sealed.jobs.mariadb.MariadbRows", portable):
        return rows / timed(lambda: move(people, rows))


def _lines(
    database: str, people: People, samples: Samples, goals: dict[str, str]
) -> list[Line]:
    title = f"{database}, {people.rows:,} rows"
    rates = [
        Line("reencrypt", f"{title}: {name}", Spread.of(rate), "rows/s")
        for name, rate in samples.items()
    ]
    shares = [
        Line(
            "reencrypt",
            f"{title}: {name}",
            Spread.ratio(rate, samples[_LIMIT]),
            "of the limit",
            goals.get(name, ""),
        )
        for name, rate in samples.items()
        if name != _LIMIT
    ]
    return [*rates, *shares, *_beyond_loops(title, database, samples)]


def _beyond_loops(title: str, database: str, samples: Samples) -> list[Line]:
    return [
        Line(
            "reencrypt",
            f"{title}: {_ONE} against {name.removeprefix('ORM loop, ')}",
            Spread.ratio(samples[_ONE], samples[name]),
            "x the ORM loop",
            ">= 5" if database == "PostgreSQL" else "",
        )
        for name in LOOPS
        if name in samples
    ]
