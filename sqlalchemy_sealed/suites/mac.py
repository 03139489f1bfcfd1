"""HMAC-SHA256 (RFC 2104), for blind indexes."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

__all__ = ["Mac"]


class Mac:
    """HMAC-SHA256 under one derived key; may be shared by threads."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def digest(self, data: bytes) -> bytes:
        """Return the 32 bytes of a message."""
        mac = self._keyed.copy()
        mac.update(data)
        return mac.finalize()
