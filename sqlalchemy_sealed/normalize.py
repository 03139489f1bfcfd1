"""Normalisers: what counts as equal in a blind index.

Each has an id and a version that go into the derivation of the index key, because a
normaliser that changed would silently find nothing: it never changes, it gets a new
version. That includes Unicode: case mapping and composition are those of Unicode 14 to
15.1, which are the same, digits those of Unicode 3.2; a test pins every code point.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sqlalchemy_sealed.errors import DeclarationError

__all__ = ["NORMALIZERS", "Normalizer", "normalizer_of"]

_VERSIONS: Final = range(1, 1 << 32)
_LAST: Final = 4
_BLANKS: Final = " \t\r\n\v\f"


@dataclass(frozen=True)
class Normalizer:
    """What is done to text before its index term is computed.

    Args:
        id: its name for ever, at most 64 ASCII characters.
        version: 1 to 2^32 - 1; a changed function needs another one.
        function: text to text, or to ``None`` for text that has no index.

    Raises:
        DeclarationError: the id or the version is not of that form.

    """

    id: str
    version: int
    function: Callable[[str], str | None]

    def __post_init__(self) -> None:
        if not self.id.isascii() or not 0 < len(self.id) <= 64:  # noqa: PLR2004
            raise DeclarationError("a normaliser id has 1 to 64 ASCII characters")
        if self.version not in _VERSIONS:
            raise DeclarationError("a normaliser version is 1 to 4294967295")

    def __repr__(self) -> str:
        return f"Normalizer({self.id!r}, {self.version})"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _lower(text: str) -> str:
    return _composed(_composed(text).lower())


def _casefold(text: str) -> str:
    return _composed(_composed(text).casefold())


def _email(text: str) -> str:
    return _casefold(text.strip(_BLANKS))


def _digits(text: str) -> str:
    # Unicode 3.2: scripts of later versions are not in every Python we support.
    decimal = unicodedata.ucd_3_2_0.decimal
    found = (decimal(character, None) for character in text)
    return "".join(str(digit) for digit in found if digit is not None)


def _last4(text: str) -> str:
    return _digits(text)[-_LAST:]


#: Normalisers by the name a declaration uses, each at its newest version.
NORMALIZERS: Mapping[str, Normalizer] = MappingProxyType(
    {
        one.id: one
        for one in (
            Normalizer("lower", 1, _lower),
            Normalizer("casefold", 1, _casefold),
            Normalizer("email", 1, _email),
            Normalizer("digits", 1, _digits),
            Normalizer("last4", 1, _last4),
        )
    }
)


def normalizer_of(name: str | Normalizer | None) -> Normalizer | None:
    """Return a normaliser by its name; ``None`` compares values as they are.

    Raises:
        DeclarationError: there is no such normaliser.

    """
    if name is None or isinstance(name, Normalizer):
        return name
    known = NORMALIZERS.get(name)
    if known is None:
        raise DeclarationError(
            f"normalize={name!r} is no normaliser; there are "
            + ", ".join(NORMALIZERS)
            + ", and Normalizer(id, version, function) for one of your own"
        )
    return known
