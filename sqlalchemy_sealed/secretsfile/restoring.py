"""The way back: from a sealed file to the file that it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy_sealed.errors import SecretsFileError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.secretsfile.backup import is_kept
from sqlalchemy_sealed.secretsfile.document import Document, differing
from sqlalchemy_sealed.secretsfile.fernet import FernetKeys
from sqlalchemy_sealed.secretsfile.lock import locked
from sqlalchemy_sealed.secretsfile.opening import listed, open_all, sealed_document
from sqlalchemy_sealed.secretsfile.privatefile import (
    PrivateFile,
    backup_of,
    publish,
    real,
    remove,
    replace,
    stage,
    writing,
)
from sqlalchemy_sealed.secretsfile.source import Source

__all__ = ["RollbackReport", "rollback"]


@dataclass(frozen=True)
class RollbackReport:
    """What :func:`rollback` did.

    Attributes:
        path: the sealed file.
        restored: the file that holds the secrets as before.
        total: how many secrets there are.
        from_backup: whether the backup was restored; otherwise they were opened.

    """

    path: str
    restored: str
    total: int
    from_backup: bool


def rollback(
    path: str | Path,
    keyring: Keyring,
    to: str | Path | None = None,
    fernet_keys: Iterable[str] = (),
) -> RollbackReport:
    """Restore the file that was migrated; without a backup, open the sealed one.

    A backup is compared with the sealed file first. The sealed file stays, unless it
    was migrated in place.

    Args:
        path: the sealed file.
        keyring: its keys.
        to: the file to restore. By default the one whose backup is there, or else
            ``PATH`` with the ending ``.json``.
        fernet_keys: keys of the backup's Fernet tokens.

    Raises:
        SecretsFileError: a file cannot be read or written, or the values differ.
        DecryptionError: a value does not open; nothing is changed.

    """
    keys = FernetKeys(fernet_keys)
    path = real(path)
    target = _default(path) if to is None else real(to)
    with locked(path, target), writing(target):
        file = PrivateFile.read(path)
        values = open_all(path, sealed_document(file), keyring)
        backup = backup_of(target)
        from_backup = backup.exists()
        if target != path and target.exists():
            _compare(Source.read(target, keys), path, values)
            # A killed run has restored it, and not come to the end.
            if from_backup and is_kept(PrivateFile.read(target), backup):
                remove(backup)
        elif from_backup:
            _compare(Source.read(backup, keys), path, values)
            _restore(backup, target, in_place=target == path)
        elif target == path:
            raise SecretsFileError(
                f"{backup} is not there; to open {path} into another file, name it: "
                "--to secrets.json"
            )
        else:
            plain = Document(sealed=False, values=values)
            publish(stage(target, plain.to_bytes(), file.owner), target)
            _compare(Source.read(target, keys), path, values)
    return RollbackReport(str(path), str(target), len(values), from_backup)


def _default(path: Path) -> Path:
    beside = path.with_suffix(".json")
    candidates = [name for name in (beside, path) if backup_of(name).exists()]
    if len(set(candidates)) > 1:
        raise SecretsFileError(
            f"{backup_of(beside)} and {backup_of(path)} are there; say which file is "
            f"to be restored: --to {beside} or --to {path}"
        )
    return candidates[0] if candidates else beside


def _restore(backup: Path, target: Path, in_place: bool) -> None:
    backup.chmod(0o600)
    if in_place:
        replace(backup, target)
    else:
        publish(backup, target)


def _compare(source: Source, path: Path, values: dict[str, Any]) -> None:
    differ = differing(source.values, values)
    if differ:
        raise SecretsFileError(
            f"{source.file.path} and {path} hold different values ({listed(differ)}): "
            "one of them was changed since the migration. Move "
            f"{source.file.path} away to have {path} opened instead. Nothing was "
            "changed"
        )
