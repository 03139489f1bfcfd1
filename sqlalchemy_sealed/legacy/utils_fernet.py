"""sqlalchemy-utils, ``FernetEngine``."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet

from sqlalchemy_sealed.legacy.fernet import is_token, open_token
from sqlalchemy_sealed.legacy.utils import UtilsFormat

__all__ = ["SqlalchemyUtilsFernet"]


class SqlalchemyUtilsFernet(UtilsFormat[Fernet]):
    """``EncryptedType(..., engine=FernetEngine)``: Fernet under SHA-256 of the key.

    Args:
        key: as it was given to sqlalchemy-utils, of any length.

    """

    def _prepare(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self._digest()))

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value is a Fernet token."""
        return is_token(stored)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a token."""
        del beside
        return open_token(self.secret, stored)
