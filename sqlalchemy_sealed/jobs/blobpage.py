"""A page of rows as one long value, for drivers that take rows apart in Python.

PyMySQL spends more time on a row than sealing it costs. The server puts the values of a
page behind each other instead, with their lengths and keys; that is two thirds less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final, overload

from sqlalchemy_sealed.envelope import SENTINEL
from sqlalchemy_sealed.fastcolumn import Parts, parts_in, parts_of
from sqlalchemy_sealed.jobs.batch import Page
from sqlalchemy_sealed.jobs.move import Row

__all__ = ["BlobPage", "hexadecimal", "page_sql"]

#: More than a page ever has; a longer one is cut, and noticed.
_LONGEST: Final = 1 << 24
_NULL: Final = -1


def page_sql(table: str, key: str, value: str, where: str) -> str:
    """Return the query of a page: keys, lengths, and the values behind each other."""
    return (
        f"SET STATEMENT group_concat_max_len = {_LONGEST} FOR "  # noqa: S608 - quoted names only
        "SELECT group_concat(k ORDER BY k), "
        f"group_concat(ifnull(length(o), {_NULL}) ORDER BY k), "
        "group_concat(o ORDER BY k SEPARATOR '') FROM "
        f"(SELECT {key} AS k, {value} AS o FROM {table} WHERE {where} "
        f"ORDER BY {key} LIMIT %s) AS p"
    )


class BlobPage(Page):
    """Rows of an integer key and one binary value.

    Args:
        keys: as text, with commas between.
        lengths: of the values, likewise; -1 is NULL.
        values: behind each other.

    Raises:
        ValueError: the server has cut one of them.

    """

    def __init__(self, keys: Any, lengths: Any, values: bytes | None) -> None:
        #: As the server wrote them, for literals.
        self.key_texts: list[str] = _text(keys).split(",")
        self.lengths = [int(length) for length in _text(lengths).split(",")]
        self.values = values or b""
        self._rows: list[Row] | None = None
        whole = sum(length for length in self.lengths if length > 0)
        if len(self.key_texts) != len(self.lengths) or whole != len(self.values):
            raise ValueError("the page was cut")
        ends = (self.key_texts[0], self.key_texts[-1])
        self.ends = ((int(ends[0]),), (int(ends[1]),))

    @cached_property
    def common_length(self) -> int | None:
        """The length of every value, if they have one and none is NULL."""
        length = self.lengths[0]
        return length if length > 0 and set(self.lengths) == {length} else None

    @property
    def is_sealed(self) -> bool:
        """Whether every value begins as an envelope does."""
        length = self.common_length
        return length is not None and set(self.values[::length]) == {SENTINEL}

    def hexadecimal(self) -> Sequence[str]:
        """Return the digits of every value; only of a page with a common length."""
        return hexadecimal(self.values, self.common_length or 0)

    def parts(self) -> Iterator[Parts]:
        """Return the parts of every value."""
        length = self.common_length
        found = None if length is None else parts_in(self.values, length, between=0)
        return parts_of([row[1] for row in self._all()]) if found is None else found

    def _all(self) -> list[Row]:
        if self._rows is None:
            ends = accumulate((max(0, length) for length in self.lengths), initial=0)
            values = self.values
            self._rows = [
                (int(key), None if length == _NULL else values[start:end])
                for key, length, (start, end) in zip(
                    self.key_texts, self.lengths, pairwise(ends), strict=True
                )
            ]
        return self._rows

    def __len__(self) -> int:
        return len(self.key_texts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Any:
        length = self.common_length
        if length is None or isinstance(index, slice):
            return self._all()[index]
        # Once in some hundred rows, when nonces have to be drawn.
        value = self.values[index * length : (index + 1) * length]
        return int(self.key_texts[index]), value

    def __iter__(self) -> Iterator[Row]:
        return iter(self._all())


def hexadecimal(values: bytes, length: int) -> list[str]:
    """Return the digits of every value; they have one length, behind each other."""
    digits, width = values.hex(), 2 * length
    return [digits[n : n + width] for n in range(0, len(digits), width)]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
