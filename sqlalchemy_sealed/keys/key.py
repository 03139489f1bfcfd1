"""Root keys: one version of the secret that every field key is derived from.

Data keys and index keys are roots of their own, with versions of their own, so that
rotating the one never touches the other. Their texts differ in the prefix, and in what
the check digits are made of: neither is taken for the other.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from typing import ClassVar, Final, NoReturn, Self

from sqlalchemy_sealed.envelope import KID_LENGTH
from sqlalchemy_sealed.errors import KeyFormatError, SecretHandlingError
from sqlalchemy_sealed.suites import expand

__all__ = ["ROOT_LENGTH", "IndexKey", "Key", "RootKey"]

ROOT_LENGTH: Final = 32
_VERSIONS: Final = range(1, 1 << 32)
_TEXT: Final = re.compile(
    r"(sealed_[a-z]+_)v([1-9][0-9]{0,9})_([A-Za-z0-9_-]{43})_([0-9a-f]{8})"
)
_LABEL: Final = b"sealed/v1/"


class RootKey:
    """One version of a root key, of either kind.

    Args:
        version: 1 to 2^32 - 1, for people and SQL.
        root: 32 random bytes, the only thing that is secret.

    Raises:
        KeyFormatError: the version is out of range, or ``root`` is not 32 bytes.

    ``repr`` and ``str`` show the version and the first half of the kid. A key refuses
    to be pickled, and a copy of a key is the key itself.

    """

    __slots__ = ("_kcv", "_root", "_version")

    #: What the text form starts with.
    prefix: ClassVar[str]
    _check: ClassVar[bytes]

    def __init__(self, version: int, root: bytes) -> None:
        # Exact types: True is no version, and a str root is a mistake.
        if type(version) is not int or version not in _VERSIONS:
            raise KeyFormatError("a key version is an integer, 1 to 4294967295")
        if type(root) is not bytes or len(root) != ROOT_LENGTH:
            raise KeyFormatError(
                f"key version {version}: a root key is exactly {ROOT_LENGTH} random "
                "bytes; make one with Keyring.generate() or `sealed keys generate`"
            )
        self._version = version
        self._root = root
        # HKDF-Expand of the root: a commitment to it, safe to store and to show.
        self._kcv = expand(root, _LABEL + b"kid", 32)

    @classmethod
    def generate(cls, version: int = 1) -> Self:
        """Return a new key of 32 bytes from the operating system's generator."""
        return cls(version, os.urandom(ROOT_LENGTH))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse ``<prefix>v<version>_<43 base64url>_<8 hex check digits>``.

        Raises:
            KeyFormatError: anything else; the message does not repeat the text.

        """
        match = _TEXT.fullmatch(text.strip())
        if match is None or match[1] != cls.prefix:
            raise KeyFormatError(_diagnose(text.strip(), cls.prefix))
        _, version, encoded, check = match.groups()
        root = base64.urlsafe_b64decode(encoded + "=")
        if base64.urlsafe_b64encode(root).decode().rstrip("=") != encoded:
            raise KeyFormatError("the key text has been altered: restore the original")
        key = cls(int(version), root)
        if not hmac.compare_digest(key._check_digits(), check):
            raise KeyFormatError(
                f"the check digits of key version {key.version} do not match: a "
                "character of the key, or its version, was lost or changed; restore "
                "the original text"
            )
        return key

    def to_text(self) -> str:
        """Return the text form. It holds the secret: write it to a 0600 file."""
        encoded = base64.urlsafe_b64encode(self._root).decode().rstrip("=")
        return f"{self.prefix}v{self._version}_{encoded}_{self._check_digits()}"

    def _check_digits(self) -> str:
        # Of the version too: under another number the key opens nothing it sealed.
        label = _LABEL + self._check + b"\0" + self._version.to_bytes(4)
        return expand(self._root, label, 4).hex()

    @property
    def version(self) -> int:
        """The version number."""
        return self._version

    @property
    def root(self) -> bytes:
        """The 32 secret bytes."""
        return self._root

    @property
    def kcv(self) -> bytes:
        """The 32-byte key check value; public."""
        return self._kcv

    @property
    def kid(self) -> bytes:
        """The 16-byte key id of every envelope sealed under this key; public."""
        return self._kcv[:KID_LENGTH]

    def derive(self, purpose: str, scope: bytes, length: int) -> bytes:
        """Return the subkey of ``length`` bytes for a purpose and a scope."""
        return expand(self._root, _LABEL + purpose.encode() + b"\0" + scope, length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RootKey) or self.prefix != other.prefix:
            return NotImplemented
        same = hmac.compare_digest(self._kcv, other._kcv)
        return same and self._version == other._version

    def __hash__(self) -> int:
        return hash((self._version, self._kcv))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} v{self._version} kid={self.kid.hex()[:16]}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "keys are not pickled: hand over a reference (environment, file, "
            "directory) and read the key on the other side"
        )


class Key(RootKey):
    """One version of the root key of data: values are sealed under it.

    Args:
        version: 1 to 2^32 - 1, for people and SQL.
        root: 32 random bytes, the only thing that is secret.

    """

    __slots__ = ()

    prefix = "sealed_root_"
    _check = b"text"


class IndexKey(RootKey):
    """One version of the root key of blind indexes.

    It computes index terms and opens nothing. Its versions are independent of those of
    the data keys.

    Args:
        version: 1 to 2^32 - 1; a :class:`~sqlalchemy_sealed.BlindIndex` names it.
        root: 32 random bytes, the only thing that is secret.

    """

    __slots__ = ()

    prefix = "sealed_index_"
    _check = b"index-text"


def _diagnose(text: str, prefix: str) -> str:
    form = f"{prefix}v<version>_<43 characters>_<8 check digits>"
    wanted = "an index key" if prefix == IndexKey.prefix else "a root key"
    if text.startswith(prefix):
        return f"the key text is damaged or cut off; expected {form}"
    if text.startswith("sealed_"):
        return f"this is a key of another kind, not {wanted}; expected {form}"
    if text.startswith("sld:"):
        return f"this is a sealed value, not a key; keys start with {prefix}"
    return (
        f"this is not a key text; expected {form}. "
        "Make one with `sealed keys generate`; keys of other libraries do not fit"
    )
