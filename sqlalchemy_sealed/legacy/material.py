"""The key of a legacy format: read when it is first needed, and never shown."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from sqlalchemy_sealed.errors import (
    KeyFormatError,
    KeyPermissionWarning,
    SecretHandlingError,
)

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
#: A Fernet key, or 32 bytes in hexadecimal.
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=?|[0-9A-Fa-f]{64}")

__all__ = ["KeyMaterial", "KeySource"]

#: A key, or a function that returns it.
KeySource: TypeAlias = str | bytes | Callable[[], str | bytes]


class KeyMaterial:
    """A key as the application has it.

    Args:
        source: the key, or a function that is called once, when a value is read.
        where: what an error message says of it.

    """

    __slots__ = ("_source", "variable", "where")

    def __init__(
        self, source: KeySource, where: str = "the key", variable: str | None = None
    ) -> None:
        if not isinstance(source, str | bytes) and not callable(source):
            raise KeyFormatError(
                f"{where} of a legacy format is text, bytes, or a function that "
                f"returns them, not a {type(source).__name__}"
            )
        self._source = source
        self.where = where
        #: Name of the environment variable that it comes from.
        self.variable = variable

    @classmethod
    def of_env(cls, variable: str) -> KeyMaterial:
        """Return the key in an environment variable, read when it is needed."""
        if not _NAME.fullmatch(variable) or _KEY.fullmatch(variable):
            raise KeyFormatError(
                "from_env() takes the name of an environment variable, and this is "
                "none; it is not repeated, since it may be the key itself"
            )
        where = f"the variable {variable}"

        def read() -> str:
            value = os.environ.get(variable)
            if not value:
                raise KeyFormatError(
                    f"{where} is not set: it holds the key of a legacy format. "
                    "Set it where values of that format are read"
                )
            return value

        return cls(read, where, variable)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> KeyMaterial:
        """Return the key in a file, without the end of its line."""
        file = Path(path)

        def read() -> bytes:
            reason = ""
            try:
                _look_at(file)
                return file.read_bytes().rstrip(b"\r\n")
            except OSError as error:
                reason = str(error.strerror)
            raise KeyFormatError(
                f"the key file {file} of a legacy format cannot be read: {reason}"
            )

        return cls(read, f"the file {file}")

    def text(self) -> str:
        """Return the key as text.

        Raises:
            KeyFormatError: it is not there, or is no text.

        """
        try:
            return self.data().decode()
        except UnicodeDecodeError:
            pass
        raise KeyFormatError(f"{self.where} of a legacy format is no text")

    def data(self) -> bytes:
        """Return the key as bytes; text is UTF-8.

        Raises:
            KeyFormatError: it is not there.

        """
        found: object = self._source() if callable(self._source) else self._source
        if isinstance(found, str):
            return found.encode()
        if isinstance(found, bytes):
            return found
        raise KeyFormatError(
            f"{self.where} of a legacy format is text or bytes, not a "
            f"{type(found).__name__}"
        )

    def __repr__(self) -> str:
        return f"<{self.where}>"

    def __reduce__(self) -> NoReturn:
        raise SecretHandlingError(
            "the key of a legacy format is not pickled; declare the column where it "
            "is used"
        )


def _look_at(file: Path) -> None:
    if os.name == "posix" and file.stat().st_mode & stat.S_IROTH:
        warnings.warn(
            f"{file} can be read by every user of this machine; "
            "mount the secret with mode 0400 where the platform allows it",
            KeyPermissionWarning,
            stacklevel=2,
        )
