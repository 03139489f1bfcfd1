"""The states of a run and how it gets from one to another."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy_sealed.errors import ReencryptionError

__all__ = [
    "TRANSITIONS",
    "WAITS",
    "RunStatus",
    "check_transition",
    "sources_of",
]


#: Begins what a worker writes down that has a reason not to work.
WAITS = "waits: "


class RunStatus(enum.Enum):
    """Where a run stands."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CAUGHT_UP = "caught-up"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def open(self) -> bool:
        """Whether the same command goes on with this run."""
        return self in {RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPED}


_S = RunStatus
#: From -> to -> when. A killed worker leaves RUNNING behind: the next one goes on.
TRANSITIONS: Mapping[RunStatus, Mapping[RunStatus, str]] = MappingProxyType(
    {
        _S.RUNNING: {
            _S.PAUSED: "the operator paused it; each worker finishes its batch first",
            _S.STOPPED: "too many dead letters, or the table is not what it was",
            _S.CAUGHT_UP: "two looks found nothing; an old value may still appear",
            _S.COMPLETE: "the same, behind a fence or after every cache has expired",
            _S.CANCELLED: "the operator gave it up; what was moved stays moved",
            _S.SUPERSEDED: "another key became active: a new run has the newer target",
        },
        _S.PAUSED: {
            _S.RUNNING: "the operator resumed it",
            _S.CANCELLED: "the operator gave it up; what was moved stays moved",
            _S.SUPERSEDED: "another key became active: a new run has the newer target",
        },
        _S.STOPPED: {
            _S.RUNNING: "the command was run again, or the operator resumed it",
            _S.CANCELLED: "the operator gave it up; what was moved stays moved",
            _S.SUPERSEDED: "another key became active: a new run has the newer target",
        },
        _S.CAUGHT_UP: {},
        _S.COMPLETE: {},
        _S.CANCELLED: {},
        _S.SUPERSEDED: {},
    }
)


def check_transition(old: RunStatus, new: RunStatus) -> None:
    """Refuse a change that :data:`TRANSITIONS` does not hold."""
    if new not in TRANSITIONS[old]:
        raise ReencryptionError(f"a run that is {old.value} cannot become {new.value}")


def sources_of(new: RunStatus) -> list[str]:
    """Return the states from which a run may become ``new``."""
    return [old.value for old, after in TRANSITIONS.items() if new in after]
