"""A crew: the same job in one process or more, started at the same moment."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Self

from job import check, share
from people import People
from process import Process

from sqlalchemy_sealed import Pace

__all__ = ["Outcome", "crew", "worker"]


@dataclass(frozen=True)
class Outcome:
    """What a worker tells at its end.

    Attributes:
        moved: rows that the run had moved then.
        seconds: how long this worker was at it.
        ended: when, by the clock that all processes share.
        peak: its resident memory at most, in MiB.

    """

    moved: int
    seconds: float
    ended: float
    peak: float

    @classmethod
    def heard(cls, process: Process) -> Self:
        """Wait for a worker's end."""
        return cls(**json.loads(process.hear()))


def worker(people: People, pace: Pace, range_size: int) -> Process:
    """Return a worker that waits for a line to begin."""
    return Process("worker.py", people, json.dumps(asdict(pace)), str(range_size))


def crew(
    people: People, workers: int, rows: int | None = None
) -> tuple[float, list[Outcome]]:
    """Re-encrypt at full speed; return the seconds until the last worker ended."""
    rows = rows or people.rows
    with ExitStack() as stack:
        processes = [
            stack.enter_context(worker(people, Pace.full_speed(), share(rows)))
            for _ in range(workers)
        ]
        began = time.monotonic()
        for process in processes:
            process.say("go")
        outcomes = []
        for process in processes:
            process.expect("working")
            outcomes.append(Outcome.heard(process))
    check(max(outcome.moved for outcome in outcomes), rows)
    return max(outcome.ended for outcome in outcomes) - began, outcomes
