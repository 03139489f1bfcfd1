"""AES-256-CBC, as others used it: without anything that tells a wrong key."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

__all__ = ["BLOCK", "cbc_decrypt"]

#: Bytes of a block, and of an IV.
BLOCK: Final = 16


def cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return the padded plaintext.

    Raises:
        ValueError: a key that is not of 32 bytes, an IV that is not of 16, or no whole
            blocks.

    """
    if len(key) != 32 or not data or len(data) % BLOCK:  # noqa: PLR2004 - AES-256
        raise ValueError("no whole blocks")
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
