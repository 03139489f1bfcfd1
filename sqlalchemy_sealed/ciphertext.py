"""The column type behind a sealed attribute: ciphertext in the database and in Python.

The attribute's descriptor seals and opens, because it knows the row; the type makes
sure that nothing else than an envelope of its field is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.declared import before_sealing
from sqlalchemy_sealed.envelope import SuiteId, from_text, has_shape
from sqlalchemy_sealed.errors import (
    CiphertextOnlyError,
    DeclarationError,
    DecryptionError,
    EncodingError,
)
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.former import Legacy
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.padding import Padding
from sqlalchemy_sealed.policy import PlaintextMode, PlaintextPolicy
from sqlalchemy_sealed.scope import Binding, binding_of, is_ciphertext_only
from sqlalchemy_sealed.suites import SALT_EPOCH
from sqlalchemy_sealed.types import EncryptedType
from sqlalchemy_sealed.unsealed import Unsealed, is_unsealed

__all__ = ["CiphertextType", "LocatedType"]

_T = TypeVar("_T")


class CiphertextType(EncryptedType[_T]):
    """A sealed column whose values stay sealed in Python.

    Args:
        inner: the SQL type of the plaintext.
        context: the field id, if it is pinned.
        storage: ``"binary"`` or ``"text"``.
        padding: how the length is hidden.
        salt_epoch: messages that may share a salt.
        accepts: former declarations whose values are still read.
        legacy: formats that the column had before, whose values are still read.
        plaintext: what becomes of plaintext.
        optional: short for ``plaintext="optional"``.
        row_bound: whether a value opens in its own row only.
        tenant_scoped: whether every tenant has derived keys of its own.
        suite: ``"randomized"`` or ``"a256cbc-hs512"``.

    Raises:
        DeclarationError: options exclude each other, or the suite is deterministic.

    """

    cache_ok = True

    def __init__(
        self,
        inner: type[TypeEngine[_T]] | TypeEngine[_T],
        context: str | None = None,
        storage: Literal["binary", "text"] = "binary",
        padding: Padding | Literal["default"] | None = "default",
        salt_epoch: int = SALT_EPOCH,
        accepts: EncryptedType[_T] | Sequence[EncryptedType[_T]] | None = (),
        legacy: Legacy = (),
        plaintext: PlaintextPolicy | PlaintextMode | None = None,
        optional: bool = False,
        row_bound: bool = False,
        tenant_scoped: bool = False,
        suite: SuiteId | Literal["randomized", "a256cbc-hs512"] = "randomized",
    ) -> None:
        # Read by the checks of the superclass.
        self.row_bound = row_bound
        self.tenant_scoped = tenant_scoped
        super().__init__(
            inner,
            context=context,
            storage=storage,
            padding=padding,
            salt_epoch=salt_epoch,
            accepts=accepts,
            legacy=legacy,
            plaintext=plaintext,
            optional=optional,
            suite=suite,
        )

    def _check_options(self) -> None:
        if self.suite is SuiteId.AES_256_SIV:
            raise DeclarationError(
                'suite="deterministic" is for EncryptedType; encrypted() is searched '
                "through index=BlindIndex()"
            )
        super()._check_options()

    def opening(self) -> EncryptedType[_T]:
        """Return the type that opens the values of this column."""
        return EncryptedType(
            self.inner,
            context=self.field().context,
            suite=self.suite,
            storage=self.storage,
            padding=self.padding,
            salt_epoch=self.salt_epoch,
            accepts=self.accepts,
            legacy=self.legacy,
            plaintext=self.plaintext,
            optional=self.optional,
        )

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return the function that lets envelopes of this field through."""
        binding = binding_of(dialect)
        field = self.field()
        shapes = field.shapes
        unsealed = field.unsealed
        before = before_sealing(self.inner, dialect, field.context)

        def process(value: Any) -> Any:
            if value is None:
                return None
            if isinstance(value, UnsealedValue):
                _check_bound(field, value)
                plain = value.value if before is None else before(value.value)
                return cipher_of(binding, field, value.tenant).seal(plain, value.row)
            data = value
            if field.text and isinstance(value, str):
                data = _from_text(value)
            if type(data) is bytes and data[1:4] in shapes and has_shape(data):
                return value
            if unsealed is not None and _may_stay(unsealed, binding, value):
                return value
            raise EncodingError(
                f"{field.context}: a {type(value).__name__} that is no sealed value of "
                "this column is written to it. Assign the plaintext to the attribute, "
                "which seals it"
            )

        return process

    def result_processor(  # type: ignore[override]
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any] | None:
        """Return nothing to do, but where a driver does not give bytes."""
        del coltype
        return _as_bytes if dialect.driver == "psycopg2" else None

    def compare_values(self, x: Any, y: Any) -> bool:
        """Compare stored forms; a value that is not sealed yet differs."""
        return bool(x is y or (type(x) is type(y) and x == y))


class LocatedType(CiphertextType[_T]):
    """Loads a stored form together with the binding of the engine it came from."""

    cache_ok = True

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any]:
        """Return the function that adds the binding."""
        before = super().result_processor(dialect, coltype)
        binding = binding_of(dialect)

        def process(value: Any) -> tuple[Any, Binding]:
            return (value if before is None else before(value), binding)

        return process


def _check_bound(field: Field, value: UnsealedValue) -> None:
    if is_ciphertext_only():
        raise CiphertextOnlyError(
            f"{field.context}: a value would be sealed inside ciphertext_only(); "
            "nothing was written. Write outside of the block"
        )
    if (field.row_bound and value.row is None) or (
        field.tenant_scoped and value.tenant is None
    ):
        raise EncodingError(
            f"{field.context}: this way of writing does not say which row the value "
            "belongs to. Use session.add_all(), or execute(insert(Model), [{...}])"
        )


def _may_stay(unsealed: Unsealed, binding: Binding, value: Any) -> bool:
    """Tell whether a stored form that is not sealed may be written as it is."""
    if not isinstance(value, str | bytes) or not is_unsealed(value, unsealed.text):
        return False
    # What was read from the column before, or what the policy has made just now.
    written = unsealed.writes(binding.plaintext, binding.has_keys)
    return written or unsealed.opens(value)


def _from_text(value: str) -> bytes:
    try:
        return from_text(value)
    except DecryptionError:
        return b""


def _as_bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
