"""0x15 A256CBC-HS512: AES-256-CBC, authenticated with HMAC-SHA-512 (RFC 7518, 5.2.5).

For those who have to keep CBC. Encrypt-then-MAC over associated data, IV and
ciphertext: nothing is decrypted before the tag is right, so there is no padding oracle.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

__all__ = ["CbcHmacCipher"]

_IV_LENGTH: Final = 16
_TAG_LENGTH: Final = 32
_PKCS7: Final = PKCS7(128)


class CbcHmacCipher:
    """A256CBC-HS512 under one derived field key of 64 bytes; threads may share it."""

    __slots__ = ("_aes", "_mac")

    def __init__(self, key: bytes) -> None:
        if len(key) != 64:  # noqa: PLR2004 - MAC_KEY and ENC_KEY
            raise ValueError("A256CBC-HS512 needs a key of 64 bytes")
        self._mac = HMAC(key[:32], SHA512())
        self._aes = AES(key[32:])

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return ``iv ciphertext tag``."""
        return self._seal(os.urandom(_IV_LENGTH), plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        """Return the plaintext; ``InvalidTag`` when it is not authentic."""
        covered, tag = body[:-_TAG_LENGTH], bytes(body[-_TAG_LENGTH:])
        if not bytes_eq(self._tag(covered, aad), tag):
            raise InvalidTag
        plaintext = self._decrypt(covered)
        if plaintext is None:  # a holder of the key made what this class does not
            raise InvalidTag
        return plaintext

    def _seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        padder = _PKCS7.padder()
        padded = padder.update(plaintext) + padder.finalize()
        encryptor = Cipher(self._aes, CBC(iv)).encryptor()
        covered = iv + encryptor.update(padded) + encryptor.finalize()
        return covered + self._tag(covered, aad)

    def _tag(self, covered: bytes, aad: bytes) -> bytes:
        mac = self._mac.copy()
        # The length in bits keeps associated data and IV apart.
        mac.update(b"".join((aad, covered, (len(aad) * 8).to_bytes(8))))
        return mac.finalize()[:_TAG_LENGTH]

    def _decrypt(self, covered: bytes) -> bytes | None:
        iv, ciphertext = covered[:_IV_LENGTH], covered[_IV_LENGTH:]
        try:
            decryptor = Cipher(self._aes, CBC(iv)).decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
            unpadder = _PKCS7.unpadder()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            return None
