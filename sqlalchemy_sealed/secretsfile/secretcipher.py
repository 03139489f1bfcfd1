"""The cipher of secrets files: every value is bound to its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy_sealed.associated import row_id
from sqlalchemy_sealed.cipher import FieldCipher
from sqlalchemy_sealed.codec.structure import JsonCodec
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationMismatchError,
    DecryptionError,
    EncodingError,
    MalformedEnvelopeError,
    NotSealedError,
)
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.padding import Bucket
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.secretsfile.document import FORMAT

__all__ = ["SecretCipher"]

#: One field for all secrets; a secret's name is its row id. The field id has no dot, so
#: it is never the default one of a column, ``table.column``.
_FIELD: Final = Field(
    FORMAT,
    JsonCodec(),
    padding=Bucket(64),
    text=True,
    row_bound=True,
    salt_epoch=1,
)


class SecretCipher:
    """Seals and opens the values of one secrets file.

    Args:
        path: the file, for messages only.
        keyring: the keys.

    """

    def __init__(self, path: Path, keyring: Keyring) -> None:
        self._path = path
        self._cipher = FieldCipher(_FIELD, Binding(keyring))

    def seal(self, name: str, value: Any) -> str:
        """Return the text form of a value, under the active key.

        Raises:
            EncodingError: the value is no JSON.

        """
        reason = ""
        try:
            return str(self._cipher.seal_checked(value, _row(name)))
        except EncodingError as error:
            reason = _without_field(error)
        raise EncodingError(f"{self._path}, {name!r}: {reason}")

    def open(self, name: str, stored: object) -> Any:
        """Return the value of a text form.

        Raises:
            DecryptionError: one of its subclasses says why.

        """
        try:
            return self._cipher.open(stored, _row(name))
        except DecryptionError as error:
            kind, reason = type(error), _without_field(error)
        raise kind(f"{self._path}, {name!r}: {_ADVICE.get(kind, reason)}")

    def is_current(self, stored: object) -> bool:
        """Tell whether a text form that opens is sealed under the active key."""
        return not self._cipher.needs_reencryption(stored)


def _row(name: str) -> bytes:
    return row_id([("s", name)])


#: What the field cipher says of columns does not help with files.
_ADVICE: Final[Mapping[type[DecryptionError], str]] = {
    NotSealedError: "it is not encrypted: somebody wrote plaintext, or another "
    "program's form, into the file. It is not returned. Treat it as known to others, "
    "and store it anew: sealed secrets set FILE NAME",
    AuthenticationError: "it does not authenticate: it was altered, or belongs to "
    "another name. Restore the file from a backup, or store the secret anew: "
    "sealed secrets set FILE NAME",
    DeclarationMismatchError: "it was sealed as something else, a column for example. "
    "Restore the file from a backup, or store the secret anew: sealed secrets set FILE "
    "NAME",
    MalformedEnvelopeError: "it was cut off or altered. Restore the file from a "
    "backup, or store the secret anew: sealed secrets set FILE NAME",
}


def _without_field(error: Exception) -> str:
    return str(error).removeprefix(FORMAT).removeprefix(": ").removeprefix(" ")
