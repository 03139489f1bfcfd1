"""The states of a run and how it gets from one to another."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy_sealed.errors import ReencryptionError

__all__ = ["TRANSITIONS", "RunStatus", "check_transition"]


class RunStatus(enum.Enum):
    """Where a run stands."""

    RUNNING = "running"
    CAUGHT_UP = "caught-up"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"

    @property
    def open(self) -> bool:
        """Whether the same command goes on with this run."""
        return self in {RunStatus.RUNNING, RunStatus.STOPPED}


_S = RunStatus
#: From -> to -> when. A killed process leaves RUNNING behind: the next one goes on.
TRANSITIONS: Mapping[RunStatus, Mapping[RunStatus, str]] = MappingProxyType(
    {
        _S.RUNNING: {
            _S.RUNNING: "another process goes on after a kill",
            _S.CAUGHT_UP: "a sweep found nothing but the active key and dead letters",
            _S.STOPPED: "an error, or too many dead letters; run again to go on",
            _S.SUPERSEDED: "the active key changed: a new run has the newer target",
        },
        _S.STOPPED: {
            _S.RUNNING: "the command was run again",
            _S.SUPERSEDED: "the active key changed: a new run has the newer target",
        },
        _S.CAUGHT_UP: {},
        _S.SUPERSEDED: {},
    }
)


def check_transition(old: RunStatus, new: RunStatus) -> None:
    """Refuse a change that :data:`TRANSITIONS` does not hold."""
    if new not in TRANSITIONS[old]:
        raise ReencryptionError(f"a run that is {old.value} cannot become {new.value}")
