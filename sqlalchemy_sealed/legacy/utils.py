"""What the engines of sqlalchemy-utils have in common: the key, and values as text.

The key is SHA-256 of what the application gives. A value is its text: ISO dates, JSON,
``true``; of everything else Python's ``repr()``, which the library itself could not
read back.
"""

from __future__ import annotations

from typing import Any, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.plaintext import has_text, read_text
from sqlalchemy_sealed.codec.scalar import EnumCodec, Utf8Codec
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.legacy.literal import from_repr, member_name

__all__ = ["UtilsFormat"]

_Secret = TypeVar("_Secret")


class UtilsFormat(LegacyFormat[_Secret]):
    """A format of ``sqlalchemy_utils.EncryptedType`` or ``StringEncryptedType``."""

    def _digest(self) -> bytes:
        """Return the 32 bytes that the library makes of a key of any length."""
        digest = Hash(SHA256())
        digest.update(self._key.data())
        return digest.finalize()

    def read(self, plain: bytes, codec: Codec) -> Any:
        """Return the value of a plaintext, from its text or its ``repr()``."""
        text = plain.decode()
        if isinstance(codec, Utf8Codec):
            return text
        if isinstance(codec, EnumCodec):
            known = text in {name for name, _ in codec.members}
            return text if known else member_name(text)
        if has_text(codec):
            try:
                return read_text(codec, text)
            except ValueError:
                pass
        return from_repr(text)
