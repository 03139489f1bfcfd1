"""The numbered steps of a worker: where a fault may strike, and tests make it strike.

Every promise of a run is tested by a fault at each of these places. ``reached`` does
nothing; a test replaces it.
"""

from __future__ import annotations

import enum

__all__ = ["Step", "reached"]


class Step(enum.Enum):
    """A place in the work of a batch, or of a run."""

    OPENED = "1.1 the run is opened or joined"
    CLAIMED = "1.2 a range is leased"
    READ = "2.1 a batch is read"
    SEALED = "2.2 its values are opened, sealed and opened again"
    BEGUN = "3.1 the transaction of the batch has begun"
    WRITTEN = "3.2 the rows are written and read back"
    RECORDED = "3.3 the cursor has moved, still in the transaction"
    COMMITTED = "3.4 the transaction is committed"
    FINISHED = "4.1 the range is done and given back"
    LOOKED = "5.1 a look for rows that are left found its answer"
    SWEPT = "5.2 another pass is planned"
    ENDED = "5.3 the run is closed"


def reached(step: Step) -> None:
    """Go on: nothing happens here outside of fault tests."""
    del step
