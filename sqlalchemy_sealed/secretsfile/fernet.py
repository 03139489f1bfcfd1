"""Fernet tokens, read only: what secrets files of Atom hold."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sqlalchemy_sealed.errors import ConfigurationError, KeyFormatError

__all__ = ["FernetKeys", "is_token", "key_from_environment"]

#: 32 bytes of urlsafe base64, with or without the padding.
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")
#: The byte 0x80 and the leading zeros of a time before the year 4147, in base64. A
#: token that was cut off counts too: it is no plaintext that should be sealed.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_TOKEN: Final = re.compile(r"gAAAAA[A-Za-z0-9_-]{20,}={0,2}")


def is_token(value: object) -> bool:
    """Tell whether a value looks like a Fernet token, whole or damaged."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def key_from_environment(variable: str) -> str:
    """Return the key text that an environment variable holds.

    Raises:
        ConfigurationError: the variable is not set.
        KeyFormatError: the key itself was given instead of the variable's name.

    """
    text = os.environ.get(variable, "").strip()
    if text:
        return text
    if _KEY.fullmatch(variable) or not _NAME.fullmatch(variable):
        raise KeyFormatError(
            "a Fernet key was given where the name of an environment variable is "
            "expected: put the key into a variable and name that. Treat the key as "
            "known to others"
        )
    raise ConfigurationError(
        f"the environment variable {variable} is not set; it holds the Fernet key of "
        "the file that is to be read"
    )


class FernetKeys:
    """Fernet keys that open tokens, and seal nothing.

    Args:
        texts: 43 or 44 characters of urlsafe base64 each.

    Raises:
        KeyFormatError: a text is no Fernet key; it is not repeated.

    """

    def __init__(self, texts: Iterable[str]) -> None:
        held = [_fernet(text, number) for number, text in enumerate(texts, 1)]
        self.count: Final = len(held)
        self._opener = MultiFernet(held) if held else None

    def open(self, token: str) -> bytes | None:
        """Return the plaintext of a token, or ``None`` where no key opens it."""
        try:
            return None if self._opener is None else self._opener.decrypt(token)
        except InvalidToken:
            return None


def _fernet(text: str, number: int) -> Fernet:
    key = text.strip()
    if not _KEY.fullmatch(key):
        raise KeyFormatError(
            f"Fernet key {number} is no Fernet key: that is 43 or 44 characters of "
            f"urlsafe base64, and this text has {len(key)}"
            + ("" if len(key) not in {43, 44} else ", not all of that alphabet")
        )
    return Fernet(base64.urlsafe_b64encode(base64.urlsafe_b64decode(key[:43] + "=")))
