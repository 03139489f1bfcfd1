"""Tag-length-value items: the injective encoding of every context (docs/FORMAT.md).

An item is ``tag(1) length(4, big-endian) value``. Tags strictly increase and an unknown
tag is an error, so two different contexts never share one byte string.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["TAGS", "decode_items", "encode_items"]

#: Every tag of format version 1.
TAGS: Mapping[int, str] = MappingProxyType(
    {
        0x01: "field id",
        0x02: "tenant id",
        0x03: "row id",
        0x04: "index name",
        0x05: "application context",
        0x06: "normaliser id",
        0x07: "normaliser version",
    }
)

_HEAD = 5


def encode_items(items: list[tuple[int, bytes]]) -> bytes:
    """Encode items whose tags strictly increase.

    Raises:
        ValueError: a tag is unknown, repeated or out of order.

    """
    previous = 0
    encoded = bytearray()
    for tag, value in items:
        _check(tag, previous)
        previous = tag
        encoded += tag.to_bytes(1) + len(value).to_bytes(4) + value
    return bytes(encoded)


def decode_items(data: bytes) -> list[tuple[int, bytes]]:
    """Decode what :func:`encode_items` made, strictly.

    Raises:
        ValueError: a tag is unknown or out of order, or bytes are missing.

    """
    items: list[tuple[int, bytes]] = []
    previous = offset = 0
    while offset < len(data):
        tag = data[offset]
        _check(tag, previous)
        previous = tag
        end = offset + _HEAD + int.from_bytes(data[offset + 1 : offset + _HEAD])
        if offset + _HEAD > len(data) or end > len(data):
            raise ValueError("a TLV item is truncated")
        items.append((tag, data[offset + _HEAD : end]))
        offset = end
    return items


def _check(tag: int, previous: int) -> None:
    if tag not in TAGS:
        raise ValueError(f"unknown TLV tag {tag:#04x}")
    if tag <= previous:
        raise ValueError(f"TLV tag {tag:#04x} does not follow {previous:#04x}")
