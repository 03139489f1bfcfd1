"""How far a run is: a value, computed from the counts in the database."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts", "Progress"]


@dataclass(frozen=True)
class Counts:
    """What became of values and rows.

    Attributes:
        scanned: rows read.
        moved: rows rewritten under the active key.
        current: rows that had nothing to rewrite.
        nulls: NULL values, left alone.
        conflicts: rows the application changed or removed in between.
        dead: values that could not be decrypted, left alone and listed.
        batches: committed transactions.

    """

    scanned: int = 0
    moved: int = 0
    current: int = 0
    nulls: int = 0
    conflicts: int = 0
    dead: int = 0
    batches: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(
                getattr(self, name) + getattr(other, name)
                for name in self.__dataclass_fields__
            )
        )


@dataclass(frozen=True)
class Progress:
    """One report of a run.

    Attributes:
        table: the table at work.
        status: status of the run.
        total: rows planned; an estimate while the application inserts.
        counts: all passes of the run together.
        sweep: 0 for the first pass over the table, then the number of the sweep.
        left: rows of the pass at work that are still ahead.
        note: why nothing happens at this moment.

    """

    table: str
    status: str
    total: int
    counts: Counts
    sweep: int = 0
    left: int = 0
    note: str | None = None

    @property
    def fraction(self) -> float:
        """The share of the pass at work that is done, 0.0 to 1.0."""
        return 1.0 if not self.total else max(0.0, 1.0 - self.left / self.total)
