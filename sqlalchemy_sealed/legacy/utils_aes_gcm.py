"""sqlalchemy-utils, ``AesGcmEngine``."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sqlalchemy_sealed.legacy.base64text import from_base64, looks_like_base64
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue
from sqlalchemy_sealed.legacy.utils import UtilsFormat

__all__ = ["SqlalchemyUtilsAesGcm"]

_IV = 12
_BODY = 28


class SqlalchemyUtilsAesGcm(UtilsFormat[AESGCM]):
    """``EncryptedType(..., engine=AesGcmEngine)``: base64 of IV, tag, ciphertext.

    The tag of 16 bytes stands before the ciphertext there. The key is SHA-256 of the
    application's.

    Args:
        key: as it was given to sqlalchemy-utils, of any length.

    """

    def _prepare(self) -> AESGCM:
        return AESGCM(self._digest())

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value is base64 of enough bytes."""
        return len(stored) >= _BODY * 4 // 3 and looks_like_base64(stored)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a value."""
        del beside
        try:
            data = from_base64(stored)
            iv, tag, body = data[:_IV], data[_IV:_BODY], data[_BODY:]
            return self.secret.decrypt(iv, body + tag, None)
        except (InvalidTag, ValueError):
            pass
        raise InvalidLegacyValue
