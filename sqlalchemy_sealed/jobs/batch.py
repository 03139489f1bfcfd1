"""One batch: the rows that were read, and what shall become of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy_sealed.envelope import Header, from_text
from sqlalchemy_sealed.errors import DecryptionError, SealedError
from sqlalchemy_sealed.jobs.progress import Counts
from sqlalchemy_sealed.jobs.rowkey import RowKey
from sqlalchemy_sealed.jobs.values import ColumnValues, Row

__all__ = ["Batch", "DeadLetter", "Row", "reseal_batch"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A value that could not be decrypted."""

    key: RowKey
    column: str
    error: str
    kid: str | None
    version: int | None


@dataclass(slots=True)
class Batch:
    """What is to be written in one transaction.

    Attributes:
        scanned: rows read.
        last: key of the last row read; ``None`` when there was none.
        changed: the rows to rewrite as they were read, in key order.
        new: one list per sealed column, parallel to ``changed``.
        dead: values that could not be decrypted.
        current: rows with nothing to rewrite.
        nulls: NULL values.

    """

    scanned: int
    last: RowKey | None
    changed: list[Row] = field(default_factory=list)
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


def reseal_batch(
    rows: Sequence[Row], width: int, columns: Sequence[ColumnValues]
) -> Batch:
    """Open and seal the values of a batch; no transaction is open meanwhile.

    Args:
        rows: key columns, then sealed columns, then tenants.
        width: number of key columns.
        columns: the sealed columns.

    """
    batch = Batch(len(rows), tuple(rows[-1][:width]) if rows else None)
    batch.new = [[] for _ in columns]
    if len(columns) == 1 and not columns[0].is_bound:
        _reseal_one(batch, rows, width, columns[0])
    else:
        for row in rows:
            _reseal_row(batch, row, width, columns)
    return batch


def _reseal_one(
    batch: Batch, rows: Sequence[Row], width: int, column: ColumnValues
) -> None:
    # The common case, without any object per row but the new value.
    name, reseal = column.name, column.reseal
    keep_row, keep_new = batch.changed.append, batch.new[0].append
    for row in rows:
        old = row[width]
        if old is None:
            batch.nulls += 1
            continue
        try:
            new = reseal(old)
        except DecryptionError as error:
            batch.dead.append(_dead_letter(tuple(row[:width]), name, old, error))
            continue
        if new is not None:
            keep_row(row)
            keep_new(new)
    batch.current = len(rows) - len(batch.changed) - len(batch.dead)


def _reseal_row(
    batch: Batch, row: Row, width: int, columns: Sequence[ColumnValues]
) -> None:
    end = width + len(columns)
    new = list(row[width:end])
    failed = changed = False
    for position, column in enumerate(columns):
        value = new[position]
        if value is None:
            batch.nulls += 1
            continue
        try:
            resealed = column.reseal_in(value, row)
        except DecryptionError as error:
            failed = True
            batch.dead.append(
                _dead_letter(tuple(row[:width]), column.name, value, error)
            )
            continue
        if resealed is not None:
            changed = True
            new[position] = resealed
    if changed:
        batch.changed.append(row[:end])
        for values, value in zip(batch.new, new, strict=True):
            values.append(value)
    elif not failed:
        batch.current += 1


def _dead_letter(
    key: RowKey, name: str, value: object, error: DecryptionError
) -> DeadLetter:
    kid = version = None
    try:
        data = value if isinstance(value, bytes | bytearray | memoryview) else None
        header = Header.parse(bytes(data) if data is not None else from_text(value))
        kid, version = header.kid.hex(), header.version
    except (SealedError, TypeError, ValueError):
        pass
    return DeadLetter(key, name, type(error).__name__, kid, version)
