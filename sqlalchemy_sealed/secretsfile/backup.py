"""What was there before a sealed file: kept under a second name, mode 0600."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy_sealed.errors import SecretsFileError
from sqlalchemy_sealed.secretsfile.privatefile import (
    PrivateFile,
    link,
    publish,
    remove,
    stage,
    sync,
)

__all__ = ["is_kept", "keep", "retire"]

_CHANGED: Final = (
    "{} was changed by another program meanwhile, and stays. Stop that program from "
    "writing it, move the sealed file away if there is one, and run again"
)


def is_kept(file: PrivateFile, backup: Path) -> bool:
    """Tell whether a backup holds what a file holds; false where there is none.

    Raises:
        SecretsFileError: the name of the backup is taken by something else.

    """
    if not backup.exists():
        return False
    if PrivateFile.read(backup).data == file.data:
        return True
    raise SecretsFileError(
        f"{backup} exists, is not {file.path}, and is not overwritten: look what it "
        "is, move it away, and run again. Nothing was changed"
    )


def keep(file: PrivateFile, backup: Path) -> None:
    """Give a file a second name, its backup, and make it private.

    Raises:
        SecretsFileError: the name is taken, or the file has changed since it was read.

    """
    file.path.chmod(0o600)
    kept = is_kept(file, backup)
    if kept:
        backup.chmod(0o600)
    elif not link(file.path, backup):
        stage(backup, file.data, file.owner).rename(backup)
    sync(backup.parent)
    if PrivateFile.read(file.path).data != file.data:
        if not kept:
            remove(backup)
        raise SecretsFileError(_CHANGED.format(file.path))


def retire(file: PrivateFile, backup: Path) -> None:
    """Rename a file to its backup, and make it private.

    Raises:
        SecretsFileError: the name is taken, or the file has changed since it was read.

    """
    file.path.chmod(0o600)
    if is_kept(file, backup) and file.path.samefile(backup):
        # To rename between two names of one file does nothing.
        file.path.unlink()
    else:
        file.path.replace(backup)
    sync(backup.parent)
    # A rename takes what is there: a write since the reading is not lost.
    if PrivateFile.read(backup).data != file.data:
        publish(backup, file.path)
        raise SecretsFileError(_CHANGED.format(file.path))
