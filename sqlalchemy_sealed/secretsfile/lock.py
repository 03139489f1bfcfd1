"""The lock of whoever writes a secrets file; a killed process leaves it open."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy_sealed.errors import SecretsFileError

__all__ = ["locked"]

_WAIT: Final = 10.0
_PAUSE: Final = 0.02


@contextlib.contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """Keep other writers of these files away inside the ``with`` block.

    Raises:
        SecretsFileError: another process has held a lock for ten seconds, or the
            platform has no such locks.

    """
    with contextlib.ExitStack() as stack:
        # In one order, so that two commands never wait for each other.
        for path in sorted(set(paths)):
            stack.enter_context(_lock(path))
        yield


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    name = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + _WAIT
    while (descriptor := _try(name, path)) is None:
        if time.monotonic() > until:
            raise SecretsFileError(
                f"another process is writing {path}; wait for it, then run again"
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        os.close(descriptor)


def _try(name: Path, path: Path) -> int | None:
    try:
        import fcntl  # noqa: PLC0415 - not on every platform
    except ModuleNotFoundError:
        raise SecretsFileError(
            "secrets files are written on POSIX systems only; reading works here"
        ) from None
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(name, flags, 0o600)
    except OSError as error:
        raise SecretsFileError(
            f"cannot write beside {path}: {error.strerror}"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its former holder has removed the file, and another may have made a new one.
        if os.path.samestat(os.fstat(descriptor), name.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
