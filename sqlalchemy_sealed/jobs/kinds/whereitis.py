"""A change of the values of one column, where they are."""

from __future__ import annotations

from sqlalchemy_sealed.jobs.move import Change
from sqlalchemy_sealed.jobs.values import ColumnValues

__all__ = ["ChangeWhereItIs"]


class ChangeWhereItIs(Change):
    """Changes a value in its own column.

    Args:
        values: of the column.
        width: columns of the primary key.
        slot: the column.

    """

    def __init__(self, values: ColumnValues, width: int, slot: int) -> None:
        self.name = values.name
        self.slot = slot
        self._values = values
        self._at = width + slot
