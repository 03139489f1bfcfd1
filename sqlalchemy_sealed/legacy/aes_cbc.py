"""AES-256-CBC without a library, as code for Node and PHP writes it.

The IV stands in front of the ciphertext, in base64, hexadecimal or raw bytes; or in
another column. Nothing authenticates: a wrong key is noticed by the padding, or by a
text that is none. Whoever must keep CBC seals with the suite A256CBC-HS512 instead.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.legacy.base64text import from_base64, looks_like_base64
from sqlalchemy_sealed.legacy.blockpadding import PADDINGS
from sqlalchemy_sealed.legacy.cbc import BLOCK, cbc_decrypt
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue, LegacyFormat
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource
from sqlalchemy_sealed.legacy.rawkey import raw_key

__all__ = ["AesCbc"]

_ENCODINGS: Final = ("base64", "hex", "raw")


class AesCbc(LegacyFormat[bytes]):
    """AES-256-CBC with PKCS #7 padding and a random IV.

    Args:
        key: 32 bytes, as they are, in base64 or in hexadecimal. It is no root key.
        encoding: ``"base64"`` of IV and ciphertext, ``"hex"`` of both, or ``"raw"``
            bytes, which can only be moved to another column.
        separator: between IV and ciphertext, each encoded alone: ``":"``, for example.
        iv_column: the column with the IV, encoded alike; it is read by a migration,
            and not through the model, since a type sees no other column.

    """

    is_authenticated = False

    def __init__(
        self,
        key: KeySource | KeyMaterial,
        encoding: Literal["base64", "hex", "raw"] = "base64",
        separator: str | None = None,
        iv_column: str | None = None,
    ) -> None:
        super().__init__(key)
        if encoding not in _ENCODINGS:
            raise DeclarationError(f"encoding= is one of {', '.join(_ENCODINGS)}")
        if separator is not None and (iv_column is not None or encoding == "raw"):
            raise DeclarationError(
                "separator= stands between IV and ciphertext, both text in one column"
            )
        self.encoding = encoding
        self.separator = separator
        self.beside = iv_column
        self.is_ascii = encoding != "raw"

    def options(self) -> dict[str, Any]:
        """Return the arguments beside the key."""
        given = {"encoding": self.encoding, "separator": self.separator}
        given["iv_column"] = self.beside
        usual = {"encoding": "base64", "separator": None, "iv_column": None}
        return {name: one for name, one in given.items() if one != usual[name]}

    def _prepare(self) -> bytes:
        return raw_key(self._key.data())

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value can be one, as far as its characters say."""
        if self.encoding == "raw":
            return bool(stored) and len(stored) % BLOCK == 0
        parts = stored.split(self.separator.encode()) if self.separator else [stored]
        if self.encoding == "hex":
            return all(len(part) % 2 == 0 and _is_hex(part) for part in parts)
        return all(looks_like_base64(part) for part in parts)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a value."""
        try:
            iv, data = self._parts(stored, beside)
            return PADDINGS["pkcs5"](cbc_decrypt(self.secret, iv, data))
        except ValueError:
            pass
        raise InvalidLegacyValue

    def _parts(self, stored: bytes, beside: bytes | None) -> tuple[bytes, bytes]:
        if self.beside is not None:
            if beside is None:
                raise ValueError("no IV")
            return self._decode(beside), self._decode(stored)
        if self.separator is not None:
            iv, found, data = stored.partition(self.separator.encode())
            if not found:
                raise ValueError("no separator")
            return self._decode(iv), self._decode(data)
        both = self._decode(stored)
        return both[:BLOCK], both[BLOCK:]

    def _decode(self, data: bytes) -> bytes:
        if self.encoding == "raw":
            return data
        return (
            from_base64(data)
            if self.encoding == "base64"
            else bytes.fromhex(data.decode())
        )


def _is_hex(data: bytes) -> bool:
    try:
        bytes.fromhex(data.decode())
    except ValueError:
        return False
    return bool(data)
