"""What a legacy format is: read-only, one class per format."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.plaintext import read_text
from sqlalchemy_sealed.codec.scalar import BytesCodec
from sqlalchemy_sealed.errors import KeyFormatError
from sqlalchemy_sealed.legacy.material import KeyMaterial, KeySource
from sqlalchemy_sealed.quiet import quietly

__all__ = ["InvalidLegacyValue", "LegacyFormat"]

_Secret = TypeVar("_Secret")


class InvalidLegacyValue(Exception):  # noqa: N818 - turned into an error by the caller
    """A value that does not open. It holds neither the value nor a cause."""


class LegacyFormat(ABC, Generic[_Secret]):
    """Reads the values of one format that is not ours.

    Args:
        key: the key as the other program has it: text, bytes, or a function that
            returns them and is called when the first value is read. Nothing is read
            at import.

    Attributes:
        is_ascii: whether stored values are text, which never looks like an envelope:
            only then both may live in one column.
        is_authenticated: whether a wrong key is always noticed.
        beside: name of the column with another part of the value, such as its IV.

    """

    is_ascii: bool = True
    is_authenticated: ClassVar[bool] = True
    beside: str | None = None

    def __init__(self, key: KeySource | KeyMaterial) -> None:
        self._key = key if isinstance(key, KeyMaterial) else KeyMaterial(key)

    @classmethod
    def from_env(cls, variable: str, **options: Any) -> Self:
        """Return the format with the key in an environment variable.

        Args:
            variable: its name; the only thing that a generated revision writes down.
            options: further arguments of the format.

        """
        return cls(KeyMaterial.of_env(variable), **options)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Return the format with the key in a file, such as a Docker secret.

        Args:
            path: of the file; the end of its line is no part of the key.
            options: further arguments of the format.

        """
        return cls(KeyMaterial.of_file(path), **options)

    @property
    def variable(self) -> str | None:
        """Name of the environment variable that holds the key."""
        return self._key.variable

    @abstractmethod
    def _prepare(self) -> _Secret:
        """Return what opens values, made of the key."""

    @cached_property
    def secret(self) -> _Secret:
        """What opens values; it is made once.

        Raises:
            KeyFormatError: the key is not there, or none of this format.

        """
        reason = ""
        try:
            return self._prepare()
        except ValueError:
            reason = f"{self._key.where} is no key of {type(self).__name__}"
        raise KeyFormatError(f"{reason}; nothing was read")

    @abstractmethod
    def recognizes(self, stored: bytes) -> bool:
        """Tell whether a stored value has the shape of the format."""

    @abstractmethod
    def decrypt(self, stored: bytes, beside: bytes | None = None) -> bytes:
        """Return the plaintext of a stored value.

        Raises:
            InvalidLegacyValue: it does not open.

        """

    def options(self) -> dict[str, Any]:
        """Return the arguments beside the key, for a revision that names the format."""
        return {}

    def read(self, plain: bytes, codec: Codec) -> Any:
        """Return the value of a plaintext.

        Raises:
            ValueError: it is none of the declared type.

        """
        return (
            plain if isinstance(codec, BytesCodec) else read_text(codec, plain.decode())
        )

    def value(self, stored: bytes, codec: Codec, beside: bytes | None = None) -> Any:
        """Return the value of a stored form.

        Raises:
            InvalidLegacyValue: it does not open, or is none of the declared type.

        """
        plain = self.decrypt(stored, beside)
        value, failed = quietly(self.read, plain, codec)
        if failed:
            raise InvalidLegacyValue
        return value

    def __copy__(self) -> Self:
        return self  # nothing of it changes

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{type(self).__name__}({shown})"
