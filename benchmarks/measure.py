"""Timing, repetition and the table of results.

Absolute rates drift by a third on a shared machine, so nothing is compared across
runs: every contender is measured once per round, rounds alternate their direction, and
a ratio is taken within each round. A result is the median of those ratios with the
smallest and the largest beside it. The first round warms caches up and is not counted.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Line", "Samples", "Spread", "interleave", "print_table", "timed"]

#: Contender -> one measurement per round, all in the same unit.
Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def ratio(cls, above: Sequence[float], below: Sequence[float]) -> Spread:
        """Return the ratio of two contenders, taken round by round."""
        return cls.of([a / b for a, b in zip(above, below, strict=True)])


@dataclass(frozen=True)
class Line:
    """One line of the table: a value, and the goal it is held against if any."""

    part: str
    what: str
    value: Spread
    unit: str
    goal: str = ""

    @property
    def verdict(self) -> str:
        """Return "met" or "missed"; a goal reads ``<= 1.3`` or ``>= 0.50``."""
        if not self.goal:
            return ""
        sign, limit = self.goal.split()
        met = (
            self.value.median <= float(limit)
            if sign == "<="
            else self.value.median >= float(limit)
        )
        return "met" if met else "missed"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes; what it returns is kept meanwhile.

    The garbage collector runs first, and then is on or off as for everything else: it
    walks through all objects that were loaded so far, for plaintext and for sealed
    columns alike, which is the larger half of loading plaintext.
    """
    gc.collect()
    start = time.perf_counter()
    kept = work()
    elapsed = time.perf_counter() - start
    del kept
    return elapsed


def interleave(contenders: Mapping[str, Callable[[], float]], repeat: int) -> Samples:
    """Measure every contender once per round: A B C, C B A, A B C, ..."""
    samples: Samples = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(repeat + 1):
        for name in names if number % 2 == 0 else reversed(names):
            measured = contenders[name]()
            if number > 0:
                samples[name].append(measured)
    return samples


def print_table(lines: Sequence[Line]) -> None:
    """Print measured against goal."""
    rows = [("part", "what", "median", "min - max", "unit", "goal", "")]
    for line in lines:
        median, low, high = (
            _figure(x) for x in (line.value.median, line.value.low, line.value.high)
        )
        rows.append(
            (
                line.part,
                line.what,
                median,
                f"{low} - {high}",
                line.unit,
                line.goal,
                line.verdict,
            )
        )
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
