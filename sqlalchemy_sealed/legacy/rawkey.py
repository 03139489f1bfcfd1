"""Keys of 32 bytes as files and variables have them: base64, hexadecimal, or raw."""

from __future__ import annotations

from typing import Final

from sqlalchemy_sealed.legacy.base64text import from_base64

__all__ = ["raw_key"]

_BYTES: Final = 32
_HEX: Final = 64


def raw_key(data: bytes) -> bytes:
    """Return the 32 bytes of a key of AES-256.

    Raises:
        ValueError: it is of another length.

    """
    if len(data) == _BYTES:
        return data
    text = data.strip()
    key = bytes.fromhex(text.decode()) if len(text) == _HEX else from_base64(text)
    if len(key) != _BYTES:
        raise ValueError("no key of 32 bytes")
    return key
