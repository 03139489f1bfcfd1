"""Damage: bytes that no key opens, and the database holds all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy_sealed.envelope import TEXT_PREFIX

if TYPE_CHECKING:
    from faults.world import World

__all__ = ["spoilt"]


def spoilt(world: World, serial: int, column: str) -> Any:
    """Return a spoilt form of a stored value, or ``None`` where nothing is stored."""
    stored = world.oracle.stored()
    value = stored[serial][column]
    if value is None or (world.shape.in_place and not value.startswith(TEXT_PREFIX)):
        return None
    ways = [_flipped, _cut_off]
    if not world.shape.in_place:
        ways.append(_plaintext)
    if world.shape.row_bound:
        others = [
            row[column]
            for number, row in stored.items()
            if row[column] is not None and number not in {serial, *world.ledger.damaged}
        ]
        if others:
            ways.append(lambda _world, _value: world.chooser.choice(others))
    return world.chooser.choice(ways)(world, value)


def _flipped(world: World, value: Any) -> Any:
    # What is damaged in its first bytes is plaintext where both are allowed.
    at = world.chooser.randrange(40 if world.shape.in_place else 0, len(value) - 4)
    if isinstance(value, str):
        return f"{value[:at]}{'A' if value[at] != 'A' else 'B'}{value[at + 1 :]}"
    bit = 1 << world.chooser.randrange(8)
    return value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :]


def _cut_off(world: World, value: Any) -> Any:
    return value[: world.chooser.randrange(20, len(value) - 2)]


def _plaintext(_world: World, value: Any) -> Any:
    return "not sealed" if isinstance(value, str) else b"not sealed"
