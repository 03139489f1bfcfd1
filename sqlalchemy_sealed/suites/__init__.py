"""The suites: how the body of an envelope is sealed (docs/FORMAT.md, "Envelope").

All primitives are those of the ``cryptography`` package.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from sqlalchemy_sealed.suites.cbchmac import CbcHmacCipher
from sqlalchemy_sealed.suites.mac import Mac
from sqlalchemy_sealed.suites.siv import SivCipher
from sqlalchemy_sealed.suites.subkey import expand
from sqlalchemy_sealed.suites.xaes import (
    NONCE_LENGTH,
    SALT_EPOCH,
    SALT_LENGTH,
    SaltEpoch,
    XaesCipher,
)

__all__ = [
    "NONCE_LENGTH",
    "SALT_EPOCH",
    "SALT_LENGTH",
    "CbcHmacCipher",
    "InvalidTag",
    "Mac",
    "SaltEpoch",
    "SivCipher",
    "XaesCipher",
    "expand",
]
