"""Moving every value of a sealed file to the active key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.backup import keep
from sqlalchemy_sealed.secretsfile.document import Document
from sqlalchemy_sealed.secretsfile.lock import locked
from sqlalchemy_sealed.secretsfile.opening import open_all, sealed_document, verify
from sqlalchemy_sealed.secretsfile.privatefile import (
    PrivateFile,
    real,
    remove,
    replace,
    stage,
    writing,
)
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher

__all__ = ["RotationReport", "rotate"]


@dataclass(frozen=True)
class RotationReport:
    """What :func:`rotate` did.

    Attributes:
        path: the file.
        version: the active key version, under which every value is sealed now.
        total: how many secrets there are.
        moved: how many of them were under another key.

    """

    path: str
    version: int
    total: int
    moved: int


def rotate(path: str | Path, keyring: Keyring) -> RotationReport:
    """Seal every value of a file under the active key.

    The old file is kept beside the new one until that was read back.

    Raises:
        SecretsFileError: the file cannot be read or written, or is not sealed.
        DecryptionError: a value does not open; nothing is changed.

    """
    path = real(path)
    with locked(path), writing(path):
        file = PrivateFile.read(path)
        document = sealed_document(file)
        values = open_all(path, document, keyring)
        sealed = _sealed(path, document, values, keyring)
        moved = sum(sealed[name] != document.values[name] for name in sealed)
        before = path.with_name(f".{path.name}.before")
        # What a killed run has left: the file opens as a whole, so it is not needed.
        if before.exists():
            remove(before)
        if moved:
            made = Document(sealed=True, values=sealed)
            staged = stage(path, made.to_bytes(), file.owner)
            verify(staged, values, keyring)
            keep(file, before)
            replace(staged, path)
            verify(path, values, keyring)
            remove(before)
    return RotationReport(str(path), keyring.active.version, len(sealed), moved)


def _sealed(
    path: Path, document: Document, values: dict[str, Any], keyring: Keyring
) -> dict[str, str]:
    cipher = SecretCipher(path, keyring)
    return {
        name: stored if cipher.is_current(stored) else cipher.seal(name, values[name])
        for name, stored in document.values.items()
    }
