"""Codecs of text, bytes, truth values, UUIDs and enum members."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy_sealed.codec.base import BaseCodec, need
from sqlalchemy_sealed.errors import EncodingError

__all__ = [
    "BoolCodec",
    "BytesCodec",
    "EnumCodec",
    "Utf8Codec",
    "UuidCodec",
]


@dataclass(frozen=True)
class Utf8Codec(BaseCodec):
    """1: text as given, without normalisation; lone surrogates are refused."""

    id = 1
    padded = True

    # The C functions themselves: nothing stands between the type and the codec.
    encode = staticmethod(str.encode)
    decode = staticmethod(bytes.decode)


@dataclass(frozen=True)
class BytesCodec(BaseCodec):
    """2: bytes as given."""

    id = 2

    def encode(self, value: bytes | bytearray | memoryview) -> bytes:
        """Return the bytes."""
        return value if type(value) is bytes else bytes(memoryview(value))

    def decode(self, data: bytes) -> bytes:
        """Return the bytes."""
        return data


@dataclass(frozen=True)
class BoolCodec(BaseCodec):
    """5: one byte, 00 or 01."""

    id = 5

    def encode(self, value: bool) -> bytes:
        """Return one byte."""
        if value not in {True, False}:
            raise EncodingError("expected True or False")
        return b"\1" if value else b"\0"

    def decode(self, data: bytes) -> bool:
        """Return the truth value."""
        need(data in {b"\0", b"\1"})
        return data == b"\1"


@dataclass(frozen=True)
class UuidCodec(BaseCodec):
    """9: the 16 bytes of a UUID."""

    id = 9
    as_text: bool = False

    def encode(self, value: uuid.UUID | str) -> bytes:
        """Return 16 bytes."""
        if self.as_text and isinstance(value, str):
            return uuid.UUID(value).bytes
        encoded: bytes = value.bytes  # type: ignore[union-attr]
        return encoded

    def decode(self, data: bytes) -> uuid.UUID | str:
        """Return the UUID, as text where the column says so."""
        value = uuid.UUID(bytes=data)
        return str(value) if self.as_text else value


@dataclass(frozen=True)
class EnumCodec(BaseCodec):
    """12: the member's name, UTF-8.

    Args:
        members: pairs of name and Python value, in the order of declaration.

    """

    id = 12
    padded = True
    members: tuple[tuple[str, Any], ...] = ()

    def encode(self, value: Any) -> bytes:
        """Return the name; a member or its name is accepted."""
        for name, member in self.members:
            if value is member:
                return name.encode()
        # A member's value may be another member's name: names are for plain text.
        if isinstance(value, str) and not isinstance(value, enum.Enum):
            for name, _ in self.members:
                if value == name:
                    return name.encode()
        raise EncodingError("not a member of the declared Enum")

    def decode(self, data: bytes) -> Any:
        """Return the member."""
        name = data.decode()
        for known, member in self.members:
            if known == name:
                return member
        raise ValueError("unknown enum member")
