"""The peak resident memory of a process that re-encrypts and does nothing else.

A process of its own, because the peak of this one is that of all the parts before.
"""

from __future__ import annotations

from crew import crew
from measure import Line, Spread
from people import People

__all__ = ["lines"]

_SMALL = 100_000


def lines(people: People) -> list[Line]:
    """Return the peak for few and for all rows: the two should be the same."""
    found = []
    for rows in sorted({min(_SMALL, people.rows), people.rows}):
        people.fresh(rows)
        _, (outcome,) = crew(people, 1, rows)
        title = f"PostgreSQL, {rows:,} rows: peak resident memory"
        value = Spread.of([outcome.peak])
        found.append(Line("reencrypt", title, value, "MiB", "<= 100"))
    return found
