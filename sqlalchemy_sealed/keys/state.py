"""The life cycle of a key version, with the names of NIST SP 800-57 part 1."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy_sealed.errors import KeyStateError

__all__ = ["TRANSITIONS", "KeyState", "check_transition"]


class KeyState(enum.Enum):
    """What a key version may be used for."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    SUSPENDED = "suspended"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"

    @property
    def readable(self) -> bool:
        """Whether values sealed under the key may be opened.

        A published key is readable before it is active: clocks and caches of several
        processes are never aligned, and another process may have activated it already.
        """
        return self not in {KeyState.SUSPENDED, KeyState.DESTROYED}


_S = KeyState
#: From -> to -> the event that leads there. Everything else is refused.
TRANSITIONS: Mapping[KeyState, Mapping[KeyState, str]] = MappingProxyType(
    {
        _S.PRE_ACTIVE: {
            _S.ACTIVE: "every process can read it, so it may write",
            _S.COMPROMISED: "it leaked before its first use",
            _S.DESTROYED: "it was never used",
        },
        _S.ACTIVE: {
            _S.DEACTIVATED: "another version became active",
            _S.COMPROMISED: "another version became active, and this one leaked",
        },
        _S.DEACTIVATED: {
            _S.ACTIVE: "a rotation is taken back",
            _S.SUSPENDED: "an operator doubts it; nothing is read meanwhile",
            _S.COMPROMISED: "it leaked: its rows are re-encrypted first",
            _S.DESTROYED: "no row is sealed under it any more",
        },
        _S.SUSPENDED: {
            _S.DEACTIVATED: "the doubt is settled",
            _S.COMPROMISED: "the doubt was right",
            _S.DESTROYED: "its rows are given up",
        },
        _S.COMPROMISED: {
            _S.DESTROYED: "no row is sealed under it any more",
        },
        _S.DESTROYED: {},
    }
)


def check_transition(version: int, old: KeyState, new: KeyState) -> None:
    """Refuse a change of state that :data:`TRANSITIONS` does not hold.

    Raises:
        KeyStateError: with the states that are allowed instead.

    """
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(state.value for state in TRANSITIONS[old]) or "none"
        raise KeyStateError(
            f"key version {version} is {old.value} and cannot become {new.value}; "
            f"allowed from here: {allowed}"
        )
