"""Arrays in PostgreSQL's binary form, made for a thousand values at a time.

psycopg adapts any list, one object per item; the batches of a job are lists of one
type whose items mostly have one length, and that takes a fraction of the time. The
form is that of ``array_send`` in PostgreSQL: number of dimensions, whether there are
NULLs, type of the items, length and lower bound; then each item after its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, ClassVar, Final

from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper

__all__ = ["array_maker", "register"]

_HEADER: Final = Struct(">iiIii").pack
_LENGTH: Final = Struct(">i").pack
_INTEGER: Final = Struct(">iq").pack
_NULL: Final = _LENGTH(-1)


class _Array(bytes):
    """An array, ready to be sent."""

    item_oid: ClassVar[int]
    array_oid: ClassVar[int]

    @classmethod
    def of(cls, items: bytes, count: int, nulls: bool = False) -> _Array:
        """Put the header of a one-dimensional array before its items."""
        return cls(_HEADER(1, nulls, cls.item_oid, count, 1) + items)


class _BytesArray(_Array):
    item_oid, array_oid = 17, 1001


class _TextArray(_Array):
    item_oid, array_oid = 25, 1009


class _BigintArray(_Array):
    item_oid, array_oid = 20, 1016


def _bytes_array(values: Sequence[Any]) -> _Array:
    return _BytesArray.of(*_with_lengths(values))


def _text_array(values: Sequence[Any]) -> _Array:
    encoded = [None if value is None else value.encode() for value in values]
    return _TextArray.of(*_with_lengths(encoded))


def _bigint_array(values: Sequence[Any]) -> _Array:
    # A key column has no NULL.
    return _BigintArray.of(b"".join([_INTEGER(8, n) for n in values]), len(values))


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


_MAKERS: Final[dict[str, Callable[[Sequence[Any]], _Array]]] = {
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
    for dumper in _DUMPERS:
        context.adapters.register_dumper(dumper.kind, dumper)


class _ArrayDumper(Dumper):
    kind: ClassVar[type[_Array]]
    format = pq.Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        """Return the array: it is in the form already."""
        return obj


def _dumper(array: type[_Array]) -> type[_ArrayDumper]:
    return type(
        f"{array.__name__}Dumper",
        (_ArrayDumper,),
        {"kind": array, "oid": array.array_oid},
    )


_DUMPERS: Final = [_dumper(array) for array in (_BytesArray, _TextArray, _BigintArray)]
