"""The field: what a column declares, everything but the keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.envelope import Flag, Header, SuiteId
from sqlalchemy_sealed.errors import (
    DeclarationMismatchError,
    DecryptionError,
    MalformedEnvelopeError,
)
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.padding import Padding
from sqlalchemy_sealed.policy import PlaintextPolicy
from sqlalchemy_sealed.suites import SALT_EPOCH
from sqlalchemy_sealed.unsealed import Unsealed

__all__ = ["Field", "describe", "mismatch"]


@dataclass(frozen=True)
class Field:
    """What a column declares: everything but the keys.

    Args:
        context: the field id; selects the derived key, so it must not change.
        codec: how values become bytes.
        suite: how bytes are sealed.
        padding: how the length is hidden, or ``None``.
        text: whether the envelope is stored in its text form.
        row_bound: whether a row context is authenticated too.
        tenant_scoped: whether every tenant has derived keys of its own.
        salt_epoch: messages that may share a salt.
        accepts: former declarations whose values are still read, and re-encrypted.
        legacy: formats that the column had before, whose values are still read.
        plaintext: what becomes of plaintext; ``None`` accepts none.

    """

    context: str
    codec: Codec
    suite: SuiteId = SuiteId.XAES_256_GCM
    padding: Padding | None = None
    text: bool = False
    row_bound: bool = False
    tenant_scoped: bool = False
    salt_epoch: int = SALT_EPOCH
    accepts: tuple[Field, ...] = ()
    legacy: tuple[LegacyFormat[Any], ...] = ()
    plaintext: PlaintextPolicy | None = None

    @property
    def unsealed(self) -> Unsealed | None:
        """What reads values that are not sealed, where the field accepts any."""
        if not self.legacy and self.plaintext is None:
            return None
        return Unsealed(
            self.context, self.codec, self.legacy, self.plaintext, self.text
        )

    @property
    def flags(self) -> Flag:
        """The flags byte of every value of the field."""
        padded = Flag.PADDED if self.padding else Flag(0)
        row = Flag.ROW_BOUND if self.row_bound else Flag(0)
        return padded | row | (Flag.TENANT_SCOPED if self.tenant_scoped else Flag(0))

    @property
    def shapes(self) -> frozenset[bytes]:
        """Bytes 1 to 3 of what the field may hold: suite, flags and codec."""
        declared = bytes((self.suite, self.flags, self.codec.id))
        return frozenset((declared, *(s for f in self.accepts for s in f.shapes)))

    def header(self, key: Key) -> Header:
        """Return the static header of values sealed under ``key``."""
        return Header(self.suite, self.flags, self.codec.id, key.version, key.kid)


def describe(header: Header) -> str:
    """Name the key of a header, for an error message."""
    return f"key v{header.version} (kid {header.kid.hex()[:16]}...)"


def _shown(header: Header, name: str) -> str:
    if name == "suite":
        return header.suite.name
    return f"{getattr(header, name):#04x}"


def mismatch(context: str, found: Header, declared: Header) -> DecryptionError:
    """Say how a stored header differs from the declared one (rule 2)."""
    if found.version != declared.version:
        return MalformedEnvelopeError(
            f"{context}: the header says key version {found.version}, but its kid is "
            f"that of version {declared.version}: the header was altered"
        )
    differences = [
        f"{name} {_shown(found, name)}, declared {_shown(declared, name)}"
        for name in ("suite", "flags", "codec")
        if getattr(found, name) != getattr(declared, name)
    ]
    return DeclarationMismatchError(
        f"{context}: the stored value has " + "; ".join(differences) + ". It was "
        "sealed under another declaration, or comes from another column: name the "
        "former declaration in accepts=, or restore the value"
    )
