"""Arrays in PostgreSQL's binary form, made for a thousand values at a time.

psycopg adapts any list, one object per item; the batches of a job are lists of one
type whose items mostly have one length, and that takes a fraction of the time. The
form is that of ``array_send`` in PostgreSQL: number of dimensions, whether there are
NULLs, type of the items, length and lower bound; then each item after its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, cast

from psycopg import pq
from psycopg.abc import AdaptContext, DumperKey
from psycopg.adapt import Dumper, PyFormat

__all__ = ["WireArray", "array_maker", "register"]

_HEADER: Final = Struct(">iiIii")
_LENGTH: Final = Struct(">i").pack
_INTEGER: Final = Struct(">iq").pack
_NULL: Final = _LENGTH(-1)
_BIGINT, _BYTES, _TEXT = (20, 1016), (17, 1001), (25, 1009)


class WireArray(bytes):
    """An array of one dimension as it is sent, with the type the server knows it by."""

    oid: int

    @classmethod
    def of(cls, oid: int, data: bytes) -> WireArray:
        """Name the type of an array."""
        array = cls(data)
        array.oid = oid
        return array

    @property
    def item_count(self) -> int:
        """How many items it has."""
        count: int = _HEADER.unpack_from(self)[3]
        return count

    @property
    def items(self) -> memoryview:
        """The items, each after its length."""
        return memoryview(self)[_HEADER.size :]

    def common_length(self) -> int | None:
        """Return the length of every item, or ``None`` if they have several."""
        dimensions, _, _, count, _ = _HEADER.unpack_from(self)
        prefix = self[_HEADER.size : _HEADER.size + 4]
        step = 4 + int.from_bytes(prefix, "big", signed=True)
        if dimensions != 1 or step < 4 or len(self) != _HEADER.size + count * step:  # noqa: PLR2004 - NULL
            return None
        # If the second length is that of the first item, it is one, and so on.
        for n, byte in enumerate(prefix, _HEADER.size):
            if self[n::step] != bytes((byte,)) * count:
                return None
        return step - 4


def _array(
    kind: tuple[int, int], items: bytes, count: int, nulls: bool = False
) -> WireArray:
    item, array = kind
    return WireArray.of(array, _HEADER.pack(1, nulls, item, count, 1) + items)


def _bytes_array(values: Sequence[Any]) -> WireArray:
    return _array(_BYTES, *_with_lengths(values))


def _text_array(values: Sequence[Any]) -> WireArray:
    encoded = [None if value is None else value.encode() for value in values]
    return _array(_TEXT, *_with_lengths(encoded))


def _bigint_array(values: Sequence[Any]) -> WireArray:
    # A key column has no NULL.
    items = b"".join([_INTEGER(8, n) for n in values])
    return _array(_BIGINT, items, len(values))


def _with_lengths(values: Sequence[bytes | None]) -> tuple[bytes, int, bool]:
    present = [value for value in values if value is not None]
    lengths = set(map(len, present))
    nulls = len(present) < len(values)
    if len(lengths) == 1 and not nulls:
        prefix = _LENGTH(lengths.pop())
        items = prefix + prefix.join(present)
    else:
        items = b"".join(_NULL if v is None else _LENGTH(len(v)) + v for v in values)
    return items, len(values), nulls


_MAKERS: Final[dict[str, Callable[[Sequence[Any]], WireArray]]] = {
    "bytea": _bytes_array,
    "text": _text_array,
    "bigint": _bigint_array,
}


def array_maker(kind: str, encoding: str) -> Callable[[Sequence[Any]], Any]:
    """Return the function that makes a parameter of ``kind[]`` from driver values.

    Types without a form of their own are left to the driver, and so is text where the
    connection has another encoding than UTF-8.
    """
    if kind == "text" and encoding != "utf-8":
        return list
    return _MAKERS.get(kind, list)


def register(context: AdaptContext) -> None:
    """Let a connection send the arrays of this module."""
    context.adapters.register_dumper(WireArray, _Dumper)


class _Dumper(Dumper):
    format = pq.Format.BINARY

    def get_key(self, obj: WireArray, format: PyFormat) -> DumperKey:  # noqa: A002 - psycopg's name
        """Return what tells the dumpers of two types apart."""
        del format
        return (self.cls, cast("type", obj.oid))

    def upgrade(self, obj: WireArray, format: PyFormat) -> _Dumper:  # noqa: A002 - psycopg's name
        """Return the dumper of the type of an array."""
        del format
        dumper = _Dumper(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: WireArray) -> bytes:
        """Return the array: it is in the form already."""
        return obj
