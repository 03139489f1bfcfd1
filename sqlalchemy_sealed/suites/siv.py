"""0x12 AES-256-SIV, the deterministic suite: RFC 5297, with one associated string."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

__all__ = ["SivCipher"]


class SivCipher:
    """AES-256-SIV under one derived field key of 64 bytes: equal in, equal out."""

    __slots__ = ("_siv",)

    def __init__(self, key: bytes) -> None:
        if len(key) != 64:  # noqa: PLR2004 - two AES-256 keys
            raise ValueError("AES-256-SIV needs a key of 64 bytes")
        self._siv = AESSIV(key)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return ``siv ciphertext``."""
        return self._siv.encrypt(plaintext, [aad])

    def open(self, body: bytes, aad: bytes) -> bytes:
        """Return the plaintext; ``InvalidTag`` when it is not authentic."""
        return self._siv.decrypt(body, [aad])
