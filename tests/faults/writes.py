"""The writes of the application, one transaction each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from faults.application import Refused, Transaction
from faults.ledger import Row

if TYPE_CHECKING:
    from faults.world import World

__all__ = ["Writes"]


class Writes:
    """Draws writes for one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def some(self) -> None:
        """Write once or some times: the batch at hand has few rows to hit."""
        for _ in range(self._world.chooser.choice([1, 2, 4])):
            self._one()

    def _one(self) -> None:
        """Write once, by some process or other."""
        world = self._world
        stale, legacy = world.chooser.random() < 0.35, world.chooser.random() < 0.4
        engine = world.place.stale if stale else world.place.fresh
        transaction = Transaction(world.ledger, engine)
        try:
            what = self._draw(transaction, legacy)
            outcome = self._end(transaction)
        except Refused as refused:
            transaction.rollback()
            what, outcome = "", f"refused: {refused}"
            world.tally.refused += 1
        world.say(f"{what} {'stale ' * stale}{'legacy ' * legacy}{outcome}")

    def hold(self) -> None:
        """Open a transaction that keeps its locks for some steps."""
        world = self._world
        transaction = Transaction(world.ledger, world.place.fresh)
        try:
            what = [
                self._draw(transaction, legacy=False)
                for _ in range(world.chooser.randrange(1, 4))
            ]
        except Refused as refused:
            transaction.rollback()
            world.say(f"refused: {refused}")
            return
        world.held.append((transaction, world.chooser.randrange(1, 8)))
        world.say(f"held: {'; '.join(what)}")

    def _end(self, transaction: Transaction) -> str:
        if self._world.chooser.random() < 0.08:
            committed = self._world.chooser.random() < 0.5
            try:
                transaction.vanish(committed)
            except Exception:
                transaction.rollback()
            return "without an answer"
        transaction.commit()
        return "acknowledged"

    def _draw(self, transaction: Transaction, legacy: bool) -> str:
        world, chooser = self._world, self._world.chooser
        taken = world.locked() | set(transaction.changes)
        free = [n for n in world.ledger.free() if n not in taken]
        ways: list[tuple[Callable[[Transaction, int, bool], str], int]] = [
            (self._update, 10),
            (self._change_case, 4),
            (self._repeat, 2),
            (self._unrelated, 3),
            (self._rekey, 3),
            (self._delete, 2),
        ]
        if world.shape.tenant:
            ways.append((self._move_tenant, 3))
        if not free or chooser.random() < 0.12:
            row = world.new_row()
            transaction.insert(row, legacy)
            return f"insert row {row['serial']}"
        serial = chooser.choice(free)
        [way] = chooser.choices(*zip(*ways, strict=True))
        return f"row {serial}: {way(transaction, serial, legacy)}"

    def _written(self) -> str:
        """Return the attribute that is written: of two columns, the source."""
        shape = self._world.shape
        return shape.source or self._world.chooser.choice(list(shape.values))

    def _update(self, transaction: Transaction, serial: int, legacy: bool) -> str:
        name = self._written()
        change: Row = {name: self._world.words.value()}
        transaction.update(serial, change, legacy)
        return f"update {change}"

    def _change_case(self, transaction: Transaction, serial: int, legacy: bool) -> str:
        name = self._written()
        old = self._world.ledger.rows[serial][name]
        change: Row = {name: None if old is None else old.swapcase()}
        transaction.update(serial, change, legacy)
        return f"case {change}"

    def _repeat(self, transaction: Transaction, serial: int, legacy: bool) -> str:
        """Write what is there already: the bytes change, the value does not."""
        name = self._written()
        change: Row = {name: self._world.ledger.rows[serial][name]}
        transaction.update(serial, change, legacy)
        return f"again {change}"

    def _unrelated(self, transaction: Transaction, serial: int, _: bool) -> str:
        other = f"other {self._world.words.number()}"
        transaction.update(serial, {"other": other})
        return other

    def _rekey(self, transaction: Transaction, serial: int, _: bool) -> str:
        shape, row = self._world.shape, self._world.new_row()
        change = {name: row[name] for name in shape.key}
        transaction.update(serial, change)
        return f"key {change}"

    def _move_tenant(self, transaction: Transaction, serial: int, _: bool) -> str:
        name = self._world.shape.tenant or ""
        change = {name: f"ward {self._world.words.number()}"}
        transaction.update(serial, change)
        return f"tenant {change}"

    def _delete(self, transaction: Transaction, serial: int, _: bool) -> str:
        transaction.delete(serial)
        return "delete"
