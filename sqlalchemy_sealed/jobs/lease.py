"""A lease: the right to write one range, until another worker's token is newer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy_sealed.errors import LeaseLostError
from sqlalchemy_sealed.jobs.rowkey import RowKey

__all__ = ["LEASE_SECONDS", "Lease"]

#: How long a range belongs to a worker after its last batch.
LEASE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Lease:
    """A range that this worker may write, as long as its token is the newest."""

    table: str
    run_id: str
    range_id: str
    token: int
    cursor: RowKey | None
    high: RowKey | None

    def lost(self) -> LeaseLostError:
        """Return the error of a batch that may not be written."""
        return LeaseLostError(
            f"{self.table}: the run was paused or ended, or this worker was away "
            f"longer than its lease of {LEASE_SECONDS:.0f} s and another one took "
            "over; nothing was written"
        )
