"""The field cipher: codec, padding, suite, field id and keyring, brought together.

Everything here is strict and explains its failures; :mod:`sqlalchemy_sealed.fast` does
the same work for SQLAlchemy's processors and falls back on it.

Errors are raised outside ``except`` blocks: the cause of a failure (a
``UnicodeEncodeError``, say) holds the value, and ``__context__`` would carry it along.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy_sealed.associated import row_context
from sqlalchemy_sealed.envelope import (
    Envelope,
    from_text,
    to_text,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DecryptionError,
    EncodingError,
    MalformedEnvelopeError,
    NotSealedError,
    VerificationError,
)
from sqlalchemy_sealed.field import Field, describe
from sqlalchemy_sealed.fieldkeys import FieldKey, FieldKeys
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.padding import unpad
from sqlalchemy_sealed.quiet import quietly
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.suites import (
    SALT_LENGTH,
    InvalidTag,
    XaesCipher,
)
from sqlalchemy_sealed.unsealed import Unsealed, is_unsealed

__all__ = ["FieldCipher", "Stored", "cipher_of"]

Stored: TypeAlias = bytes | str

_READY_LIMIT: Final = 4096
#: Tenants are many; what is dropped here is derived again.
_CIPHERS_LIMIT: Final = 4096
_NOTHING: Final[tuple[Any, ...]] = (
    b"",
    b"",
    None,
    [].pop,
    None,
    lambda _: [],
)


class FieldCipher:
    """Seals and opens the values of one field with the keyring of one binding."""

    def __init__(
        self, field: Field, binding: Binding, tenant: str | None = None
    ) -> None:
        if field.tenant_scoped is (tenant is None):
            raise EncodingError(
                f"{field.context}: a tenant is "
                + ("missing" if tenant is None else "given, but not declared")
            )
        self.field = field
        self._keys = FieldKeys(field, binding, tenant)
        self._unsealed = field.unsealed
        self._binding = binding
        #: header + salt (or header) -> (decrypt, header), for the opener.
        self.ready: dict[bytes, tuple[Any, Any]] = {}
        #: One tuple (prefix, header, encrypt, pop a nonce, decrypt), for the sealer.
        self.slot: list[tuple[Any, ...]] = [_NOTHING]
        binding.watch(self)

    def clear_keys(self) -> None:
        """Forget every derived key: the keyring has changed."""
        self._keys.clear()
        self.ready.clear()
        self.slot[0] = _NOTHING

    def seal(self, value: Any, row: bytes | None = None) -> Stored:
        """Return the stored form of a value: sealed, unless the policy says otherwise.

        Raises:
            EncodingError: the codec does not accept the value.
            KeyringNotBoundError: there is no keyring.

        """
        plain = self._encode(value)
        if self.writes_plaintext:
            written = self._written(plain)
            if written is not None:
                return written
        return self.seal_bytes(plain, row)

    @property
    def writes_plaintext(self) -> bool:
        """Whether the policy has the next value written as plaintext."""
        unsealed, binding = self._unsealed, self._binding
        return unsealed is not None and unsealed.writes(
            binding.plaintext, binding.has_keys
        )

    def _written(self, plain: bytes) -> Stored | None:
        """Return the plaintext form of a value; ``None`` if it has to be sealed."""
        assert self._unsealed is not None  # noqa: S101 - its policy was asked
        context, has_keys = self.field.context, self._binding.has_keys
        # The canonical value: True is no integer, and would be written as one.
        written = self._unsealed.written(self.field.codec.decode(plain))
        if self._unsealed.is_plaintext(written, plain):
            if not has_keys:
                self._binding.warn_plaintext(context)
            return written
        # It would be read as an envelope, which might be somebody else's, or as the
        # value of a legacy format, or as another value.
        if has_keys:
            return None
        raise EncodingError(
            f"{context}: a value that could be taken for something else cannot be "
            "stored as plaintext; bind a keyring, and it is sealed. Nothing was written"
        )

    def seal_bytes(self, plain: bytes, row: bytes | None = None) -> Stored:
        """Seal bytes that are canonical already, under the active key."""
        padded = self.field.padding.pad(plain) if self.field.padding else plain
        key = self._keys.active()
        aad = key.header + self._row(row)
        envelope = key.header + key.cipher.seal(padded, aad)
        return to_text(envelope) if self.field.text else envelope

    def seal_under(self, value: Any, key: Key) -> Stored:
        """Seal under one key version.

        For comparisons with a deterministic column, which may hold every version.
        """
        plain = self._encode(value)
        padded = self.field.padding.pad(plain) if self.field.padding else plain
        derived = self._keys.sealing(key)
        envelope = derived.header + derived.cipher.seal(padded, derived.header)
        return to_text(envelope) if self.field.text else envelope

    def searched(self) -> tuple[Key, ...]:
        """Return the versions a search asks for, lowest first.

        In an order that a rotation does not change: whoever has counted the versions
        before it asks for the same ones after it.
        """
        return tuple(sorted(self._keys.keyring.readable, key=lambda k: k.version))

    def open(self, stored: object, row: bytes | None = None) -> Any:
        """Return the value of a stored form.

        Raises:
            DecryptionError: one of its subclasses says why.

        """
        plain = self.open_bytes(stored, row)
        value, failed = quietly(self.field.codec.decode, plain)
        if failed:
            raise MalformedEnvelopeError(
                f"{self.field.context}: the value is authentic, but its plaintext is "
                f"no canonical {type(self.field.codec).__name__} value. "
                "Did the declared type change? Declare the type it was written with"
            )
        return value

    def open_bytes(self, stored: object, row: bytes | None = None) -> bytes:
        """Return the canonical bytes of a stored form, authenticated.

        Of a legacy value or a plaintext, where the column accepts them, those that are
        sealed next.
        """
        if self._unsealed is not None and is_unsealed(stored, self.field.text):
            return self._fitting(self._unsealed.read(stored, self._binding.plaintext))
        envelope = self._parse(stored)
        key = self._keys.of(envelope.header)
        context = self._row(row)
        # A value of a former declaration may have none.
        aad = key.header + context if key.row_bound else key.header
        try:
            padded: bytes | None = key.cipher.open(envelope.body, aad)
        except InvalidTag:
            padded = None
        if padded is None:
            raise AuthenticationError(
                f"{self.field.context}: {describe(envelope.header)} does not "
                "authenticate. The bytes were altered, or were sealed for another "
                "column (a renamed table or column needs context='old name'). "
                "Restore the value from a backup, or correct context="
            )
        self._learn(key, envelope)
        if not key.padded:
            return padded
        plain: bytes
        plain, failed = quietly(unpad, padded)
        if failed:
            raise MalformedEnvelopeError(
                f"{self.field.context}: the value is authentic, but not padded"
            )
        return plain

    def needs_reencryption(self, stored: object) -> bool:
        """Tell whether a value is sealed with anything but the active key."""
        if self._unsealed is not None and is_unsealed(stored, self.field.text):
            return True
        return bytes(self._parse(stored).header) != self.active_header()

    def active_header(self) -> bytes:
        """Return the 24 bytes every freshly sealed value starts with."""
        return self._keys.active().header

    def migrate(self, stored: object, beside: object = None) -> bytes:
        """Return the canonical bytes of a value that is not sealed, for a job.

        Raises:
            DecryptionError: no legacy format opens it, or it is no text of the type.

        """
        unsealed = self._unsealed
        if unsealed is None:
            field = self.field
            unsealed = Unsealed(field.context, field.codec, (), None, field.text)
        return self._fitting(unsealed.migrate(stored, beside))

    # -- parts -------------------------------------------------------------------

    def _fitting(self, value: Any) -> bytes:
        """Return the canonical bytes of a value that was read, not given."""
        reason = ""
        try:
            return self._encode(value)
        except EncodingError as error:
            reason = str(error)
        del value  # a traceback may be kept with the variables of this call
        raise NotSealedError(f"{reason}; the stored value is left as it is")

    def _encode(self, value: Any) -> bytes:
        codec = self.field.codec
        reason = ""
        try:
            encoded: bytes = codec.encode(value)
        except EncodingError as error:
            reason = f": {error}"
        except Exception:  # noqa: BLE001 - its text and attributes may hold the value
            reason = ""
        else:
            return encoded
        name = type(codec).__name__.removesuffix("Codec")
        raise EncodingError(
            f"{self.field.context}: a Python {type(value).__name__} does not fit the "
            f"declared {name} value{reason}. Nothing was written"
        )

    def _row(self, row: bytes | None) -> bytes:
        if self.field.row_bound is (row is None):
            raise EncodingError(
                f"{self.field.context}: a row id is "
                + ("missing" if row is None else "given, but not declared")
            )
        return row_context(row)

    def _parse(self, stored: object) -> Envelope:
        try:
            if self.field.text:
                return Envelope.parse(from_text(stored))
            if isinstance(stored, bytes | bytearray | memoryview):
                return Envelope.parse(bytes(stored))
            error: DecryptionError = NotSealedError("it is not of a binary type")
        except (NotSealedError, MalformedEnvelopeError) as caught:
            error = caught
        if isinstance(error, NotSealedError):
            raise NotSealedError(
                f"{self.field.context} holds a value that is not sealed ({error}). "
                "It is plaintext or was written by something else; it is not returned "
                "and not changed. If the column had it before, declare plaintext= or "
                "legacy=; `sealed status` counts such rows, `sealed verify` names them"
            )
        raise MalformedEnvelopeError(f"{self.field.context}: {error}")

    def _learn(self, key: FieldKey, envelope: Envelope) -> None:
        if key.former:
            return  # the closures know the present declaration only
        revision = self._keys.keyring.revision
        if len(self.ready) >= _READY_LIMIT:
            self.ready.clear()
        if isinstance(key.cipher, XaesCipher):
            salt = envelope.body[:SALT_LENGTH]
            self.ready[key.header + salt] = (key.cipher.decryptor(salt), key.header)
        else:
            self.ready[key.header] = (key.cipher.open, key.header)
        self._recheck(revision)

    def reseal(self, stored: object, row: bytes | None = None) -> Stored | None:
        """Seal a stored form anew, or return ``None`` if it is current.

        Raises:
            DecryptionError: the stored form cannot be opened.
            VerificationError: the new form does not open to the same bytes.

        """
        if not self.needs_reencryption(stored):
            return None
        sealed = self.seal_bytes_checked(self.open_bytes(stored, row), row)
        self._stock()
        return sealed

    def seal_checked(self, value: Any, row: bytes | None = None) -> Stored:
        """Seal a value for the first time, and open it again before it is written.

        Raises:
            EncodingError: the codec does not accept the value.
            VerificationError: the new form does not open to the same bytes.

        """
        return self.seal_bytes_checked(self._encode(value), row)

    def seal_bytes_checked(self, plain: bytes, row: bytes | None = None) -> Stored:
        """Seal canonical bytes, and open them again before they are written.

        Raises:
            VerificationError: the new form does not open to the same bytes.

        """
        sealed = self.seal_bytes(plain, row)
        if self.open_bytes(sealed, row) != plain:
            raise VerificationError(
                f"{self.field.context}: a freshly sealed value does not open to what "
                "was sealed; nothing was written. Check the machine's memory"
            )
        return sealed

    def seal_and_stock(self, value: Any) -> Stored:
        """Seal a value and lay out what the fast closures need for the next ones."""
        sealed = self.seal(value)
        if not self.writes_plaintext:
            self._stock()
        return sealed

    def _stock(self) -> None:
        """Lay out header, salt and nonces of the active key."""
        revision = self._keys.keyring.revision
        key = self._keys.active()
        if isinstance(key.cipher, XaesCipher) and self.field.salt_epoch > 1:
            epoch = key.cipher.epoch()
            prefix = key.header + epoch.salt
            check = key.cipher.decryptor(epoch.salt)
            self.slot[0] = (
                prefix,
                key.header,
                epoch.encrypt,
                epoch.nonces.pop,
                check,
                epoch.draw,
            )
            self._recheck(revision)

    def _recheck(self, revision: object) -> None:
        # A change of the keyring between reading and remembering: forget again.
        if self._keys.keyring.revision is not revision:
            self.clear_keys()


def cipher_of(binding: Binding, field: Field, tenant: str | None = None) -> FieldCipher:
    """Return the one cipher of a field, and of a tenant, in a binding."""
    name = (field, tenant)
    cipher = binding.ciphers.get(name)
    if not isinstance(cipher, FieldCipher):
        if len(binding.ciphers) >= _CIPHERS_LIMIT:
            binding.ciphers.clear()
        made = FieldCipher(field, binding, tenant)
        cipher = binding.ciphers.setdefault(name, made)
        assert isinstance(cipher, FieldCipher)  # noqa: S101 - for the type checker
    return cipher
