"""Cutting a table into ranges of its primary key."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from sqlalchemy_sealed.jobs.readrows import ReadRows
from sqlalchemy_sealed.jobs.rowkey import RowKey, key_to_text

__all__ = ["PlannedRange", "plan_ranges"]


@dataclass(frozen=True)
class PlannedRange:
    """Rows after ``low``, up to and including ``high``; ``None`` is open."""

    low: str | None
    high: str | None
    rows: int


def plan_ranges(
    connection: Connection, rows: ReadRows, size: int
) -> list[PlannedRange]:
    """Walk the primary key index in steps of ``size`` rows.

    The database orders the keys: text keys are never compared in Python, whose order
    is not the collation's. The last range is open, for rows inserted meanwhile.
    """
    planned: list[PlannedRange] = []
    low: RowKey | None = None
    while True:
        step = rows.page(low, None).with_only_columns(*rows.keys).offset(size - 1)
        row = connection.execute(step.limit(1)).first()
        if row is None:
            break
        high: RowKey = tuple(row)
        planned.append(PlannedRange(_text(low), key_to_text(high), size))
        low = high
    rest = rows.page(low, None).with_only_columns(*rows.keys).order_by(None).subquery()
    left = connection.scalar(select(func.count()).select_from(rest)) or 0
    planned.append(PlannedRange(_text(low), None, left))
    connection.rollback()
    return planned


def _text(key: RowKey | None) -> str | None:
    return None if key is None else key_to_text(key)
