"""Sealing a file of secrets: once, verified, and taken up again after a kill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy_sealed.errors import SecretsFileError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.backup import is_kept, keep, retire
from sqlalchemy_sealed.secretsfile.document import Document
from sqlalchemy_sealed.secretsfile.fernet import FernetKeys
from sqlalchemy_sealed.secretsfile.lock import locked
from sqlalchemy_sealed.secretsfile.opening import (
    differences,
    listed,
    open_all,
    verify,
)
from sqlalchemy_sealed.secretsfile.privatefile import (
    PrivateFile,
    backup_of,
    publish,
    real,
    replace,
    stage,
    writing,
)
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher
from sqlalchemy_sealed.secretsfile.source import Source

__all__ = ["MigrationReport", "migrate"]


@dataclass(frozen=True)
class MigrationReport:
    """What :func:`migrate` did.

    Attributes:
        source: the file that was sealed.
        target: the sealed file.
        status: ``migrated``, or ``already`` where an earlier run had done it.
        total: how many secrets there are.
        plaintext: how many of them were not encrypted.
        fernet: how many of them were Fernet tokens.
        backup: where the source is now.

    """

    source: str
    target: str
    status: str
    total: int
    plaintext: int = 0
    fernet: int = 0
    backup: str | None = None


def migrate(
    source: str | Path,
    target: str | Path,
    keyring: Keyring,
    fernet_keys: Iterable[str] = (),
) -> MigrationReport:
    """Seal the secrets of a JSON file, or of Atom's file of Fernet tokens.

    The written file is opened again and compared before anything else happens. The
    source becomes ``SOURCE.bak``, mode 0600; where it held plaintext, the backup does.
    Source and target may be the same file. After a kill, run it again.

    Args:
        source: a JSON object of names and secrets, plaintext or Fernet tokens.
        target: the sealed file; one that exists is never overwritten.
        keyring: the keys; the active one seals.
        fernet_keys: keys of the Fernet tokens, 43 or 44 characters each.

    Raises:
        SecretsFileError: a file cannot be read or written, or a name is taken.
        DecryptionError: a Fernet token, or an existing target, does not open.
        EncodingError: a value is no JSON that reads back the same.

    """
    keys = FernetKeys(fernet_keys)
    source, target = real(source), real(target)
    with locked(source, target), writing(target), writing(source):
        if source == target:
            return _in_place(source, keyring, keys)
        return _beside(source, target, keyring, keys)


def _beside(
    source: Path, target: Path, keyring: Keyring, keys: FernetKeys
) -> MigrationReport:
    backup = backup_of(source)
    done = not source.exists() and backup.exists()
    if done and not target.exists():
        raise SecretsFileError(
            f"{source} and {target} are not there, and {backup} is. To migrate it "
            f"again, rename it to {source}"
        )
    origin = Source.read(backup if done else source, keys)
    if not done:
        is_kept(origin.file, backup)
    if target.exists():
        _compare(target, origin, keyring)
    else:
        publish(_staged(target, origin, keyring), target)
    if not done:
        retire(origin.file, backup)
    return _report(source, target, origin, "already" if done else "migrated")


def _in_place(path: Path, keyring: Keyring, keys: FernetKeys) -> MigrationReport:
    document = Document.parse(PrivateFile.read(path).data, path)
    if document.sealed:
        total = len(open_all(path, document, keyring))
        return MigrationReport(str(path), str(path), "already", total)
    origin = Source.read(path, keys)
    is_kept(origin.file, backup_of(path))
    staged = _staged(path, origin, keyring)
    keep(origin.file, backup_of(path))
    replace(staged, path)
    return _report(path, path, origin, "migrated")


def _staged(target: Path, origin: Source, keyring: Keyring) -> Path:
    cipher = SecretCipher(target, keyring)
    sealed = {name: cipher.seal(name, value) for name, value in origin.values.items()}
    document = Document(sealed=True, values=sealed)
    staged = stage(target, document.to_bytes(), origin.file.owner)
    verify(staged, origin.values, keyring)
    return staged


def _compare(target: Path, origin: Source, keyring: Keyring) -> None:
    differ = differences(target, origin.values, keyring)
    if differ:
        raise SecretsFileError(
            f"{target} exists, holds other values than {origin.file.path} "
            f"({listed(differ)}), and is not overwritten. Decide which file is right, "
            "and move the other one away. Nothing was changed"
        )


def _report(source: Path, target: Path, origin: Source, status: str) -> MigrationReport:
    return MigrationReport(
        str(source),
        str(target),
        status,
        len(origin.values),
        origin.plaintext,
        origin.fernet,
        str(backup_of(source)),
    )
