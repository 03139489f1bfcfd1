"""The plaintext policy of a column: what it accepts beside envelopes, and until when.

It has one direction: write and read plaintext, write envelopes and read both, nothing
but envelopes. A column without a policy is at its end.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy_sealed.errors import DeclarationError

__all__ = ["PlaintextMode", "PlaintextPolicy", "policy_of"]

PlaintextMode: TypeAlias = Literal["write", "optional", "read"]
_MODES: Final = ("write", "optional", "read")


@dataclass(frozen=True)
class PlaintextPolicy:
    """What a sealed column does with plaintext while it is migrated.

    Args:
        mode: ``"write"``: plaintext is written, both are read, for the time in which
            some processes do not know envelopes yet. ``"optional"``: plaintext is
            written, with a warning, while no keyring is bound; both are read.
            ``"read"``: envelopes are written, both are read.
        until: the last day, or the moment (UTC where it is naive), at which plaintext
            is accepted; afterwards it is an error to read or to write it.

    Raises:
        DeclarationError: another mode.

    """

    mode: PlaintextMode
    until: dt.date | dt.datetime | None = None

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise DeclarationError(f"plaintext= is one of {', '.join(_MODES)}")

    @property
    def is_over(self) -> bool:
        """Whether the last day has passed, by the clock of this process."""
        now = dt.datetime.now(dt.UTC)
        if self.until is None:
            return False
        if not isinstance(self.until, dt.datetime):
            return now.date() > self.until
        end = self.until
        return now > (end if end.tzinfo else end.replace(tzinfo=dt.UTC))


def policy_of(given: Any, optional: bool) -> PlaintextPolicy | None:
    """Return the policy that a declaration names.

    Raises:
        DeclarationError: it names two, or none that there is.

    """
    if optional:
        if given is not None:
            raise DeclarationError('optional=True is plaintext="optional": name one')
        return PlaintextPolicy("optional")
    if given is None or isinstance(given, PlaintextPolicy):
        return given
    return PlaintextPolicy(given)
