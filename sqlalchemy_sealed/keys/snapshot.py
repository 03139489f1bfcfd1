"""One consistent view of a keyring: which keys, which states, which one is active."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy_sealed.errors import ActiveKeyError, DuplicateKeyError, KeyStateError
from sqlalchemy_sealed.keys.key import IndexKey, Key
from sqlalchemy_sealed.keys.state import KeyState

__all__ = ["Snapshot", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent view; a change replaces the whole of it."""

    by_kid: Mapping[bytes, Key]
    states: Mapping[int, KeyState]
    active: Key
    index: Mapping[int, IndexKey]


def take_snapshot(
    keys: list[Key],
    active: int | None,
    states: dict[int, KeyState],
    index: Iterable[IndexKey] = (),
) -> Snapshot:
    """Check keys and states and fill in the states that are not given.

    Raises:
        DuplicateKeyError: a version number or a root key occurs twice.
        ActiveKeyError: no active version, an unknown one, or two.
        KeyStateError: a state is given for a version that is not there.

    """
    versions = [key.version for key in keys]
    if len(set(versions)) != len(versions):
        raise DuplicateKeyError(
            "two keys have the same version number: give every key its own version"
        )
    by_kid = {key.kid: key for key in keys}
    if len(by_kid) != len(keys):
        raise DuplicateKeyError(
            "two versions have the same root key: a rotation needs a new random key"
        )
    chosen = _choose_active(versions, active, states)
    for version in versions:
        states.setdefault(
            version,
            KeyState.DEACTIVATED if version < chosen else KeyState.PRE_ACTIVE,
        )
    unknown = set(states) - set(versions)
    if unknown:
        raise KeyStateError(f"a state is given for unknown key versions {unknown}")
    active_key = next(key for key in keys if key.version == chosen)
    ordered = sorted(by_kid.values(), key=lambda key: key.version)
    return Snapshot(
        MappingProxyType({key.kid: key for key in ordered}),
        MappingProxyType(dict(sorted(states.items()))),
        active_key,
        _by_version(index, by_kid),
    )


def _by_version(
    index: Iterable[IndexKey], roots: Mapping[bytes, Key]
) -> Mapping[int, IndexKey]:
    ordered = sorted(index, key=lambda key: key.version)
    by_version = {key.version: key for key in ordered}
    if len(by_version) != len(ordered):
        raise DuplicateKeyError(
            "two index keys have the same version number: give every one its own"
        )
    kids = {key.kid for key in ordered}
    if len(kids) != len(ordered) or not kids.isdisjoint(roots):
        raise DuplicateKeyError(
            "an index key has the same root as another key: every one needs new "
            "random bytes"
        )
    return MappingProxyType(by_version)


def _choose_active(
    versions: list[int], active: int | None, states: dict[int, KeyState]
) -> int:
    known = ", ".join(map(str, versions)) or "none"
    declared = [v for v, state in states.items() if state is KeyState.ACTIVE]
    if active is None and not declared and len(versions) == 1:
        active = versions[0]
    candidates = {*declared, *([] if active is None else [active])}
    if not candidates:
        raise ActiveKeyError(
            f"no active key version is named; name one of: {known}. "
            "The highest version is never taken by itself"
        )
    if len(candidates) > 1:
        named = ", ".join(map(str, sorted(candidates)))
        raise ActiveKeyError(
            f"several active key versions ({named}): exactly one may seal new values"
        )
    chosen = candidates.pop()
    if chosen not in versions:
        raise ActiveKeyError(
            f"the active key version {chosen} is not in the keyring, which has: "
            f"{known}. Add that version, or name another one as active"
        )
    if states.setdefault(chosen, KeyState.ACTIVE) is not KeyState.ACTIVE:
        raise ActiveKeyError(
            f"key version {chosen} is named active and also {states[chosen].value}"
        )
    return chosen
