"""Codecs of integers, decimals and floats."""

from __future__ import annotations

import decimal
import math
import operator
import re
import struct
from dataclasses import dataclass
from typing import Final

from sqlalchemy_sealed.codec.base import BaseCodec, need
from sqlalchemy_sealed.errors import EncodingError

__all__ = [
    "BigintCodec",
    "DecimalCodec",
    "Float64Codec",
    "Int64Codec",
]


@dataclass(frozen=True)
class Int64Codec(BaseCodec):
    """3: two's complement, 8 bytes, big-endian; out of range is refused."""

    id = 3

    def encode(self, value: int) -> bytes:
        """Return 8 bytes."""
        return operator.index(value).to_bytes(8, signed=True)

    def decode(self, data: bytes) -> int:
        """Return the integer."""
        need(len(data) == 8)
        return int.from_bytes(data, signed=True)


@dataclass(frozen=True)
class BigintCodec(BaseCodec):
    """4: sign byte, then the minimal magnitude; zero is one zero byte."""

    id = 4
    padded = True

    def encode(self, value: int) -> bytes:
        """Return the sign and the magnitude."""
        number = operator.index(value)
        magnitude = abs(number).to_bytes((number.bit_length() + 7) // 8)
        return (b"\1" if number < 0 else b"\0") + magnitude

    def decode(self, data: bytes) -> int:
        """Return the integer."""
        need(data[:1] in {b"\0", b"\1"} and data[1:2] != b"\0" and data != b"\1")
        magnitude = int.from_bytes(data[1:])
        return -magnitude if data[0] else magnitude


#: More digits than any database's decimal type holds.
_DIGITS: Final = 200_000
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_SPECIAL: Final = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class DecimalCodec(BaseCodec):
    """6: ASCII ``-?digits[.digits]``, quantised to the declared scale.

    Args:
        scale: digits after the point; ``None`` keeps no trailing zeros.
        special: whether NaN and the infinities are values of the type.
        as_float: whether Python sees a float instead of a ``Decimal``.

    """

    id = 6
    padded = True
    scale: int | None = None
    special: bool = False
    as_float: bool = False

    def encode(self, value: decimal.Decimal | float) -> bytes:
        """Return the ASCII text; refuses to lose digits."""
        number = decimal.Decimal(str(value) if isinstance(value, float) else value)
        if not number.is_finite():
            return self._encode_special(number)
        if abs(number.adjusted()) > _DIGITS:
            raise EncodingError(f"a decimal of more than {_DIGITS} digits")
        if number.is_zero():
            number = abs(number)
        text = f"{number:f}"
        whole, _, digits = text.partition(".")
        digits = digits.rstrip("0")
        if self.scale is not None:
            if len(digits) > self.scale:
                raise EncodingError(
                    f"more than the {self.scale} decimal places of the column: "
                    "round the value first"
                )
            digits = digits.ljust(self.scale, "0")
        return f"{whole}.{digits}".rstrip(".").encode("ascii")

    def _encode_special(self, number: decimal.Decimal) -> bytes:
        if not self.special:
            raise EncodingError("NaN and infinities are not values of this column")
        text = str(number)
        return (text if text in _SPECIAL else _SPECIAL[0]).encode("ascii")

    def decode(self, data: bytes) -> decimal.Decimal | float:
        """Return the number."""
        text = data.decode("ascii")
        need(bool(_DECIMAL.fullmatch(text)) or (self.special and text in _SPECIAL))
        number = decimal.Decimal(text)
        need(not (number.is_zero() and number.is_signed()))
        return float(number) if self.as_float else number


@dataclass(frozen=True)
class Float64Codec(BaseCodec):
    """11: IEEE 754 binary64, big-endian; one NaN.

    Args:
        comparable: the rules of the deterministic suite: no NaN, and -0.0 is 0.0.

    """

    id = 11
    comparable: bool = False

    def encode(self, value: float) -> bytes:
        """Return 8 bytes."""
        if isinstance(value, str | bytes | bytearray | memoryview):
            raise EncodingError("expected a number")
        number = float(value)
        if math.isnan(number):
            if self.comparable:
                raise EncodingError("NaN equals nothing: it cannot be deterministic")
            return _NAN
        if self.comparable and number == 0.0:
            number = 0.0
        return struct.pack(">d", number)

    def decode(self, data: bytes) -> float:
        """Return the number."""
        need(len(data) == 8)
        number: float = struct.unpack(">d", data)[0]
        need(not math.isnan(number) or (data == _NAN and not self.comparable))
        need(not self.comparable or data != _MINUS_ZERO)
        return number


_MINUS_ZERO: Final = bytes.fromhex("8000000000000000")
_NAN: Final = bytes.fromhex("7ff8000000000000")
