"""The menu: everything that may happen at a step, and how often."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from faults.application import Refused, Transaction, refusal
from faults.damage import spoilt
from faults.errors import passing_error
from faults.oracle import Broken
from faults.stage import Killed
from faults.work import make_job
from faults.writes import Writes
from sqlalchemy_sealed.errors import ReencryptionError, RunConflictError
from sqlalchemy_sealed.jobs import control, tables
from sqlalchemy_sealed.jobs.steps import Step

if TYPE_CHECKING:
    from faults.world import World

__all__ = ["Menu"]

#: The worker may hold locks that nobody can wait for here.
_IN_TRANSACTION = frozenset((Step.BEGUN, Step.WRITTEN, Step.RECORDED))
#: Where the library tries again.
_IN_ATTEMPT = _IN_TRANSACTION | {Step.READ, Step.SEALED, Step.COMMITTED}


class Menu:
    """What happens to one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._writes = Writes(world)
        self._rival_batches = 0

    # -- choosing ----------------------------------------------------------------

    def strike(self, step: Step) -> None:
        """Let one thing happen, and look whether every row can be read."""
        world = self._world
        if step in _IN_ATTEMPT and world.chooser.random() < 0.12:
            world.say(f"{step.name}: error that passes")
            world.tally.errors += 1
            raise passing_error(world.place, world.chooser)
        if world.chooser.random() < 0.12:
            self.kill(step)
        names, weights = zip(*self._choices(step), strict=True)
        [name] = world.chooser.choices(names, weights)
        world.say(f"{step.name}: {name.__name__.strip('_')}")
        try:
            self._let(name)
        except DBAPIError as error:
            # The library must not take it for one of its own.
            raise Broken(f"the harness failed: {error!r}") from error

    def _let(self, name: Callable[[], None]) -> None:
        world = self._world
        name()
        if world.ledger.doubts or world.chooser.random() < 0.5:
            world.oracle.check_rows()

    def _choices(self, step: Step) -> list[tuple[Callable[[], None], float]]:
        world = self._world
        choices: list[tuple[Callable[[], None], float]] = [(self._stop, 0.5)]
        if step not in _IN_TRANSACTION or (
            step is Step.BEGUN and world.place.name != "sqlite"
        ):
            choices.append((self._zombie, 3))
        choices.append((self._pause, 1))
        if world.place.name != "sqlite":
            choices.append((self._cut, 0.4))
        if world.quiet:
            return choices
        choices.append((self._writes.some, 16))
        if not world.fenced:
            choices += [
                (self._writes.hold, 2),
                (self._damage, 1.5),
                (self._rotate, 0.8),
                (self._cancel, 0.6),
            ]
        return choices

    # -- the worker --------------------------------------------------------------

    def kill(self, step: Step) -> None:
        """End the process at this instruction."""
        self._world.say(f"{step.name}: killed")
        self._world.tally.kills += 1
        self._world.dead = True
        raise Killed

    def _stop(self) -> None:
        self._world.job.stop()

    def _cut(self) -> None:
        self._world.tally.errors += 1
        self._world.place.cut()

    def owners(self) -> set[str]:
        """Return who holds, or has held, a range."""
        with self._world.place.fresh.connect() as connection:
            found = connection.scalars(select(tables.ranges.c.lease_owner))
            return {owner for owner in found if owner}

    def bury(self, owners: set[str]) -> None:
        """Let the host of killed workers know, unless it is another host."""
        if self._world.chooser.random() < 0.5:
            self._world.gone |= owners

    # -- another worker ----------------------------------------------------------

    def _zombie(self) -> None:
        """The worker sleeps for longer than its lease, and another one takes over."""
        world = self._world
        world.end_transactions()
        world.tally.zombies += 1
        before, owners = self._open_run(), self.owners()
        world.expire()
        self._rival_batches = world.chooser.randrange(5)
        world.inside = True
        try:
            self._rival()
        except Killed:
            world.say("the other worker was killed")
            self.bury(self.owners() - owners)
        finally:
            world.inside = False
            world.place.rival.dispose()
        if before is not None and self._open_run() not in {before, None}:
            world.say("it has superseded the run")
            world.freeze()

    def _rival(self) -> None:
        world = self._world
        job = make_job(world.shape, world.place.rival, world.options)
        [mover] = job.movers()
        try:
            mover.open()
            for _ in range(world.chooser.randrange(4)):
                if world.paused or not mover.worker.one():
                    break
        except RunConflictError:
            world.say("refused: the run is another one's")
        except ReencryptionError as error:
            world.say(f"the other worker: {type(error).__name__}")

    def inside(self, step: Step) -> None:
        """Kill the other worker after some batches, or let it finish."""
        if step is Step.COMMITTED:
            self._rival_batches -= 1
        if self._rival_batches < 0:
            raise Killed

    def _open_run(self) -> str | None:
        found = control.open_runs(self._world.place.fresh)
        return found[0].id if found else None

    # -- the operator ------------------------------------------------------------

    def _pause(self) -> None:
        if self._control(control.pause):
            self._world.paused = True

    def resume(self) -> None:
        """Resume; a run that was paused has written nothing meanwhile."""
        world = self._world
        world.check_frozen()
        world.paused = False
        self._control(control.resume)
        world.say("resumed")

    def _cancel(self) -> None:
        if self._control(control.cancel):
            self._world.end_transactions()
            self._world.paused = False
            self._world.freeze()

    def _control(self, order: Callable[[Any, Any], None]) -> bool:
        world = self._world
        try:
            for state in control.open_runs(world.place.fresh):
                order(world.place.fresh, state)
                world.tally.controls += 1
                return True
        except ReencryptionError:
            world.say("refused by the state of the run")
        except DBAPIError as error:
            world.say(f"refused by the database: {refusal(error)}")
        return False

    def _rotate(self) -> None:
        world = self._world
        if world.active >= 5:
            return
        world.tally.rotations += 1
        world.turn_keys(world.active + 1, job_too=world.chooser.random() < 0.5)

    # -- damage ------------------------------------------------------------------

    def _damage(self) -> None:
        world = self._world
        free = [n for n in world.ledger.free() if n not in world.locked()]
        if not free:
            return
        serial = world.chooser.choice(free)
        column = world.chooser.choice(list(world.shape.values.values()))
        value = spoilt(world, serial, column)
        if value is None:
            return
        transaction = Transaction(world.ledger, world.place.fresh)
        with suppress(Refused):
            transaction.spoil(world.ledger.rows[serial], column, value)
            transaction.commit()
            world.ledger.damaged[serial] = (column, value)
            world.say(f"row {serial}: {column} is spoilt")
