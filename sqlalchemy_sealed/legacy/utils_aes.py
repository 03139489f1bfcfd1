"""sqlalchemy-utils, ``AesEngine``, its default."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.legacy.base64text import from_base64, looks_like_base64
from sqlalchemy_sealed.legacy.blockpadding import PADDINGS
from sqlalchemy_sealed.legacy.cbc import BLOCK, cbc_decrypt
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource
from sqlalchemy_sealed.legacy.utils import UtilsFormat

__all__ = ["SqlalchemyUtilsAes"]


class SqlalchemyUtilsAes(UtilsFormat[bytes]):
    """``EncryptedType(..., engine=AesEngine)``: base64 of AES-256-CBC.

    The key is SHA-256 of the application's, and its first half is the IV of every
    value. Nothing authenticates: a wrong key is noticed by the padding, or by a text
    that is none.

    Args:
        key: as it was given to sqlalchemy-utils, of any length.
        padding: as it was given there; ``"naive"`` is its default, which has lost the
            asterisks at the end of a value already.

    """

    is_authenticated = False

    def __init__(
        self,
        key: KeySource | KeyMaterial,
        padding: Literal["naive", "pkcs5", "oneandzeroes", "zeroes"] = "naive",
    ) -> None:
        super().__init__(key)
        if padding not in PADDINGS:
            raise DeclarationError(f"padding= is one of {', '.join(PADDINGS)}")
        self.padding = padding

    def options(self) -> dict[str, Any]:
        """Return the arguments beside the key."""
        return {} if self.padding == "naive" else {"padding": self.padding}

    def _prepare(self) -> bytes:
        return self._digest()

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value is base64 of whole blocks."""
        return (
            looks_like_base64(stored) and len(stored.rstrip(b"=")) * 3 // 4 % BLOCK == 0
        )

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a value."""
        del beside
        key = self.secret
        try:
            padded = cbc_decrypt(key, key[:BLOCK], from_base64(stored))
            return PADDINGS[self.padding](padded)
        except ValueError:
            pass
        raise InvalidLegacyValue
