"""``encrypted()``: a sealed attribute of a mapped class.

The class gets a column of ciphertext, and columns of index terms; the attribute itself
is a hybrid property over them. A value is sealed by the flush, which knows the whole
row, and opened when it is first read; the instance holds ciphertext::

    class Patient(Base):
        email = encrypted(String, index=BlindIndex(normalize="email"))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar, overload

from sqlalchemy.ext.mutable import Mutable
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed.attribute import Declaration, EncryptedAttribute
from sqlalchemy_sealed.ciphertext import CiphertextType
from sqlalchemy_sealed.declared import check_index
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.former import Legacy, check_former
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.padding import Padding
from sqlalchemy_sealed.policy import PlaintextMode, PlaintextPolicy
from sqlalchemy_sealed.suites import SALT_EPOCH
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["encrypted"]

_T = TypeVar("_T")
_Former: TypeAlias = EncryptedType[_T] | EncryptedAttribute[Any]


@overload
def encrypted(
    inner: type[TypeEngine[_T]] | TypeEngine[_T],
    column: str | None = ...,
    index: BlindIndex | None = ...,
    bind: Literal["field", "row"] = ...,
    tenant: str | None = ...,
    *,
    nullable: Literal[False],
    context: str | None = ...,
    suite: SuiteId | Literal["randomized", "a256cbc-hs512"] = ...,
    storage: Literal["binary", "text"] = ...,
    padding: Padding | Literal["default"] | None = ...,
    salt_epoch: int = ...,
    accepts: _Former[_T] | Sequence[_Former[_T]] | None = ...,
    legacy: Legacy = ...,
    plaintext: PlaintextPolicy | PlaintextMode | None = ...,
    optional: bool = ...,
    deferred: bool = ...,
    on_error: Literal["raise", "mark"] = ...,
    mutable: type[Mutable] | None = ...,
) -> EncryptedAttribute[_T]: ...
@overload
def encrypted(
    inner: type[TypeEngine[_T]] | TypeEngine[_T],
    column: str | None = ...,
    index: BlindIndex | None = ...,
    bind: Literal["field", "row"] = ...,
    tenant: str | None = ...,
    *,
    nullable: bool = ...,
    context: str | None = ...,
    suite: SuiteId | Literal["randomized", "a256cbc-hs512"] = ...,
    storage: Literal["binary", "text"] = ...,
    padding: Padding | Literal["default"] | None = ...,
    salt_epoch: int = ...,
    accepts: _Former[_T] | Sequence[_Former[_T]] | None = ...,
    legacy: Legacy = ...,
    plaintext: PlaintextPolicy | PlaintextMode | None = ...,
    optional: bool = ...,
    deferred: bool = ...,
    on_error: Literal["raise", "mark"] = ...,
    mutable: type[Mutable] | None = ...,
) -> EncryptedAttribute[_T | None]: ...
def encrypted(
    inner: Any,
    column: str | None = None,
    index: BlindIndex | None = None,
    bind: Literal["field", "row"] = "field",
    tenant: str | None = None,
    *,
    nullable: bool = True,
    context: str | None = None,
    suite: SuiteId | Literal["randomized", "a256cbc-hs512"] = "randomized",
    storage: Literal["binary", "text"] = "binary",
    padding: Padding | Literal["default"] | None = "default",
    salt_epoch: int = SALT_EPOCH,
    accepts: Any = (),
    legacy: Legacy = (),
    plaintext: PlaintextPolicy | PlaintextMode | None = None,
    optional: bool = False,
    deferred: bool = False,
    on_error: Literal["raise", "mark"] = "raise",
    mutable: type[Mutable] | None = None,
) -> EncryptedAttribute[Any]:
    """Declare a sealed attribute in the body of a declarative class.

    Args:
        inner: the SQL type of the plaintext, class or instance.
        column: name of the ciphertext column, ``<attribute>_encrypted`` by default.
        index: a blind index, for ``==``, ``in_``, uniqueness and joins.
        bind: ``"field"``, or ``"row"``: a value then opens in its own row only, and
            one that was copied to another row is an error.
        tenant: the mapped attribute that names the tenant; every tenant then has
            derived keys of its own. Where a row names none, and for searches, the
            ``tenant(name)`` block does.
        nullable: whether the attribute may be ``None``.
        context: the field id, when it must not follow the names of table and column.
        suite: ``"randomized"`` (XAES-256-GCM), or ``"a256cbc-hs512"`` where a rule
            demands CBC; see :class:`EncryptedType`.
        storage: ``"binary"``, or ``"text"`` for character columns.
        padding: how the length is hidden; see :class:`EncryptedType`.
        salt_epoch: messages of one process that may share a salt, 1 to 65,536.
        accepts: former declarations whose values are still read: ``EncryptedType``
            as it was, or ``encrypted()`` where values were bound to row or tenant.
        legacy: formats that the column had before; see :class:`EncryptedType`.
        plaintext: what becomes of plaintext; see :class:`EncryptedType`.
        optional: short for ``plaintext="optional"``.
        deferred: load the ciphertext when it is first asked for.
        on_error: ``"raise"``, or ``"mark"``: a value that cannot be opened gives an
            :class:`Unreadable`, unless most values fail.
        mutable: ``MutableDict``, ``MutableList`` or another class of
            ``sqlalchemy.ext.mutable``: values that are changed in place are written.

    Raises:
        DeclarationError: options exclude each other.
        UnsupportedTypeError: the inner type has no canonical encoding.

    """
    if bind not in {"field", "row"}:
        raise DeclarationError('bind= is "field" or "row"')
    kind: CiphertextType[Any] = CiphertextType(
        inner,
        context=context,
        storage=storage,
        padding=padding,
        salt_epoch=salt_epoch,
        accepts=_former(accepts),
        legacy=legacy,
        plaintext=plaintext,
        optional=optional,
        row_bound=bind == "row",
        tenant_scoped=tenant is not None,
        suite=suite,
    )
    if index is not None:
        check_index(index, kind.inner)
        check_former(kind.legacy, kind.policy, kind.codec, searched=True)
    if on_error not in {"raise", "mark"}:
        raise DeclarationError('on_error= is "raise" or "mark"')
    return EncryptedAttribute(
        Declaration(kind, column, index, tenant, nullable, deferred, on_error, mutable)
    )


def _former(accepts: Any) -> Any:
    """Return former declarations as types."""
    if isinstance(accepts, EncryptedAttribute):
        return accepts.declaration.type
    if isinstance(accepts, Sequence) and not isinstance(accepts, str):
        return [_former(one) for one in accepts]
    return accepts
