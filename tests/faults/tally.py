"""The tally of schedules: how much has happened while nothing was lost."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts of one schedule, or of many."""

    schedules: int = 0
    steps: int = 0
    acknowledged: int = 0
    refused: int = 0
    kills: int = 0
    zombies: int = 0
    rotations: int = 0
    errors: int = 0
    crashes: int = 0
    controls: int = 0
    moved: int = 0
    conflicts: int = 0
    dead: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        for one in fields(self):
            total = getattr(self, one.name) + getattr(other, one.name)
            setattr(self, one.name, total)
        return self

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, f.name)} {f.name}" for f in fields(self))
