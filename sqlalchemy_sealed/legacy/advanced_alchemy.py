"""advanced-alchemy: ``EncryptedString``, ``EncryptedText`` with ``FernetBackend``."""

from __future__ import annotations

from sqlalchemy_sealed.legacy.utils_fernet import SqlalchemyUtilsFernet

__all__ = ["AdvancedAlchemyFernet"]


class AdvancedAlchemyFernet(SqlalchemyUtilsFernet):
    """Fernet under SHA-256 of the key, as sqlalchemy-utils has it.

    ``PGCryptoBackend`` is another format, which only the database can open.

    Args:
        key: as it was given to advanced-alchemy, of any length.

    """
