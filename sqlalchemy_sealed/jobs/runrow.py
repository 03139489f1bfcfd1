"""The row of a run, as it was a moment ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row

from sqlalchemy_sealed.jobs.status import RunStatus

__all__ = ["RunRow"]


@dataclass(frozen=True)
class RunRow:
    """The row of a run, as it was a moment ago."""

    id: str
    table: str
    kind: str
    columns: str
    target: str
    status: RunStatus
    sweep: int
    empty_looks: int
    emptied_at: float | None
    schema_hash: str
    vacuumed: int
    last_error: str | None

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Return the values that workers look at."""
        return cls(
            row.id,
            row.table_name,
            row.kind,
            row.column_names,
            row.target,
            RunStatus(row.status),
            row.sweep,
            row.empty_looks,
            row.emptied_at,
            row.schema_hash,
            row.vacuumed,
            row.last_error,
        )
