"""Apache Superset: ``dbs.password``, ``dbs.encrypted_extra``, SSH tunnels."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource
from sqlalchemy_sealed.legacy.utils import UtilsFormat
from sqlalchemy_sealed.legacy.utils_aes import SqlalchemyUtilsAes
from sqlalchemy_sealed.legacy.utils_aes_gcm import SqlalchemyUtilsAesGcm

__all__ = ["SupersetSecret"]


class SupersetSecret(UtilsFormat[LegacyFormat[Any]]):
    """The encrypted fields of Superset, which sqlalchemy-utils writes.

    Args:
        key: ``SECRET_KEY``.
        engine: ``"aes"``, or ``"aes-gcm"`` as ``SQLALCHEMY_ENCRYPTED_FIELD_ENGINE``
            says.
        padding: of ``"aes"``; ``"naive"`` up to Superset 6.

    """

    def __init__(
        self,
        key: KeySource | KeyMaterial,
        engine: Literal["aes", "aes-gcm"] = "aes",
        padding: Literal["naive", "pkcs5", "oneandzeroes", "zeroes"] = "naive",
    ) -> None:
        super().__init__(key)
        self._format: UtilsFormat[Any]
        if engine == "aes":
            self._format = SqlalchemyUtilsAes(self._key, padding)
        elif engine == "aes-gcm":
            self._format = SqlalchemyUtilsAesGcm(self._key)
        else:
            raise DeclarationError('engine= is "aes" or "aes-gcm"')
        self.engine = engine
        self.is_authenticated = self._format.is_authenticated  # type: ignore[misc]

    def options(self) -> dict[str, Any]:
        """Return the arguments beside the key."""
        engine = {} if self.engine == "aes" else {"engine": self.engine}
        return {**engine, **self._format.options()}

    def _prepare(self) -> LegacyFormat[Any]:
        return self._format

    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value has the shape of the engine's."""
        return self._format.recognizes(stored)

    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a value."""
        return self.secret.decrypt(stored, beside)
