"""The harness itself: a job that is broken on purpose is found out.

A harness that never fails proves nothing. Each of these takes one safeguard away, and
some schedule must break the promise that rests on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults.place import Place, opened
from faults.schedule import ScheduleFailed, play
from faults.world import World
from sqlalchemy import bindparam, update

from sqlalchemy_sealed.jobs import ranges, steps, tables
from sqlalchemy_sealed.jobs.portable import PortableRows, _PortableWrite
from sqlalchemy_sealed.jobs.write import Pending

pytestmark = pytest.mark.thorough

MOST_SCHEDULES = 150


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with opened("sqlite") as place:
        yield place


def found_out(place: Place, fits: Callable[[World], bool]) -> str:
    """Play schedules until one fails; return its report."""
    played = 0
    for seed in range(1, 10_000):
        if not fits(World(place, seed)):
            continue
        played += 1
        try:
            play(place, seed)
        except ScheduleFailed as failure:
            return str(failure)
        if played == MOST_SCHEDULES:
            break
    return f"nothing in {played} schedules"


def without_comparing(rows: Any) -> Any:
    """Write by key alone, whatever the row holds by now."""
    where = [key == bindparam(f"k{n}") for n, key in enumerate(rows.keys)]
    names = {rows.values[n].name: bindparam(f"n{n}") for n in rows.move.written}
    return update(rows.table).where(*where).values(names)


def test_writing_without_compare_and_swap_loses_a_write(place, monkeypatch):
    """In SQLite the kind of job is not re-encryption, which seals under its lock."""
    monkeypatch.setattr(PortableRows, "_statement", without_comparing)
    report = found_out(
        place, lambda world: world.shape.kind == "encrypt" and not world.quiet
    )
    assert "lost acknowledged write" in report, report


def test_a_worker_without_a_token_is_found_out(place, monkeypatch):
    """A zombie counts again what another worker has done."""
    without = lambda range_id, _token: tables.ranges.c.id == range_id
    monkeypatch.setattr(ranges, "_held", without)
    assert "Broken" in found_out(place, lambda world: world.quiet)


def test_a_cursor_that_moves_before_its_rows_is_found_out(place, monkeypatch):
    """Killed in between, the rows are never moved."""

    def submit(write: Any, writer: Any) -> Pending:
        counts = write.batch.counts(len(write.batch.changed))
        with writer.begin():
            write._record(writer, write.batch, counts)
        steps.reached(steps.Step.RECORDED)
        with writer.begin():
            write._rows.write(writer, write.batch, write._parameters)
        return Pending(counts)

    monkeypatch.setattr(_PortableWrite, "submit", submit)
    report = found_out(
        place, lambda world: world.quiet and world.shape.kind != "reencrypt"
    )
    assert "Broken: moved, conflicts, scanned" in report, report
