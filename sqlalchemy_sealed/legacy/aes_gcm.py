"""AES-256-GCM without a library: base64 of IV, ciphertext and tag."""

from __future__ import annotations

from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.legacy.base64text import from_base64, looks_like_base64
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue, LegacyFormat
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource
from sqlalchemy_sealed.legacy.rawkey import raw_key

__all__ = ["AesGcm"]

_TAG = 16


class AesGcm(LegacyFormat[AESGCM]):
    """Base64 of an IV, the ciphertext and the tag of 16 bytes (NIST SP 800-38D).

    Args:
        key: 32 bytes, as they are, in base64 or in hexadecimal.
        tag: where the tag is: ``"end"``, or ``"front"``, between IV and ciphertext.
        iv_bytes: length of the IV, 12 bytes as a rule, 16 in much code for Node.
        associated_data: what else was authenticated, the same for every value.

    """

    def __init__(
        self,
        key: KeySource | KeyMaterial,
        tag: Literal["end", "front"] = "end",
        iv_bytes: int = 12,
        associated_data: bytes | None = None,
    ) -> None:
        super().__init__(key)
        if tag not in {"end", "front"} or not 8 <= iv_bytes <= 128:  # noqa: PLR2004 - of AESGCM
            raise DeclarationError('tag= is "end" or "front", iv_bytes= 8 to 128')
        self.tag = tag
        self.iv_bytes = iv_bytes
        self.associated_data = associated_data

    def options(self) -> dict[str, Any]:
        """Return the arguments beside the key."""
        given = {"tag": self.tag, "iv_bytes": self.iv_bytes}
        usual = {"tag": "end", "iv_bytes": 12}
        found: dict[str, Any] = {
            name: one for name, one in given.items() if one != usual[name]
        }
        if self.associated_data is not None:
            found["associated_data"] = self.associated_data
        return found

    def _prepare(self) -> AESGCM:
        return AESGCM(raw_key(self._key.data()))

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value is base64 of enough bytes."""
        least = (self.iv_bytes + _TAG) * 4 // 3
        return len(stored) >= least and looks_like_base64(stored)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a value."""
        del beside
        try:
            data = from_base64(stored)
            iv, body = data[: self.iv_bytes], data[self.iv_bytes :]
            if self.tag == "front":
                body = body[_TAG:] + body[:_TAG]
            return self.secret.decrypt(iv, body, self.associated_data)
        except (InvalidTag, ValueError):
            pass
        raise InvalidLegacyValue
