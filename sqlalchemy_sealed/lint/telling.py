"""Telling which expressions stand for sealed values, and refusing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn

from sqlalchemy.sql import elements, selectable

from sqlalchemy_sealed.errors import MixedFieldsError, NotSearchableError
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["flat", "is_null", "refuse", "refuse_any", "same_field", "sealed_type"]


_LABEL_REFERENCES: Final = (
    elements._label_reference,
    elements._textual_label_reference,
)


def sealed_type(element: Any) -> EncryptedType[Any] | None:
    """Return the sealed type of an expression that stands for stored values."""
    if isinstance(element, elements.BindParameter | elements.Null):
        return None
    kind = getattr(element, "type", None)
    return kind if isinstance(kind, EncryptedType) else None


def refuse(sealed: EncryptedType[Any], what: str) -> NoReturn:
    """Raise the error that names the field and the place."""
    raise NotSearchableError(
        f"{sealed.context or 'a sealed column'} is used in {what}, which works on "
        "ciphertext and would answer wrongly. Load the rows and do it in Python, or "
        "execute with execution_options(sealed_lint=False) if ciphertext is meant"
    )


def refuse_any(found: Iterable[Any], what: str) -> None:
    """Refuse if one of the expressions is sealed."""
    for element in found:
        sealed = sealed_type(element)
        if sealed is not None:
            refuse(sealed, what)


def flat(element: Any) -> Iterator[Any]:
    """Yield an expression and what it is wrapped in, through lists and labels."""
    if element is None:
        return
    if not isinstance(element, selectable.Exists):
        yield element
    if isinstance(element, elements.ClauseList | elements.Grouping | elements.Tuple):
        for child in element.get_children():
            yield from flat(child)
    inner = getattr(element, "element", None)
    if isinstance(element, selectable.Exists):
        return
    if isinstance(element, (elements.UnaryExpression, *_LABEL_REFERENCES)):
        yield from flat(inner if isinstance(inner, elements.ClauseElement) else None)


def same_field(found: Iterable[Any], what: str) -> None:
    """Refuse to bring together a sealed column and anything of another field."""
    items = [item for item in found if not is_null(item)]
    kinds = [sealed_type(item) for item in items]
    fields = {kind.context if kind is not None else None for kind in kinds}
    suites = {kind.suite if kind is not None else None for kind in kinds}
    if any(kinds) and (len(fields) > 1 or len(suites) > 1):
        names = ", ".join(sorted(str(name or "a plaintext value") for name in fields))
        raise MixedFieldsError(
            f"{what} brings different fields together ({names}): each value opens only "
            "in its own field. Read them in separate statements, or give columns that "
            "hold the same kind of value one context="
        )


def is_null(element: Any) -> bool:
    """Tell whether an expression is NULL whatever values are bound."""
    while isinstance(element, elements.Label | elements.Grouping | elements.TypeCoerce):
        element = element.element if not _coerces(element) else element.clause
    if isinstance(element, elements.BindParameter):
        # With a type of its own, the same statement comes again with another value.
        return element.value is None and element.type._isnull
    return isinstance(element, elements.Null)


def _coerces(element: Any) -> bool:
    return isinstance(element, elements.TypeCoerce)
