"""The options of a sealed type: which there are, and which exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from sqlalchemy_sealed.columns import SealedMarker
from sqlalchemy_sealed.declared import check_deterministic, check_index, few_values
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.suites import SALT_EPOCH

__all__ = ["SUITES", "SUITE_NAMES", "accepted", "check_options", "suite_of"]

#: The suites as declarations name them.
SUITES: Final[Mapping[str, SuiteId]] = MappingProxyType(
    {
        "randomized": SuiteId.XAES_256_GCM,
        "deterministic": SuiteId.AES_256_SIV,
        "a256cbc-hs512": SuiteId.A256CBC_HS512,
    }
)
SUITE_NAMES: Final[Mapping[SuiteId, str]] = MappingProxyType(
    {suite: name for name, suite in SUITES.items()}
)


def suite_of(suite: object) -> SuiteId:
    """Return the suite that a declaration names.

    Raises:
        DeclarationError: there is none of that name.

    """
    try:
        return suite if isinstance(suite, SuiteId) else SUITES[cast("str", suite)]
    except (KeyError, TypeError):
        names = " or ".join(repr(name) for name in SUITES)
    raise DeclarationError(f"suite= is {names}")


def check_options(kind: Any) -> None:
    """Refuse options of a sealed type that exclude each other.

    Raises:
        DeclarationError: naming them.

    """
    deterministic = kind.suite is SuiteId.AES_256_SIV
    if kind.context == "":
        raise DeclarationError("context= is empty; leave it out, or name the field")
    if kind.storage not in {"binary", "text"}:
        raise DeclarationError('storage= is "binary" or "text"')
    if isinstance(kind.padding, str) and kind.padding != "default":
        raise DeclarationError(
            'padding= is Blocks(), Bucket(n), Padme(), None or "default"'
        )
    if not 1 <= kind.salt_epoch <= SALT_EPOCH:
        raise DeclarationError(f"salt_epoch= is 1 to {SALT_EPOCH} messages")
    if kind.index is not None:
        check_index(kind.index, kind.inner)
        if deterministic:
            raise DeclarationError(
                'suite="deterministic" and index= exclude each other: the values '
                "themselves can be searched"
            )
    if not deterministic:
        return
    check_deterministic(kind.codec)
    if kind.padding != "default":
        raise DeclarationError(
            'padding= and suite="deterministic" exclude each other: the padding of '
            "deterministic values is part of the format"
        )
    if few_values(kind.inner) and not kind.accept_leakage:
        raise DeclarationError(
            f"a deterministic {type(kind.inner).__name__} has so few values that "
            "counting rows reveals them; use the default suite, or state why it is "
            'acceptable: accept_leakage="..."'
        )


def accepted(accepts: Any, present: Any) -> tuple[Any, ...]:
    """Return the former declarations that a sealed type accepts.

    Args:
        accepts: one of them, or several.
        present: the sealed type, as far as it is made.

    Raises:
        DeclarationError: one of them is something else.

    """
    former = (accepts,) if isinstance(accepts, SealedMarker) else tuple(accepts or ())
    for one in former:
        reason = _why_not(one, present)
        if reason:
            raise DeclarationError(
                "accepts= takes former declarations of the same column, EncryptedType "
                f"of the same inner type with another suite= or padding=: {reason}"
            )
    return former


def _why_not(one: Any, present: Any) -> str:
    if not isinstance(one, SealedMarker):
        return f"a {type(one).__name__} is none"
    former: Any = one
    if former.codec != present.codec:
        return "its values have another encoding (Float has one per suite)"
    if former.pinned or former.accepts or former.storage != present.storage:
        return "context=, storage= and accepts= belong to the column itself"
    unknown = former.row_bound and not present.row_bound
    if unknown or (former.tenant_scoped and not present.tenant_scoped):
        return "it is bound to a row or a tenant, which this one does not know"
    if former.looks() == present.looks():
        return (
            "this one looks like the present one in the database, and is read without "
            "accepts=; lengths change when a value is next sealed"
        )
    return ""
