"""F22: random schedules of faults; the long set is ``python tests/faults/run.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from faults.place import DATABASES, Place, opened
from faults.schedule import play
from faults.tally import Tally
from faults.world import World

pytestmark = pytest.mark.thorough

FIRST_SEED = int(os.environ.get("SEALED_TEST_SEED", "20261126"))
#: In slices, so that a failure stops one of them and several processes share them.
SLICES, SCHEDULES = 4, 8


@pytest.fixture(scope="module", params=DATABASES)
def place(request) -> Iterator[Place]:
    with opened(request.param) as place:
        yield place


@pytest.mark.parametrize("slice_", range(SLICES))
def test_no_acknowledged_write_is_lost(place, slice_):
    first = FIRST_SEED + slice_ * SCHEDULES
    total = Tally()
    for seed in range(first, first + SCHEDULES):
        total += play(place, seed)
    print(f"{place.name}, seeds {first} to {first + SCHEDULES - 1}: {total}")
    assert total.schedules == SCHEDULES
    assert total.moved > 0


def test_a_schedule_replays_step_by_step(place):
    """A seed is worth something only if it leads to the same place again."""

    def trace(seed: int) -> list[str]:
        found: list[str] = []
        original = World.say

        def say(world: World, what: str) -> None:
            original(world, what)
            found.append(world.trace[-1])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(World, "say", say)
            play(place, seed)
        return found

    seeds = iter(range(FIRST_SEED, FIRST_SEED + 1000))
    seed = next(n for n in seeds if not World(place, n).racing)
    assert trace(seed) == trace(seed)
