"""Base64 as other programs write it: standard or URL-safe, padded or not."""

from __future__ import annotations

import binascii
import re
from typing import Final

__all__ = ["from_base64", "looks_like_base64"]

_ALPHABET: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def looks_like_base64(data: bytes) -> bool:
    """Tell whether bytes are base64 text and nothing else."""
    return _ALPHABET.fullmatch(data) is not None


def from_base64(data: bytes) -> bytes:
    """Return what a base64 text stands for.

    Raises:
        ValueError: it has other characters, or an impossible length.

    """
    if not looks_like_base64(data):
        raise ValueError("no base64")
    bare = data.rstrip(b"=").translate(_TO_STANDARD)
    try:
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4))
    except binascii.Error as error:
        raise ValueError("no base64") from error
