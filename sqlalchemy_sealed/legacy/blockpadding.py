"""Paddings of CBC plaintexts, and how each is taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["PADDINGS"]

_BLOCK: Final = 16


def _naive(data: bytes) -> bytes:
    # 1 to 16 asterisks, and no way to tell them from those of the value: all go, as
    # the library itself did.
    return data.rstrip(b"*")


def _pkcs7(data: bytes) -> bytes:
    count = data[-1]
    if not 1 <= count <= _BLOCK or data[-count:] != bytes((count,)) * count:
        raise ValueError("no such padding")
    return data[:-count]


def _one_and_zeroes(data: bytes) -> bytes:
    # One 0x80 only: the library takes away those of the value, too, and so cannot read
    # a text that ends in "À".
    marked = data.rstrip(b"\0")
    if marked[-1:] != b"\x80" or len(data) - len(marked) >= _BLOCK:
        raise ValueError("no such padding")
    return marked[:-1]


def _zeroes(data: bytes) -> bytes:
    count = data[-1]
    if not 1 <= count <= _BLOCK or any(data[-count:-1]):
        raise ValueError("no such padding")
    return data[:-count]


#: By the names of sqlalchemy-utils.
PADDINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = MappingProxyType(
    {
        "naive": _naive,
        "pkcs5": _pkcs7,
        "oneandzeroes": _one_and_zeroes,
        "zeroes": _zeroes,
    }
)
