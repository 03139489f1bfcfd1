"""A world: one schedule's table, its application, its job, and what befalls them."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import Uuid, update

from faults.application import Refused, Transaction
from faults.ledger import PENDING, Ledger, Row
from faults.menu import Menu
from faults.oracle import Broken, Oracle
from faults.place import Place
from faults.shapes import SHAPES, Shape
from faults.tally import Tally
from faults.words import Words
from faults.work import make_job
from sqlalchemy_sealed.jobs import tables
from sqlalchemy_sealed.jobs.fence import FenceKind
from sqlalchemy_sealed.jobs.owner import is_gone
from sqlalchemy_sealed.jobs.steps import Step

__all__ = ["World"]

_MOST_STEPS = 6_000


class World:
    """What one seed decides, and what has become of it.

    Attributes:
        quiet: nobody writes but the job, so that every count is known exactly.
        racing: threads and the pipeline are real, and a replay may differ.
        late: a batch reaches the server only when its result is asked for.
        fenced: a fence keeps the former keys out before the run is called complete.
        left: how many things may still go wrong.
        dead: whether the process has been killed.
        inside: whether another worker is at work inside of a step.

    """

    def __init__(self, place: Place, seed: int) -> None:
        self.place, self.seed = place, seed
        self.chooser = random.Random(seed)
        draw = self.chooser.random
        self.shape: Shape = self.chooser.choice(SHAPES)
        self.quiet = draw() < 0.15
        self.racing = draw() < 0.15 and place.name != "sqlite"
        self.late = draw() < 0.5
        reencrypts = self.shape.kind == "reencrypt"
        self.fenced = reencrypts and not self.quiet and draw() < 0.15
        self.left = self.chooser.randrange(2, 12)
        self.rate = self.chooser.choice([0.05, 0.1, 0.2, 0.4])
        self.options = self._options()
        self.active = 1
        self.words, self.ledger = Words(self.chooser), Ledger(self.shape)
        self.oracle, self.menu = Oracle(place, self.ledger), Menu(self)
        self.tally, self.trace = Tally(), [self._title()]
        self.gone: set[str] = set()
        self.dead = self.inside = self.paused = False
        self.held: list[tuple[Transaction, int]] = []
        self.frozen: dict[int, dict[str, Any]] | None = None
        self.job: Any = None
        self._idle = 0

    def _options(self) -> dict[str, Any]:
        pick = self.chooser.choice
        options = {
            "batch_size": pick([1, 2, 3, 3, 5, 9]),
            "range_size": pick([4, 8, 15, 50]),
            "polite": self.chooser.random() < 0.7,
        }
        if self.fenced:
            options["fence"] = FenceKind.KEYS
        elif self.chooser.random() < 0.2:
            options["settle"] = 0.001
        return options

    def _title(self) -> str:
        flags = [n for n in ("quiet", "racing", "late", "fenced") if getattr(self, n)]
        return f"{self.shape.name} {' '.join(flags)} {self.options}"

    # -- the table ---------------------------------------------------------------

    def populate(self) -> None:
        """Fill the table under the first key, and activate the second."""
        self.place.clear(self.shape)
        everybody = (self.place.job, self.place.rival, self.place.fresh)
        self.place.turn_keys(1, (*everybody, self.place.stale))
        transaction = Transaction(self.ledger, self.place.fresh)
        for _ in range(self.chooser.randrange(6, 22)):
            legacy = self.shape.in_place or self.shape.kind == "fill"
            transaction.insert(self.new_row(), legacy)
        transaction.commit()
        if self.shape.kind == "decrypt" and self.shape.in_place:
            self._seal_all()
        self.ledger.initial = len(self.ledger.rows)
        self.ledger.acknowledged = self.ledger.inserted = 0
        self.turn_keys(2)

    def _seal_all(self) -> None:
        transaction = Transaction(self.ledger, self.place.fresh)
        for serial, row in self.ledger.rows.items():
            transaction.update(serial, {"a": row["a"]})
        transaction.commit()

    def new_row(self) -> Row:
        """Return a row as the application would insert it."""
        shape, row = self.shape, {}
        [first, *_] = shape.table.primary_key.columns
        is_uuid = isinstance(first.type, Uuid)
        row |= self.words.key_of(shape.key, is_uuid)
        row |= {"serial": self.words.number(), "other": "nothing"}
        if shape.tenant:
            row[shape.tenant] = self.chooser.choice(["north", "south"])
        row |= {name: self.words.value() for name in shape.values}
        if shape.source and shape.target:
            row[shape.source] = self.words.value()
            row[shape.target] = PENDING
        return row

    def turn_keys(self, active: int, job_too: bool = True) -> None:
        """Make a version active, in the processes that have heard of it."""
        self.active = active
        heard = [self.place.rival, self.place.fresh, self.place.stale]
        self.place.turn_keys(active, (*heard, *([self.place.job] if job_too else [])))

    # -- what the stage leads to -------------------------------------------------

    def reached(self, step: Step) -> None:
        """Go on, or let something happen."""
        self.count_step()
        self._idle = 0
        if self.dead:
            raise AssertionError(f"a killed worker has reached {step}")
        if self.inside:
            self.menu.inside(step)
            return
        self._age()
        if self.frozen is None and self.left > 0 and self.chooser.random() < self.rate:
            self.left -= 1
            self.menu.strike(step)

    def count_step(self) -> None:
        """Count a step; a schedule that never ends is a failure."""
        self.tally.steps += 1
        if self.tally.steps > _MOST_STEPS:
            raise Broken(f"no end after {_MOST_STEPS} steps")

    def slept(self, _seconds: float) -> None:
        """Let time pass: transactions end, leases expire, the operator resumes."""
        self.count_step()
        self._idle += 1
        self._age()
        if self._idle > 2 and self.paused:
            self.menu.resume()
        elif self._idle > 2:
            self.expire()

    def is_gone(self, owner: str | None) -> bool:
        """Tell whether a worker was killed; only its own host can know."""
        return owner in self.gone or is_gone(owner)

    # -- time --------------------------------------------------------------------

    def expire(self) -> None:
        """Let a minute pass, in which leases and transactions end."""
        self.end_transactions()
        book = tables.ranges
        past = update(book).values(lease_until=book.c.lease_until - 3600)
        with self.place.fresh.begin() as connection:
            connection.execute(past)

    def _age(self) -> None:
        self.held, held = [], self.held
        for transaction, steps_left in held:
            if steps_left > 0:
                self.held.append((transaction, steps_left - 1))
            else:
                self.finish(transaction)

    def finish(self, transaction: Transaction) -> None:
        """End an application's transaction one way or the other."""
        way = self.chooser.random()
        if way < 0.6:
            try:
                transaction.commit()
            except Refused:
                way = 1.0
        else:
            transaction.rollback()
        self.say(f"held transaction {'committed' if way < 0.6 else 'rolled back'}")

    def end_transactions(self) -> None:
        """End whatever the application has open."""
        held, self.held = self.held, []
        for transaction, _ in held:
            self.finish(transaction)

    def calm(self) -> None:
        """Let nothing go wrong from now on; what is left goes in large batches."""
        self.left = 0
        self.end_transactions()
        self.options |= {"batch_size": 50, "range_size": 50}

    def locked(self) -> set[int]:
        """Return the rows that open transactions have written."""
        return {
            serial for transaction, _ in self.held for serial in transaction.changes
        }

    # -- the book ----------------------------------------------------------------

    def say(self, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.tally.steps}: {what}")

    def freeze(self) -> None:
        """Remember every byte: whoever has lost the right writes nothing from now."""
        self.frozen = self.oracle.stored()

    def check_frozen(self) -> None:
        """P6, P10: nothing was written since."""
        if self.frozen is not None and self.oracle.stored() != self.frozen:
            raise Broken("a worker without the right to write has written")
        self.frozen = None

    def new_job(self) -> Any:
        """Return the job as a new process would start it."""
        self.place.turn_keys(self.active, (self.place.job,))
        self.job = make_job(self.shape, self.place.job, self.options)
        return self.job
