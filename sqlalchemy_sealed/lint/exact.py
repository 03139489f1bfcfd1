"""Conditions on truncated indexes that are exact only after entities were compared."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy.sql import elements, visitors

from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.indextype import ExactTermType

__all__ = ["find_exact", "refuse_exact"]


def find_exact(statement: Any) -> str | None:
    """Return the field of such a condition, wherever it is in a statement."""
    for element in visitors.iterate(statement):
        if isinstance(element, elements.BindParameter):
            kind: Any = element.type
            if isinstance(kind, ExactTermType):
                return kind.index.context
    return None


def refuse_exact(field: str) -> NoReturn:
    """Refuse a statement that would count or change rows with other values too."""
    raise NotSearchableError(
        f"{field}: == on a truncated index finds rows with other values too, and only "
        "session.execute(select(Entity).where(...)) of whole entities, without LIMIT, "
        "DISTINCT, GROUP BY, NOT or OR, compares what was found. Select with "
        ".candidates(value), and compare the attribute in Python"
    )
