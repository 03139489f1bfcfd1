"""The notation of values in the vector files: every value is a text.

Integers and intervals (in microseconds) are decimal, bytes are hex, dates and times
ISO 8601, JSON is JSON, floats are what ``float()`` reads, and an array is a JSON list
of the texts of its items.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.moment import (
    DateCodec,
    DatetimeCodec,
    IntervalCodec,
    TimeCodec,
)
from sqlalchemy_sealed.codec.number import (
    BigintCodec,
    DecimalCodec,
    Float64Codec,
    Int64Codec,
)
from sqlalchemy_sealed.codec.scalar import (
    BoolCodec,
    BytesCodec,
    EnumCodec,
    Utf8Codec,
    UuidCodec,
)
from sqlalchemy_sealed.codec.structure import ArrayCodec, JsonCodec

READ = {
    1: str,
    2: bytes.fromhex,
    3: int,
    4: int,
    5: lambda text: {"true": True, "false": False}[text],
    6: Decimal,
    7: dt.date.fromisoformat,
    8: dt.datetime.fromisoformat,
    9: UUID,
    10: json.loads,
    11: float,
    12: str,
    13: dt.time.fromisoformat,
    14: lambda text: dt.timedelta(microseconds=int(text)),
}
ARRAY = 15


def codec_of(case: dict[str, Any]) -> Codec:
    """Return the codec that a case names, with its options."""
    kinds: dict[int, Any] = {
        1: Utf8Codec,
        2: BytesCodec,
        3: Int64Codec,
        4: BigintCodec,
        5: BoolCodec,
        6: lambda: DecimalCodec(case.get("scale"), case.get("special", False)),
        7: DateCodec,
        8: lambda: DatetimeCodec(case.get("aware", False)),
        9: UuidCodec,
        10: JsonCodec,
        11: lambda: Float64Codec(case.get("comparable", False)),
        12: lambda: EnumCodec(tuple((n, n) for n in case.get("members", ()))),
        13: TimeCodec,
        14: IntervalCodec,
        15: lambda: ArrayCodec(codec_of({**case, "codec": case["item"]})),
    }
    codec: Codec = kinds[case["codec"]]()
    return codec


def value_of(case: dict[str, Any], text: Any) -> Any:
    """Return the Python value that a text stands for."""
    if case["codec"] == ARRAY:
        return _items(case["item"], json.loads(text))
    return READ[case["codec"]](text)


def _items(item: int, entry: Any) -> Any:
    if isinstance(entry, list):
        return [_items(item, one) for one in entry]
    return None if entry is None else READ[item](entry)


def paired(item: int, value: Any) -> Any:
    """Return an array as the independent implementation writes it."""
    nested = any(isinstance(one, list) for one in value)
    if not nested:
        return item, value
    return ARRAY, [paired(item, v) if isinstance(v, list) else v for v in value]


def foreign(case: dict[str, Any], value: Any) -> Any:
    """Return a value as the independent implementation takes it."""
    return paired(case["item"], value) if case["codec"] == ARRAY else value
