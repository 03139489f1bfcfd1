"""Values as text, the way databases and other programs write them.

What is not sealed yet is text in most columns, whatever the declared type: a legacy
format seals the text of a value, and a plaintext that shares its column with envelopes
is text, too. Reading is strict where two values could be meant, and lenient where only
the spelling differs.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.moment import DateCodec, DatetimeCodec, TimeCodec
from sqlalchemy_sealed.codec.number import (
    BigintCodec,
    DecimalCodec,
    Float64Codec,
    Int64Codec,
)
from sqlalchemy_sealed.codec.scalar import BoolCodec, EnumCodec, Utf8Codec, UuidCodec
from sqlalchemy_sealed.codec.structure import JsonCodec

__all__ = ["has_text", "read_text", "write_text"]

_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_TRUTH: Final = {"true": True, "t": True, "1": True} | {
    "false": False,
    "f": False,
    "0": False,
}


def _whole(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("no integer")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text) and text not in {"NaN", "Infinity", "-Infinity"}:
        raise ValueError("no number")
    return Decimal(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) and not re.fullmatch(r"(?i)nan|[+-]?inf(inity)?", text):
        raise ValueError("no number")
    return value


_READ: Final[dict[type, Callable[[str], Any]]] = {
    Utf8Codec: str,
    Int64Codec: _whole,
    BigintCodec: _whole,
    BoolCodec: lambda text: _TRUTH[text.lower()],
    DecimalCodec: _decimal,
    Float64Codec: _float,
    DateCodec: dt.date.fromisoformat,
    DatetimeCodec: dt.datetime.fromisoformat,
    TimeCodec: dt.time.fromisoformat,
    UuidCodec: uuid.UUID,
    JsonCodec: json.loads,
    EnumCodec: str,
}
_WRITE: Final[dict[type, Callable[[Any], str]]] = {
    BoolCodec: lambda value: "true" if value else "false",
    Float64Codec: repr,
    DateCodec: lambda value: value.isoformat(),
    DatetimeCodec: lambda value: value.isoformat(),
    TimeCodec: lambda value: value.isoformat(),
    JsonCodec: lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False),
    EnumCodec: lambda value: getattr(value, "name", value),
}


def has_text(codec: Codec) -> bool:
    """Tell whether the values of a codec have a text that is theirs alone."""
    return type(codec) in _READ


def read_text(codec: Codec, text: str) -> Any:
    """Return the value that a text means.

    Raises:
        ValueError: it means none, or the codec has no text; the message and the
            attributes may hold the text.

    """
    if not has_text(codec):
        raise ValueError("no text")
    try:
        value = _READ[type(codec)](text)
    except (ArithmeticError, KeyError) as error:
        raise ValueError("no value") from error
    return str(value) if isinstance(codec, UuidCodec) and codec.as_text else value


def write_text(codec: Codec, value: Any) -> str:
    """Return the text of a value that the codec accepts."""
    return _WRITE.get(type(codec), str)(value)
