"""The envelope: the bytes that are stored (docs/FORMAT.md, "Envelope").

::

     0      1      2      3      4               8                            24
    +------+------+------+------+---------------+----------------------------+------
    | 0xF5 | suite| flags| codec| key version   | kid                        | body
    +------+------+------+------+---------------+----------------------------+------

This module parses and serialises, strictly, and knows no cryptography.
"""

from __future__ import annotations

import binascii
import contextlib
import enum
from dataclasses import dataclass
from typing import Final

from sqlalchemy_sealed.errors import MalformedEnvelopeError, NotSealedError

__all__ = [
    "BODY_MINIMUM",
    "HEADER_LENGTH",
    "KID_LENGTH",
    "TEXT_PREFIX",
    "Envelope",
    "Flag",
    "Header",
    "SuiteId",
    "from_text",
    "has_shape",
    "to_text",
]

SENTINEL: Final = 0xF5
HEADER_LENGTH: Final = 24
KID_LENGTH: Final = 16
TEXT_PREFIX: Final = "sld:"
_SENTINEL_BYTE: Final = b"\xf5"
_UINT32: Final = 1 << 32


class SuiteId(enum.IntEnum):
    """The suites of format version 1; the high nibble is the format version."""

    XAES_256_GCM = 0x11
    AES_256_SIV = 0x12
    A256CBC_HS512 = 0x15


#: Bytes of a body that holds an empty plaintext, per suite.
BODY_MINIMUM: Final = {
    SuiteId.XAES_256_GCM: 40,
    SuiteId.AES_256_SIV: 16,
    SuiteId.A256CBC_HS512: 64,
}


class Flag(enum.IntFlag):
    """The bits of the flags byte; bits 5 to 7 must be zero."""

    PADDED = 1
    COMPRESSED = 2
    ROW_BOUND = 4
    TENANT_SCOPED = 8
    APPLICATION_CONTEXT = 16


_ALL_FLAGS: Final = 0x1F
_MINIMUM: Final = {int(suite): HEADER_LENGTH + n for suite, n in BODY_MINIMUM.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """The 24 static bytes in front of every value, always authenticated."""

    suite: SuiteId
    flags: Flag
    codec: int
    version: int
    kid: bytes

    def __bytes__(self) -> bytes:
        """Return the 24 bytes."""
        return (
            bytes((SENTINEL, self.suite, self.flags, self.codec))
            + self.version.to_bytes(4)
            + self.kid
        )

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Parse the first 24 bytes of ``data``.

        Raises:
            NotSealedError: no sentinel in front.
            MalformedEnvelopeError: too short, unknown suite, or reserved flag bits.

        """
        if bytes(data[:1]) != _SENTINEL_BYTE:
            raise NotSealedError("the value does not start with the sentinel 0xF5")
        if len(data) < HEADER_LENGTH:
            raise MalformedEnvelopeError(
                f"the header is {len(data)} bytes long instead of {HEADER_LENGTH}"
            )
        if data[1] not in _MINIMUM:
            raise MalformedEnvelopeError(f"unknown suite {data[1]:#04x}")
        if data[2] > _ALL_FLAGS:
            raise MalformedEnvelopeError(f"reserved flag bits are set: {data[2]:#04x}")
        return cls(
            SuiteId(data[1]),
            Flag(data[2]),
            data[3],
            int.from_bytes(data[4:8]),
            bytes(data[8:HEADER_LENGTH]),
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """A header and the body of its suite."""

    header: Header
    body: bytes

    def __bytes__(self) -> bytes:
        """Return the stored bytes."""
        return bytes(self.header) + self.body

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """Parse stored bytes, strictly.

        Raises:
            NotSealedError: no sentinel in front.
            MalformedEnvelopeError: a header that is not allowed, or a short body.

        """
        header = Header.parse(data)
        if len(data) < _MINIMUM[header.suite]:
            raise MalformedEnvelopeError(
                f"{len(data)} bytes are too few for suite {header.suite:#04x}, "
                f"which needs {_MINIMUM[header.suite]}: the value was truncated"
            )
        return cls(header, bytes(data[HEADER_LENGTH:]))


def has_shape(data: object) -> bool:
    """Tell whether a stored value looks like an envelope, binary or text.

    The shape alone never makes a value ciphertext (rule 1).
    """
    if isinstance(data, str):
        try:
            data = from_text(data)
        except (NotSealedError, MalformedEnvelopeError):
            return False
    return (
        isinstance(data, bytes | bytearray | memoryview)
        and len(data) > HEADER_LENGTH
        and data[0] == SENTINEL
        and data[1] in _MINIMUM
        and data[2] <= _ALL_FLAGS
        and len(data) >= _MINIMUM[data[1]]
    )


# The two characters of plain base64 that base64url replaces become invalid ones.
_TO_PLAIN: Final = str.maketrans("-_+/", "+/!!")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
#: Last characters whose unused low bits are zero, by length modulo 4.
_LAST: Final = {2: "AQgw", 3: "AEIMQUYcgkosw048"}


def to_text(envelope: bytes) -> str:
    """Return the text form: ``sld:`` and base64url without padding."""
    encoded = binascii.b2a_base64(envelope, newline=False)
    return TEXT_PREFIX + encoded.translate(_TO_URL).rstrip(b"=").decode("ascii")


def from_text(text: object) -> bytes:
    """Return the envelope bytes of a text form, which MUST be the only one.

    Raises:
        NotSealedError: the text does not start with ``sld:``.
        MalformedEnvelopeError: another alphabet, padding, or unused bits that are set.

    """
    if not isinstance(text, str) or not text.startswith(TEXT_PREFIX):
        raise NotSealedError("the value does not start with 'sld:'")
    encoded = text[len(TEXT_PREFIX) :]
    rest = len(encoded) % 4
    if rest == 1 or (rest and encoded[-1] not in _LAST[rest]):
        raise MalformedEnvelopeError("the text form is truncated or not canonical")
    padded = encoded.translate(_TO_PLAIN) + "=" * (-rest % 4)
    decoded = None
    with contextlib.suppress(ValueError):  # binascii.Error; non-ASCII text
        decoded = binascii.a2b_base64(padded, strict_mode=True)
    # A source '=' would be swallowed as padding: the length tells.
    if decoded is None or len(decoded) != len(encoded) * 3 // 4:
        raise MalformedEnvelopeError("the text form has characters outside base64url")
    return decoded
