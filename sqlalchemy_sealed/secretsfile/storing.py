"""Storing one secret in a sealed file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy_sealed.errors import VerificationError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.document import Document, canonical
from sqlalchemy_sealed.secretsfile.lock import locked
from sqlalchemy_sealed.secretsfile.opening import sealed_document
from sqlalchemy_sealed.secretsfile.privatefile import (
    PrivateFile,
    publish,
    real,
    replace,
    stage,
    writing,
)
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher

__all__ = ["store"]


def store(path: str | Path, name: str, value: Any, keyring: Keyring) -> bool:
    """Store one secret under the active key, and make the file if there is none.

    The other values stay byte for byte as they are, whether they open or not.

    Returns:
        Whether the name was there before.

    Raises:
        SecretsFileError: the file cannot be read or written, or is not sealed.
        EncodingError: the value is no JSON.

    """
    path = real(path)
    with locked(path), writing(path):
        file = PrivateFile.read(path) if path.exists() else None
        held = {} if file is None else dict(sealed_document(file).values)
        owner = None if file is None else file.owner
        sealed = SecretCipher(path, keyring).seal(name, value)
        made = Document(sealed=True, values={**held, name: sealed})
        staged = stage(path, made.to_bytes(), owner)
        _verify(staged, made, name, value, keyring)
        if file is None:
            publish(staged, path)
        else:
            replace(staged, path)
    return name in held


def _verify(
    staged: Path, made: Document, name: str, value: Any, keyring: Keyring
) -> None:
    written = sealed_document(PrivateFile.read(staged))
    opened = SecretCipher(staged, keyring).open(name, written.values[name])
    if written != made or canonical(opened) != canonical(value):
        raise VerificationError(
            f"{staged} does not hold what was written; nothing was replaced. Check the "
            "machine's memory and disk"
        )
