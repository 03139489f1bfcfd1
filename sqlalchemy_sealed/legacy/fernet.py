"""Fernet tokens, of one key or of several (``MultiFernet``).

A token is base64url of 0x80, the time, an IV, AES-128-CBC with PKCS #7 padding, and
HMAC-SHA256 over all of it: https://github.com/fernet/spec/blob/master/Spec.md
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sqlalchemy_sealed.errors import KeyFormatError
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue, LegacyFormat
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource

__all__ = ["FernetTokens", "is_token", "open_token"]

#: 0x80 and the first bytes of a time before the year 2106, in base64: "gAAAAA", of
#: which the first may be lost; then what is left of the rest.
_TOKEN: Final = re.compile(rb"AAAAA[A-Za-z0-9_-]{10}")


def is_token(stored: bytes) -> bool:
    """Tell whether stored bytes look like a Fernet token, whole or damaged.

    One that is damaged is an error, and never plaintext.
    """
    return _TOKEN.search(stored) is not None


def open_token(opener: Fernet | MultiFernet, stored: bytes) -> bytes:
    """Return the plaintext of a token.

    Raises:
        InvalidLegacyValue: no key opens it.

    """
    try:
        return opener.decrypt(stored)
    except InvalidToken:
        pass
    raise InvalidLegacyValue


class FernetTokens(LegacyFormat[MultiFernet]):
    """Tokens of ``cryptography.fernet``, as ``Fernet`` and ``MultiFernet`` write them.

    Args:
        key: 32 bytes in base64url, 43 or 44 characters; several in a list, or
            separated by commas. The one that fits is found by its HMAC.

    """

    def __init__(
        self, key: KeySource | KeyMaterial | Sequence[KeySource | KeyMaterial]
    ) -> None:
        keys: Sequence[KeySource | KeyMaterial] = (
            [key]
            if isinstance(key, str | bytes | KeyMaterial) or callable(key)
            else list(key)
        )
        if not keys:
            raise KeyFormatError("Fernet tokens need a key, or several in a list")
        super().__init__(keys[0])
        rest = [k if isinstance(k, KeyMaterial) else KeyMaterial(k) for k in keys[1:]]
        self._keys = (self._key, *rest)

    def _prepare(self) -> MultiFernet:
        parts = [part for key in self._keys for part in key.text().split(",")]
        return MultiFernet([Fernet(_padded(part.strip())) for part in parts])

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value is a Fernet token."""
        return is_token(stored)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a token."""
        del beside
        return open_token(self.secret, stored)


def _padded(key: str) -> str:
    # Copied keys lose the "=" at their end.
    return key.rstrip("=") + "=" * (-len(key.rstrip("=")) % 4)
