"""The file to migrate: plaintext, Fernet tokens, or both after an interrupted move."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy_sealed.codec.structure import JsonCodec
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    EncodingError,
    SecretsFileError,
)
from sqlalchemy_sealed.secretsfile.document import Document
from sqlalchemy_sealed.secretsfile.fernet import FernetKeys, is_token
from sqlalchemy_sealed.secretsfile.opening import listed
from sqlalchemy_sealed.secretsfile.privatefile import PrivateFile

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """What a file of unsealed secrets held at one moment.

    Attributes:
        file: the file as it was read.
        values: the plaintext by name.
        fernet: how many values were Fernet tokens.

    """

    file: PrivateFile
    values: dict[str, Any] = field(repr=False)
    fernet: int

    @property
    def plaintext(self) -> int:
        """How many values are not encrypted."""
        return len(self.values) - self.fernet

    @classmethod
    def read(cls, path: Path, keys: FernetKeys) -> Source:
        """Read a file and open its Fernet tokens.

        Raises:
            SecretsFileError: it is sealed already, cannot be read, or is plaintext that
                others may read.
            AuthenticationError: no key opens a token.
            EncodingError: a value is no JSON that reads back the same.

        """
        file = PrivateFile.read(path)
        document = Document.parse(file.data, path)
        if document.sealed:
            raise SecretsFileError(f"{path} is a sealed secrets file already")
        values = dict(document.values)
        tokens = [name for name, value in values.items() if is_token(value)]
        values.update(_opened(path, {name: values[name] for name in tokens}, keys))
        for name, value in values.items():
            _check(path, name, value)
        made = cls(file, values, len(tokens))
        if made.plaintext:
            file.refuse_others()
        return made


def _opened(path: Path, tokens: dict[str, str], keys: FernetKeys) -> dict[str, str]:
    if tokens and not keys.count:
        raise SecretsFileError(
            f"{path} holds Fernet tokens ({listed(sorted(tokens))}); name the variable "
            "that holds their key: --fernet-key-env ENCRYPTION_KEY"
        )
    opened = {name: keys.open(token) for name, token in tokens.items()}
    failed = sorted(name for name, data in opened.items() if data is None)
    if failed:
        raise AuthenticationError(
            f"{path}: {len(failed)} of {len(tokens)} Fernet tokens do not open with "
            f"the {keys.count} keys that were given. Nothing was changed. "
            + (
                "None opens: this is the wrong key"
                if len(failed) == len(tokens)
                else f"{listed(failed)} were altered or cut off, or are of a former "
                "key: name its variable too, or restore them"
            )
        )
    return {
        name: _text(path, name, data)
        for name, data in opened.items()
        if data is not None
    }


def _text(path: Path, name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    raise EncodingError(
        f"{path}, {name!r}: the Fernet token opens to bytes that are no UTF-8 text, "
        "which JSON cannot hold. Nothing was changed"
    )


def _check(path: Path, name: str, value: Any) -> None:
    reason = ""
    try:
        JsonCodec().encode(value)
    except EncodingError as error:
        reason = str(error)
    except ValueError:
        reason = "text that is no valid Unicode, or a number out of range"
    else:
        return
    raise EncodingError(
        f"{path}, {name!r}: a value that would not read back the same"
        f" ({reason}). Nothing was changed"
    )
