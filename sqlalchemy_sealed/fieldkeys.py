"""The key versions of a keyring, derived for one field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from sqlalchemy_sealed.associated import scope
from sqlalchemy_sealed.envelope import Flag, Header, SuiteId
from sqlalchemy_sealed.errors import KeyNotReadableError, UnknownKeyError
from sqlalchemy_sealed.field import Field, describe, mismatch
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.suites import CbcHmacCipher, SivCipher, XaesCipher

__all__ = ["FieldKey", "FieldKeys"]

_T = TypeVar("_T")
_SuiteCipher: TypeAlias = XaesCipher | SivCipher | CbcHmacCipher


@dataclass(frozen=True, slots=True)
class FieldKey:
    """One key version, derived for one field and one suite.

    Attributes:
        header: the 24 bytes in front of every value.
        cipher: the suite with the derived key.
        padded: whether the plaintext is padded.
        row_bound: whether the row id is authenticated too.
        former: whether it opens values of a declaration that the column had before.

    """

    header: bytes
    cipher: _SuiteCipher
    padded: bool
    row_bound: bool
    former: bool


class FieldKeys:
    """Derives keys when they are first needed, and forgets them on a change."""

    def __init__(
        self, field: Field, binding: Binding, tenant: str | None = None
    ) -> None:
        self._field = field
        self._tenant = tenant
        self._binding = binding
        self._declared: dict[bytes, FieldKey] = {}
        self._former: dict[Header, FieldKey] = {}

    @property
    def keyring(self) -> Keyring:
        """The keyring at this moment.

        Raises:
            KeyringNotBoundError: there is none.

        """
        return self._binding.keyring(self._field.context)

    def clear(self) -> None:
        """Forget every derived key."""
        self._declared.clear()
        self._former.clear()

    def active(self) -> FieldKey:
        """Return the key that seals new values."""
        return self.sealing(self.keyring.active)

    def sealing(self, key: Key) -> FieldKey:
        """Return what seals under a key version, as the column declares it now."""
        known = self._declared.get(key.kid)
        if known is None:
            known = self._remember(
                self._declared, key.kid, key, self._field.header(key)
            )
        return known

    def of(self, header: Header) -> FieldKey:
        """Return what opens a stored value.

        Raises:
            UnknownKeyError: the keyring has no such key.
            KeyNotReadableError: the key is suspended or destroyed.
            DeclarationMismatchError: suite, flags or codec are not the column's.

        """
        field, keyring = self._field, self.keyring
        key = keyring.get(header.kid)
        if key is None:
            known = ", ".join(
                f"v{k.version} (kid {k.kid.hex()[:16]}...)" for k in keyring.keys
            )
            raise UnknownKeyError(
                f"{field.context}: sealed under {describe(header)}, which this "
                f"keyring does not hold (it has {known}). Add that key version back"
            )
        state = keyring.state(key.version)
        if not state.readable:
            raise KeyNotReadableError(
                f"{field.context}: sealed under {describe(header)}, "
                f"which is {state.value}"
            )
        declared = field.header(key)
        if header == declared:
            return self.sealing(key)
        if header not in (former.header(key) for former in field.accepts):
            raise mismatch(field.context, header, declared)
        return self._former.get(header) or self._remember(
            self._former, header, key, header
        )

    def _remember(
        self, known: dict[_T, FieldKey], name: _T, key: Key, header: Header
    ) -> FieldKey:
        revision = self.keyring.revision
        padded = bool(header.flags & Flag.PADDED)
        cipher = self._cipher(key, header)
        known[name] = derived = FieldKey(
            bytes(header),
            cipher,
            padded,
            bool(header.flags & Flag.ROW_BOUND),
            known is self._former,
        )
        if self.keyring.revision is not revision:
            # A change between reading and remembering: forget again.
            self.clear()
        return derived

    def _cipher(self, key: Key, header: Header) -> _SuiteCipher:
        scoped = header.flags & Flag.TENANT_SCOPED
        where = scope(self._field.context, self._tenant if scoped else None)
        if header.suite is SuiteId.AES_256_SIV:
            return SivCipher(key.derive("siv", where, 64))
        if header.suite is SuiteId.A256CBC_HS512:
            return CbcHmacCipher(key.derive("cbc", where, 64))
        return XaesCipher(key.derive("aead", where, 32), self._field.salt_epoch)
