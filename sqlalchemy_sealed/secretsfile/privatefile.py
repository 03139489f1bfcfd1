"""Files that only their owner reads: written aside, synced, and named in one step.

Every step leaves the directory in a state that the next run of the same command goes
on from. Beside a file, ``.NAME.tmp`` is being written (whoever holds the lock removes
what a killed process has left), and ``NAME.bak`` is what was there before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy_sealed.errors import SecretsFileError

__all__ = [
    "PrivateFile",
    "backup_of",
    "link",
    "publish",
    "real",
    "remove",
    "replace",
    "stage",
    "sync",
    "temporary",
    "writing",
]


@dataclass(frozen=True)
class PrivateFile:
    """What was read from a file at one moment."""

    path: Path
    data: bytes = field(repr=False)
    mode: int
    owner: tuple[int, int]

    @property
    def is_private(self) -> bool:
        """Whether nobody but the owner may read or change it."""
        return os.name != "posix" or not self.mode & (stat.S_IRWXG | stat.S_IRWXO)

    @classmethod
    def read(cls, path: Path) -> PrivateFile:
        """Read a file.

        Raises:
            SecretsFileError: it cannot be read.

        """
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                data = file.read()
        except OSError as error:
            raise SecretsFileError(f"cannot read {path}: {error.strerror}") from None
        mode = stat.S_IMODE(found.st_mode)
        return cls(path, data, mode, (found.st_uid, found.st_gid))

    def refuse_others(self) -> None:
        """Raise unless the file is private: for files that hold plaintext.

        Raises:
            SecretsFileError: the group or others may read or change it.

        """
        if not self.is_private:
            raise SecretsFileError(
                f"{self.path} holds plaintext and may be read or changed by others "
                f"(mode {self.mode:04o}); run: chmod 600 {self.path}, and replace the "
                "secrets that others may have read"
            )


def backup_of(path: Path) -> Path:
    """Return the name of the backup of a file."""
    return path.with_name(f"{path.name}.bak")


def temporary(path: Path) -> Path:
    """Return the name that a file has while it is written."""
    return path.with_name(f".{path.name}.tmp")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Clear away what a killed process has left of a file, before and after.

    Whoever enters the block holds the lock of the file.

    Raises:
        SecretsFileError: a step of the block failed.

    """
    reason = ""
    try:
        _clear(path)
        try:
            yield
        finally:
            _clear(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise SecretsFileError(
            f"cannot write {path} or a file beside it: {reason}. Nothing is lost: "
            "remove the cause, and run the same command again"
        )


def _clear(path: Path) -> None:
    for name in (path, backup_of(path)):
        temporary(name).unlink(missing_ok=True)


def real(path: str | Path) -> Path:
    """Return the file itself: what a symbolic link leads to is replaced, not it."""
    return Path(os.path.realpath(path))


def stage(path: Path, data: bytes, owner: tuple[int, int] | None) -> Path:
    """Write a file under its temporary name, mode 0600, and return that name.

    Args:
        path: the name it is to have.
        data: its content.
        owner: user and group who are to read it, if not this process's.

    """
    name = temporary(path)
    name.unlink(missing_ok=True)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        made = os.fstat(descriptor)
        if owner not in {None, (made.st_uid, made.st_gid)}:
            os.fchown(descriptor, *(owner or ()))
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    return name


def publish(staged: Path, path: Path) -> None:
    """Give a staged file its name, which must be free.

    Raises:
        SecretsFileError: the name is taken.

    """
    if not link(staged, path):
        staged.rename(path)
    staged.unlink(missing_ok=True)
    sync(path.parent)


def replace(staged: Path, path: Path) -> None:
    """Put a staged file in the place of another, in one step."""
    staged.replace(path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Take a name away, for good."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def link(old: Path, new: Path) -> bool:
    """Give a file a second name; return false where a file has one name only.

    Raises:
        SecretsFileError: the name is taken.

    """
    try:
        os.link(old, new)
    except FileExistsError:
        taken = True
    except OSError:
        taken = new.exists()
        if not taken:
            return False
    else:
        return True
    raise SecretsFileError(f"{new} exists and is not overwritten")


def sync(directory: Path) -> None:
    """Wait until the names of a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
