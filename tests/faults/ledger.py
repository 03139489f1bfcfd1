"""The ledger: what the application was told is stored. It knows nothing of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from faults.shapes import Shape

__all__ = ["PENDING", "Ledger", "Row"]

Row: TypeAlias = dict[str, Any]


class _Pending:
    def __repr__(self) -> str:
        return "PENDING"


#: The target of a two-column job: NULL as yet, or what the source is.
PENDING = _Pending()


@dataclass
class Ledger:
    """Acknowledged rows by serial number.

    Attributes:
        rows: what was acknowledged.
        doubts: rows of a commit that was never answered: either of the two is right.
        damaged: serial to the column and bytes of what somebody has spoilt.
        initial: rows there were before the job.
        inserted: rows that came since, or came back under another key.
        acknowledged: how many writes.

    """

    shape: Shape
    rows: dict[int, Row] = field(default_factory=dict)
    doubts: dict[int, tuple[Row | None, Row | None]] = field(default_factory=dict)
    damaged: dict[int, tuple[str, Any]] = field(default_factory=dict)
    initial: int = 0
    inserted: int = 0
    acknowledged: int = 0

    def acknowledge(self, changes: dict[int, Row | None]) -> None:
        """Write down what a commit has made of some rows; ``None`` is gone."""
        for serial, row in changes.items():
            self.acknowledged += 1
            self._count(self.rows.get(serial), row)
            self.doubts.pop(serial, None)
            if row is None:
                self.rows.pop(serial, None)
                self.damaged.pop(serial, None)
            else:
                self.rows[serial] = row

    def doubt(self, changes: dict[int, Row | None]) -> None:
        """Write down that nobody knows whether a commit has happened."""
        for serial, row in changes.items():
            before = self.rows.get(serial)
            self._count(before, row)
            self.doubts[serial] = (before, row)

    def _count(self, before: Row | None, row: Row | None) -> None:
        keys = [r and [r[name] for name in self.shape.key] for r in (before, row)]
        self.inserted += row is not None and keys[0] != keys[1]

    def settle(self, found: dict[int, Row]) -> None:
        """Take what is there for what was committed, where either may be."""
        for serial, both in list(self.doubts.items()):
            there = found.get(serial)
            for one in both:
                if (one is None) is (there is None) and (
                    one is None or not self.difference(one, there)
                ):
                    del self.doubts[serial]
                    if one is None:
                        self.rows.pop(serial, None)
                    else:
                        self.rows[serial] = one
                    break

    def difference(
        self, expected: Row, found: Row | None, finished: bool = False
    ) -> str:
        """Return how a row differs from what it should be, or nothing."""
        if found is None:
            return "the row is gone"
        for name, value in expected.items():
            wanted = [value]
            if value is PENDING:
                source = expected[self.shape.source or ""]
                wanted = [source] if finished else [source, None]
            if found[name] not in wanted:
                return f"{name} is {found[name]!r}, acknowledged was {wanted}"
        return ""

    def free(self) -> list[int]:
        """Return the rows that the application may write: those it can read."""
        return [n for n in self.rows if n not in self.damaged and n not in self.doubts]

    def mismatched(self) -> set[int]:
        """Return rows whose two columns differ, so that a job must leave both alone."""
        source, target = self.shape.source, self.shape.target
        if source is None or target is None:
            return set()
        return {
            serial
            for serial, row in self.rows.items()
            if row[target] is not PENDING
            and row[target] is not None
            and row[target] != row[source]
        }
