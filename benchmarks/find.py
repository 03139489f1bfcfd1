"""Finding what is left to re-encrypt: by a scan, and with the partial index.

A table of which all but a few rows were re-encrypted: what is asked again and again
towards the end of a rotation, by the job, by ``sealed status`` and by a health check.
``Leftovers`` takes a connection from the pool, asks, and gives it back; all of that is
in the time. A round's figure is the mean of some calls in a row, as in ``lookup``: the
first one after a pause costs more, by what the processor has forgotten meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from job import move
from measure import Line, Samples, Spread, interleave, timed
from people import Base, PostgresqlPeople
from setting import Setting, sealed_engine, server_database
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import Reencryption
from sqlalchemy_sealed.jobs.leftovers import Leftovers

__all__ = ["run"]

_LEFT = 1_500
_NEXT = 1_000
_CALLS = {"scan": 3, "partial index": 50}


def run(setting: Setting) -> list[Line]:
    """Return milliseconds per question, and for building the index."""
    with server_database(setting.url) as url:
        people = PostgresqlPeople(url, setting.rows)
        left = _lay_out(people)
        engine = sealed_engine(url, people.keyring)
        (mover,) = Reencryption(engine, Base).movers()
        leftovers = Leftovers(engine, mover.rows)
        _check(leftovers, left)
        title = f"PostgreSQL, {setting.rows:,} rows, {left:,} left"
        lines = _lines(title, "scan", _measure(leftovers, "scan", setting.repeat))
        built = timed(leftovers.create_index) * 1e3
        lines.append(Line("find", f"{title}: building", Spread.of([built]), "ms"))
        _vacuum(people)
        found = _measure(leftovers, "partial index", setting.repeat)
        lines += _lines(title, "partial index", found)
        _check(leftovers, left)
        engine.dispose()
    return lines


def _lay_out(people: PostgresqlPeople) -> int:
    """Re-encrypt the table, and put some of its former values back."""
    people.fresh()
    move(people)
    every = max(1, people.rows // min(_LEFT, people.rows // 10))
    engine = create_engine(people.url)
    with engine.begin() as connection:
        done = connection.execute(
            text(
                "UPDATE person SET email = source.email FROM source "
                f"WHERE source.id = person.id AND mod(person.id, {every}) = 0"
            )
        )
    engine.dispose()
    _vacuum(people)
    return done.rowcount


def _vacuum(people: PostgresqlPeople) -> None:
    engine = create_engine(people.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in ("VACUUM (ANALYZE) person", "CHECKPOINT"):
            connection.execute(text(statement))
    engine.dispose()


def _check(leftovers: Leftovers, left: int) -> None:
    keys = leftovers.next(_NEXT)
    found = leftovers.exist(), leftovers.count(), len(keys)
    if found != (True, left, min(left, _NEXT)) or keys != sorted(keys):
        raise SystemExit(f"{left} rows were left, and found was {found}")


def _measure(leftovers: Leftovers, how: str, repeat: int) -> Samples:
    questions: dict[str, Callable[[], object]] = {
        "exist()": leftovers.exist,
        "count()": leftovers.count,
        f"next({_NEXT:,})": partial(leftovers.next, _NEXT),
    }

    calls = _CALLS[how]

    def measure(question: Callable[[], object]) -> float:
        def ask() -> None:
            for _ in range(calls):
                question()

        return timed(ask) / calls * 1e3

    contenders = {name: partial(measure, q) for name, q in questions.items()}
    return interleave(contenders, repeat)


def _lines(title: str, how: str, samples: Samples) -> list[Line]:
    goal = "<= 1" if how == "partial index" else ""
    return [
        Line("find", f"{title}: {name}, {how}", Spread.of(found), "ms", goal)
        for name, found in samples.items()
    ]
