"""The sealed file of an application, as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from sqlalchemy_sealed.envelope import has_shape
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.census import Report, check
from sqlalchemy_sealed.secretsfile.document import Document
from sqlalchemy_sealed.secretsfile.opening import sealed_document
from sqlalchemy_sealed.secretsfile.privatefile import PrivateFile
from sqlalchemy_sealed.secretsfile.rotation import RotationReport, rotate
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher
from sqlalchemy_sealed.secretsfile.storing import store

__all__ = ["SecretsFile"]


class SecretsFile(Mapping[str, Any]):
    """Names and secrets of a sealed file; a value is opened when it is read.

    Read the file with :meth:`open`. What another process writes later is seen by a new
    object.
    """

    def __init__(self, path: Path, keyring: Keyring) -> None:
        self.path = path
        self._keyring = keyring
        self._cipher = SecretCipher(path, keyring)
        self._document = self._read()

    @classmethod
    def open(cls, path: str | Path, keyring: Keyring) -> Self:
        """Read a sealed file.

        Args:
            path: the file that ``sealed secrets migrate`` has written.
            keyring: its keys.

        Raises:
            SecretsFileError: it cannot be read, or is not a sealed file.

        """
        return cls(Path(path), keyring)

    def _read(self) -> Document:
        return sealed_document(PrivateFile.read(self.path))

    def __getitem__(self, name: str) -> Any:
        """Return a secret.

        Raises:
            KeyError: there is none of that name.
            DecryptionError: it does not open; one of its subclasses says why.

        """
        return self._cipher.open(name, self._document.values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._document.values)

    def __len__(self) -> int:
        return len(self._document.values)

    def __contains__(self, name: object) -> bool:
        # The inherited one opens the value to find out.
        return name in self._document.values

    def __repr__(self) -> str:
        return f"<SecretsFile {self.path}: {len(self)} secrets>"

    def is_sealed(self, name: str) -> bool:
        """Tell whether the value of a name looks sealed, without opening it."""
        return has_shape(self._document.values[name])

    def check(self) -> Report:
        """Look at every value of the file as it is now, and open it."""
        return check(self.path, self._keyring)

    def rotate(self) -> RotationReport:
        """Seal every value under the active key.

        Raises:
            SecretsFileError: the file cannot be read or written.
            DecryptionError: a value does not open; nothing is changed.

        """
        report = rotate(self.path, self._keyring)
        self._document = self._read()
        return report

    def store(self, name: str, value: Any) -> None:
        """Store one secret, new or anew, under the active key.

        Raises:
            SecretsFileError: the file cannot be read or written.
            EncodingError: the value is no JSON.

        """
        store(self.path, name, value, self._keyring)
        self._document = self._read()
