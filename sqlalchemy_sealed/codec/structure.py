"""Codecs of JSON documents and arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy_sealed.codec.base import BaseCodec, Codec, need
from sqlalchemy_sealed.codec.scalar import Utf8Codec
from sqlalchemy_sealed.errors import EncodingError

__all__ = [
    "ArrayCodec",
    "JsonCodec",
]


@dataclass(frozen=True)
class JsonCodec(BaseCodec):
    """10: UTF-8 JSON without insignificant space, key order kept, no NaN."""

    id = 10
    padded = True
    deterministic = False

    def encode(self, value: Any) -> bytes:
        """Return UTF-8 JSON; refuses what would not read back the same."""
        if isinstance(value, int) and type(value) not in {int, bool}:
            # SQLAlchemy's JSON.NULL is one of these, and would be written as a number.
            raise EncodingError("expected a JSON value; for a null use None")
        try:
            data = _dump(value)
            # {1: "a", "1": "b"} has one name twice; deep nesting may write, not read.
            readable = _dump(json.loads(data)) == data
        except RecursionError:
            readable = False
        if not readable:
            raise EncodingError("names that are the same as text, or nested too deeply")
        return data

    def decode(self, data: bytes) -> Any:
        """Return the JSON value."""
        try:
            value = json.loads(data.decode())
            # One byte string per value: what we would not write, we do not read.
            canonical = _dump(value) == data
        except RecursionError:
            canonical = False
        need(canonical)
        return value


def _dump(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()


_NULL_ITEM: Final = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class ArrayCodec(BaseCodec):
    """15: item codec, count, then per item its length and bytes; may be nested.

    Args:
        item: codec of the innermost items.
        as_tuple: whether Python sees tuples instead of lists.

    """

    id = 15
    padded = True
    deterministic = False
    item: Codec = field(default_factory=Utf8Codec)
    as_tuple: bool = False

    def encode(self, value: list[Any] | tuple[Any, ...]) -> bytes:
        """Return the bytes of a list; lists inside are arrays of the same item."""
        if not isinstance(value, list | tuple):
            raise EncodingError("expected a list")
        nested = {isinstance(v, list | tuple) for v in value if v is not None}
        if len(nested) > 1:
            raise EncodingError("a list that mixes items and lists")
        codec: Codec = self if nested == {True} else self.item
        encoded = bytearray(codec.id.to_bytes(1) + len(value).to_bytes(4))
        for entry in value:
            if entry is None:
                encoded += _NULL_ITEM
            else:
                data = codec.encode(entry)
                encoded += len(data).to_bytes(4) + data
        return bytes(encoded)

    def decode(self, data: bytes) -> list[Any] | tuple[Any, ...]:
        """Return the list."""
        need(len(data) >= 5 and data[0] in {self.id, self.item.id})
        codec: Codec = self if data[0] == self.id else self.item
        values: list[Any] = []
        offset = 5
        for _ in range(int.from_bytes(data[1:5])):
            head = data[offset : offset + 4]
            need(len(head) == 4)
            offset += 4
            if head == _NULL_ITEM:
                values.append(None)
                continue
            end = offset + int.from_bytes(head)
            need(end <= len(data))
            values.append(codec.decode(data[offset:end]))
            need(values[-1] is not None)
            offset = end
        need(offset == len(data))
        # An array of nothing is written as an array of items.
        need(codec is not self or any(value is not None for value in values))
        return tuple(values) if self.as_tuple else values
