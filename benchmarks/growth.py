"""How the cost of a row grows with the table: it should not.

The same job, the same table, in one worker at full speed, at 100,000, 1,000,000 and
5,000,000 rows; ``--rows`` says how far. What a run costs once, its plan, its
bookkeeping and its last looks, is spread over the rows, and so is at its most for the
smallest table.
"""

from __future__ import annotations

from functools import partial

from job import move
from measure import Line, Spread, interleave, timed
from people import PostgresqlPeople
from setting import Setting, server_database

__all__ = ["run"]

_SIZES = (100_000, 1_000_000, 5_000_000)


def run(setting: Setting) -> list[Line]:
    """Return microseconds per row at each size, and how much they differ."""
    sizes = _sizes(setting.rows)
    with server_database(setting.url) as url:
        people = PostgresqlPeople(url, sizes[-1])
        contenders = {f"{n:,}": partial(_measure, people, n) for n in sizes}
        samples = interleave(contenders, setting.repeat)
    names = list(contenders)
    lines = [
        Line("growth", f"PostgreSQL, {name} rows", Spread.of(found), "us per row")
        for name, found in samples.items()
    ]
    ratio = Spread.ratio(samples[names[-1]], samples[names[0]])
    title = f"PostgreSQL, {names[-1]} against {names[0]} rows"
    goal = "<= 1.15" if sizes[0] in _SIZES else ""
    return [*lines, Line("growth", title, ratio, "x per row", goal)]


def _sizes(rows: int) -> list[int]:
    sizes = [size for size in _SIZES if size <= rows]
    # A first look with few rows has two sizes too.
    return sizes if len(sizes) > 1 else [rows // 10, rows]


def _measure(people: PostgresqlPeople, rows: int) -> float:
    people.fresh(rows)
    return timed(lambda: move(people, rows)) / rows * 1e6
