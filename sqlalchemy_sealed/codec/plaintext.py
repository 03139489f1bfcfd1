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
    if re.fullmatch(r"(?i)nan|[+-]?inf(inity)?", text):
        return float(text)
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    return _exact(text)


def _exact(text: str) -> float:
    """Return a number that was not only near to another one that was written."""
    value = float(text)
    lost = value == 0 and re.search(r"[1-9]", re.split("[eE]", text)[0])
    if lost or not math.isfinite(value) or Decimal(repr(value)) != Decimal(text):
        raise ValueError("more digits than a float has")
    return value


def _json(text: str) -> Any:
    return json.loads(text, parse_float=_exact, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _moment(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if re.search(r"[.,]\d{7}", text):
            raise ValueError("more digits than a second has here")
        return parse(text)

    return read


_READ: Final[dict[type, Callable[[str], Any]]] = {
    Utf8Codec: str,
    Int64Codec: _whole,
    BigintCodec: _whole,
    BoolCodec: lambda text: _TRUTH[text.lower()],
    DecimalCodec: _decimal,
    Float64Codec: _float,
    DateCodec: dt.date.fromisoformat,
    DatetimeCodec: _moment(dt.datetime.fromisoformat),
    TimeCodec: _moment(dt.time.fromisoformat),
    UuidCodec: uuid.UUID,
    JsonCodec: _json,
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
