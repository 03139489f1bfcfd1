"""Readers of other people's formats, for columns that were encrypted before.

Each reads, and none writes: new values are sealed. ``EncryptedType(String,
legacy=SqlalchemyUtilsAes(key))`` reads both, and ``sealed migrate`` moves what is left.
"""

from __future__ import annotations

from sqlalchemy_sealed.legacy.advanced_alchemy import AdvancedAlchemyFernet
from sqlalchemy_sealed.legacy.aes_cbc import AesCbc
from sqlalchemy_sealed.legacy.aes_gcm import AesGcm
from sqlalchemy_sealed.legacy.airflow import AirflowFernet
from sqlalchemy_sealed.legacy.fernet import FernetTokens
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.legacy.superset import SupersetSecret
from sqlalchemy_sealed.legacy.utils_aes import SqlalchemyUtilsAes
from sqlalchemy_sealed.legacy.utils_aes_gcm import SqlalchemyUtilsAesGcm
from sqlalchemy_sealed.legacy.utils_fernet import SqlalchemyUtilsFernet

__all__ = [
    "AdvancedAlchemyFernet",
    "AesCbc",
    "AesGcm",
    "AirflowFernet",
    "FernetTokens",
    "LegacyFormat",
    "SqlalchemyUtilsAes",
    "SqlalchemyUtilsAesGcm",
    "SqlalchemyUtilsFernet",
    "SupersetSecret",
]
