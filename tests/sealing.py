"""What the tests of the core share: fixed keys, field ciphers, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sqlalchemy_sealed.cipher import FieldCipher
from sqlalchemy_sealed.codec.scalar import Utf8Codec
from sqlalchemy_sealed.errors import SealedError
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.suites import SaltEpoch, XaesCipher

VECTORS = Path(__file__).parent / "vectors"
#: The root key of the draft vector.
ROOT = bytes(range(32))
OTHER_ROOT = bytes(range(32, 64))
SALT, NONCE = bytes(range(0x40, 0x4C)), bytes(range(0x50, 0x5C))
#: A plaintext that is easily found wherever it should not be.
SECRET = "alice@example.com"


def load(name: str) -> Any:
    """Return the content of one vector file."""
    return json.loads((VECTORS / name).read_text("utf-8"))


def keyring(version: int = 7, root: bytes = ROOT) -> Keyring:
    """Return a keyring of one active key."""
    return Keyring([Key(version, root)])


def field_cipher(
    codec: Any = None, keys: Keyring | None = None, **declared: Any
) -> FieldCipher:
    """Return the field cipher of a declaration, by default of ``users.email``."""
    declared.setdefault("context", "users.email")
    field = Field(codec=codec or Utf8Codec(), **declared)
    return FieldCipher(field, Binding(keys or keyring()))


def inject(xaes: XaesCipher, salt: bytes, *nonces: bytes) -> XaesCipher:
    """Have the next messages use this salt and these nonces, the last one first."""
    epoch = SaltEpoch(salt, AESGCM(xaes.message_key(salt)).encrypt, 0)
    epoch.nonces.extend(nonces)
    xaes._epoch = epoch
    return xaes


def failure(call: Callable[..., object], *arguments: object) -> SealedError:
    """Return the library's error that a call ends with."""
    try:
        call(*arguments)
    except SealedError as error:
        return error
    raise AssertionError("the call did not fail")


def says(error: BaseException) -> str:
    """Return everything an error and the errors behind it would tell a log."""
    chain = [error, error.__cause__, error.__context__]
    return " ".join(f"{e} {e!r} {e.args!r} {vars(e)!r}" for e in chain if e is not None)


def flipped(data: bytes) -> Iterator[bytes]:
    """Yield the data with each single bit inverted."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
