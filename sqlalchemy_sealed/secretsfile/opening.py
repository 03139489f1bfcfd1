"""Opening a sealed file as a whole, and comparing it with what it should hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy_sealed.errors import (
    DecryptionError,
    SecretsFileError,
    VerificationError,
)
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.document import Document, differing
from sqlalchemy_sealed.secretsfile.fernet import is_token
from sqlalchemy_sealed.secretsfile.privatefile import PrivateFile
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher

__all__ = ["differences", "listed", "open_all", "sealed_document", "verify"]

_SHOWN: Final = 10


def sealed_document(file: PrivateFile) -> Document:
    """Return the document of a file that was read.

    Raises:
        SecretsFileError: the file is not a sealed one.

    """
    document = Document.parse(file.data, file.path)
    if document.sealed:
        return document
    tokens = sum(is_token(value) for value in document.values.values())
    plain = len(document.values) - tokens
    raise SecretsFileError(
        f"{file.path} is not a sealed secrets file: it holds {plain} secrets in "
        f"plaintext and {tokens} Fernet tokens. Seal it first: sealed secrets migrate "
        "SOURCE TARGET"
    )


def open_all(path: Path, document: Document, keyring: Keyring) -> dict[str, Any]:
    """Return every value of a sealed document.

    Raises:
        DecryptionError: some do not open; all of them are named.

    """
    cipher = SecretCipher(path, keyring)
    values: dict[str, Any] = {}
    failures: list[DecryptionError] = []
    for name, stored in document.values.items():
        try:
            values[name] = cipher.open(name, stored)
        except DecryptionError as error:
            failures.append(error)
    if not failures:
        return values
    reasons = "; ".join(str(error) for error in failures[:_SHOWN])
    more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    raise type(failures[0])(
        f"{len(failures)} of {len(document.values)} secrets do not open, and nothing "
        f"was changed. {reasons}{more}"
    )


def differences(path: Path, values: Mapping[str, Any], keyring: Keyring) -> list[str]:
    """Read a sealed file from the disk, and return the names that differ."""
    document = sealed_document(PrivateFile.read(path))
    return differing(open_all(path, document, keyring), values)


def verify(path: Path, values: Mapping[str, Any], keyring: Keyring) -> None:
    """Compare a file that was written with what it should hold.

    Raises:
        VerificationError: it holds something else.

    """
    differ = differences(path, values, keyring)
    if differ:
        raise VerificationError(
            f"{path} does not open to what was sealed ({listed(differ)}); nothing was "
            "replaced. Check the machine's memory and disk"
        )


def listed(names: list[str]) -> str:
    """Return names for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
