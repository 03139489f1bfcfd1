"""One batch: the rows that were read, and what shall become of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy_sealed.envelope import Header, from_text
from sqlalchemy_sealed.errors import (
    DecryptionError,
    EncodingError,
    MismatchError,
    SealedError,
)
from sqlalchemy_sealed.fastcolumn import Parts, parts_of
from sqlalchemy_sealed.jobs.move import Change, Move, Row
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.slot import decoded

__all__ = [
    "Batch",
    "DeadLetter",
    "Page",
    "change_row",
    "dead_letter",
    "ends_of",
    "make_batch",
]

#: What makes a value a dead letter: it is left alone, listed, and the run goes on.
_DEAD = (DecryptionError, EncodingError, MismatchError)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A value that could not be moved."""

    key: RowKey
    column: str
    error: str
    kid: str | None
    version: int | None


class Page(Sequence[Row]):
    """Rows of a key and one value that need not be taken apart to be moved.

    Attributes:
        ends: keys of the first and of the last row.

    """

    ends: tuple[RowKey, RowKey]

    @abstractmethod
    def parts(self) -> Iterable[Parts]:
        """Return the parts of every value."""


def ends_of(rows: Sequence[Row], width: int) -> tuple[RowKey, RowKey]:
    """Return the keys of the first and of the last row."""
    if isinstance(rows, Page):
        return rows.ends
    return tuple(rows[0][:width]), tuple(rows[-1][:width])


@dataclass(slots=True)
class Batch:
    """What is to be written in one transaction.

    Attributes:
        scanned: rows read.
        last: key of the last row read; ``None`` when there was none.
        changed: the rows to rewrite as they were read, in key order.
        new: one list per written slot, parallel to ``changed``.
        dead: values that could not be moved.
        current: rows with nothing to rewrite.
        nulls: NULL values.

    """

    scanned: int
    last: RowKey | None
    changed: Sequence[Row] = ()
    new: list[list[Any]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    current: int = 0
    nulls: int = 0

    def counts(self, moved: int) -> Counts:
        """Return what the batch adds to the counts of its range."""
        return Counts(
            scanned=self.scanned,
            moved=moved,
            current=self.current,
            nulls=self.nulls,
            conflicts=len(self.changed) - moved,
            dead=len(self.dead),
            batches=1,
        )


def make_batch(rows: Sequence[Row], move: Move) -> Batch:
    """Compute the new values of a batch; no transaction is open meanwhile."""
    width = len(move.key)
    batch = Batch(len(rows), ends_of(rows, width)[1] if rows else None)
    alone = move.changes[0].alone() if len(move.changes) == 1 else None
    if alone is not None and move.slots[0].is_written:
        _change_one(batch, rows, width, move.changes[0], alone)
    else:
        _change_rows(batch, rows, width, move)
    return batch


def _change_one(
    batch: Batch,
    rows: Sequence[Row],
    width: int,
    change: Change,
    function: Callable[[Any], Any],
) -> None:
    # The common case, without any object per row but the new value.
    def strict(n: int) -> Any:
        row = rows[n]
        old = row[width]
        if old is None:
            batch.nulls += 1
            return None
        try:
            return function(old)
        except DecryptionError as error:
            batch.dead.append(dead_letter(tuple(row[:width]), change.name, old, error))
            return None

    many = change.column()
    if many is None:
        new = [strict(n) for n in range(len(rows))]
    elif isinstance(rows, Page):
        new = many(rows.parts(), len(rows), strict)
    else:
        values = [row[width] for row in rows]
        new = many(parts_of(values), len(rows), strict)
    batch.changed = rows
    if None in new:
        pairs = zip(rows, new, strict=True)
        batch.changed = [row for row, value in pairs if value is not None]
        new = [value for value in new if value is not None]
    batch.new = [new]
    batch.current = len(rows) - len(new) - len(batch.dead)


def _change_rows(batch: Batch, rows: Sequence[Row], width: int, move: Move) -> None:
    batch.new = [[] for _ in move.written]
    batch.changed = written = []
    for row in rows:
        new, dead, changed = change_row(row, move)
        batch.nulls += sum(row[width + n] is None for n in move.written)
        batch.dead += dead
        if changed:
            written.append(row)
            for values, slot in zip(batch.new, move.written, strict=True):
                values.append(new[slot])
        elif not dead:
            batch.current += 1


def change_row(row: Row, move: Move) -> tuple[list[Any], list[DeadLetter], bool]:
    """Return new values of all slots, what could not be moved, and whether any was."""
    width = len(move.key)
    new = list(row[width : move.end])
    dead: list[DeadLetter] = []
    for slot, at, decode in move.restored:
        # What was read to be compared has another form than what is written.
        name = move.slots[slot].name
        try:
            new[slot] = None if row[at] is None else decoded(decode, row[at], name)
        except EncodingError as error:
            return new, [dead_letter(tuple(row[:width]), name, None, error)], False
    changed = False
    for change in move.changes:
        before = list(new)
        try:
            changed = change.apply(row, new) or changed
        except _DEAD as error:
            new = before  # half a change is none
            key, stored = tuple(row[:width]), row[width + change.slot]
            dead.append(dead_letter(key, change.name, stored, error))
    return new, dead, changed


def dead_letter(
    key: RowKey, name: str, value: object, error: SealedError
) -> DeadLetter:
    """Describe a value that could not be moved, without the value."""
    kid = version = None
    try:
        data = value if isinstance(value, bytes | bytearray | memoryview) else None
        header = Header.parse(bytes(data) if data is not None else from_text(value))
        kid, version = header.kid.hex(), header.version
    except (SealedError, TypeError, ValueError):
        pass
    return DeadLetter(key, name, type(error).__name__, kid, version)
