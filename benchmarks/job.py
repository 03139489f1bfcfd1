"""The job that is measured, in this process; ``worker.py`` has it in another one.

Everything it does is in its time: planning the ranges, reading, opening, sealing,
opening again, compare-and-swap, reading back, the cursor, the last looks.
"""

from __future__ import annotations

from people import Base, People
from setting import sealed_engine
from sqlalchemy import create_engine

from sqlalchemy_sealed import Pace, Reencryption
from sqlalchemy_sealed.jobs.control import cancel, open_runs

__all__ = ["RANGE", "check", "give_up", "move", "share"]

#: Rows per range, as a job has it by default.
RANGE = 50_000


def share(rows: int) -> int:
    """Return a size of ranges that gives two workers something to share.

    It is the default for a million rows and more, and a twentieth of fewer.
    """
    return max(1_000, min(RANGE, rows // 20))


def move(
    people: People,
    rows: int | None = None,
    pace: Pace | None = None,
    range_size: int = RANGE,
) -> None:
    """Re-encrypt the table, by default at full speed."""
    engine = sealed_engine(people.url, people.keyring)
    pace = pace or Pace.full_speed()
    job = Reencryption(engine, Base, pace=pace, range_size=range_size)
    (report,) = job.run()
    engine.dispose()
    check(report.counts.moved, rows or people.rows)


def check(moved: int, rows: int) -> None:
    """Stop the benchmarks if a row was left out."""
    if moved != rows:
        raise SystemExit(f"{moved} of {rows} rows were re-encrypted")


def give_up(people: People) -> int:
    """Cancel what is still open; return how many runs were."""
    engine = create_engine(people.url)
    states = open_runs(engine)
    for state in states:
        cancel(engine, state)
    engine.dispose()
    return len(states)
