"""A schedule: one seed's world, from a full table to the last check."""

from __future__ import annotations

import traceback
from typing import Any

from sqlalchemy import func, select

from faults.oracle import Broken
from faults.place import Place
from faults.stage import Killed, set_up
from faults.tally import Tally
from faults.world import World
from sqlalchemy_sealed.errors import (
    RunConflictError,
    RunEndedError,
    RunInterruptedError,
)
from sqlalchemy_sealed.jobs import tables
from sqlalchemy_sealed.jobs.transient import trouble_of

__all__ = ["ScheduleFailed", "play"]

_MOST_COMMANDS = 60


class ScheduleFailed(AssertionError):
    """A schedule broke a promise: its seed, its trace, and the reason."""


def play(place: Place, seed: int) -> Tally:
    """Play the schedule of a seed.

    Raises:
        ScheduleFailed: a promise was broken.

    """
    world = World(place, seed)
    try:
        with set_up(world):
            world.populate()
            _play(world)
    except Exception as error:
        lines = "\n  ".join(world.trace)
        raise ScheduleFailed(
            f"{place.name}, seed {seed}: {type(error).__name__}: {error}\n"
            f"replay: python tests/faults/run.py --databases {_known(place)} "
            f"--first-seed {seed} --schedules 1\ntrace:\n  {lines}\n"
            f"{_where(error)}"
        ) from None
    finally:
        _clean(world)
    return world.tally


def _where(error: BaseException) -> str:
    """Return the way through the library and the harness, without SQLAlchemy's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename]
    return "".join(traceback.format_list(own))


def _known(place: Place) -> str:
    return "mariadb" if place.name == "mysql" else place.name


def _clean(world: World) -> None:
    for transaction, _ in world.held:
        transaction.rollback()
    world.place.kill()
    if world.fenced:
        world.place.clear(world.shape, fenced=True)


def _play(world: World) -> None:
    needed = _needed(world)
    reports = _command_until_done(world)
    if world.fenced:
        # No other run is needed behind a fence.
        assert reports[0].status == "complete", reports
        world.oracle.check_keys(world.active)
    world.calm()
    if world.quiet:
        _check_counts(world, needed)
    _check_letters(world)
    _check(world)
    _count(world)


def _check_letters(world: World) -> None:
    """Run until a run of its own finds nothing to move, and lists what cannot be."""
    for _ in range(3):
        [report] = _command_until_done(world)
        if not report.counts.moved and not report.resumed:
            world.oracle.check_letters(report.run_id, world.active)
            return
    raise Broken(f"a run of what is done has moved {report.counts.moved} rows")


def _check(world: World) -> None:
    world.oracle.check_rows(finished=True)
    world.oracle.check_damaged()
    world.oracle.check_keys(world.active)
    world.oracle.check_book()


def _command_until_done(world: World) -> list[Any]:
    """Give the same command until it succeeds, as an operator does."""
    for _ in range(_MOST_COMMANDS):
        job = world.new_job()
        try:
            return list(job.run())
        except Killed:
            world.place.kill()
            world.dead = False
            world.menu.bury(world.menu.owners())
        except RunConflictError:
            world.say("the command is refused: wait for the leases")
            world.expire()
        except RunEndedError as error:
            world.say(f"ended: {error}")
        except RunInterruptedError:
            world.say("stopped")
        except Exception as error:
            # Also a driver's own, from where SQLAlchemy wraps nothing.
            if trouble_of(error) is None:
                raise
            world.tally.crashes += 1
            world.say(f"the command failed: {error!r:.120}")
            world.end_transactions()
        world.check_frozen()
    raise Broken(f"not done after {_MOST_COMMANDS} commands")


def _needed(world: World) -> int:
    """Return how many rows there are to move."""
    shape = world.shape
    names = [shape.source] if shape.source else list(shape.values)
    rows = world.ledger.rows.values()
    return sum(any(row[n or ""] is not None for n in names) for row in rows)


def _check_counts(world: World, needed: int) -> None:
    """P3: with nobody else writing, every row is scanned and moved exactly once."""
    book = tables.ranges.c
    sums = select(func.sum(book.moved), func.sum(book.conflicts))
    runs = tables.runs.c
    oldest = select(runs.id).order_by(runs.started_at).limit(1).scalar_subquery()
    first = select(func.sum(book.scanned)).where(book.sweep == 0, book.run_id == oldest)
    with world.place.fresh.connect() as connection:
        moved, conflicts = map(int, connection.execute(sums).one())
        scanned = int(connection.scalar(first) or 0)
    wanted = needed, 0, world.ledger.initial
    if (moved, conflicts, scanned) != wanted:
        raise Broken(
            f"moved, conflicts, scanned: {moved, conflicts, scanned}, {wanted}"
        )


def _count(world: World) -> None:
    book, tally = tables.ranges.c, world.tally
    sums = select(func.sum(book.moved), func.sum(book.conflicts))
    with world.place.fresh.connect() as connection:
        moved, conflicts = connection.execute(sums).one()
    tally.schedules = 1
    tally.moved, tally.conflicts = int(moved), int(conflicts)
    tally.acknowledged = world.ledger.acknowledged
    tally.dead = len(world.ledger.damaged) + len(world.ledger.mismatched())
