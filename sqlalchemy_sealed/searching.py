"""Conditions on index terms: what may be asked of a blind index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Boolean
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ClauseElement,
)

from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.holder import SearchValue
from sqlalchemy_sealed.index import BlindIndex

__all__ = [
    "NEGATIONS",
    "SEARCHES",
    "check_search",
    "index_term",
    "operator_name",
    "search",
]

NEGATIONS: Final = {operators.ne, operators.not_in_op}
SEARCHES: Final = {operators.eq, operators.in_op, *NEGATIONS}
_BOOLEAN: Final = Boolean()
_OPPOSITE: Final[dict[Any, Any]] = {
    operators.eq: operators.ne,
    operators.ne: operators.eq,
    operators.in_op: operators.not_in_op,
    operators.not_in_op: operators.in_op,
}


def index_term(value: Any) -> SearchValue | None:
    """Return what a statement assigns to an index column: the term of a value.

    The engine that executes the statement computes the term. It is for UPDATE
    statements on a column of ``EncryptedType(..., index=...)``, which assign the value
    and its term together::

        update(Patient).values(email=new, email_bidx=index_term(new))

    Args:
        value: the value that is assigned beside it; ``None`` has no term.

    """
    return None if value is None else SearchValue(value)


def check_search(name: str, index: BlindIndex, op: Any) -> None:
    """Refuse an operator for which the terms have no right answer.

    Args:
        name: the attribute or column, for the message.
        index: its index.
        op: one of :data:`SEARCHES`.

    Raises:
        NotSearchableError: the operator is a negation that would lose rows, or let
            others through.

    """
    if index.is_truncated and (op in NEGATIONS or index.second_version):
        raise NotSearchableError(
            f"{name}: {operator_name(op)} on an index of {index.bits} bits would find "
            "rows with other values too, which share a term. Select with "
            ".candidates(value), and compare the attribute of what was found"
        )
    if op not in NEGATIONS:
        return
    if index.normalizer is not None and not index.is_builtin:
        raise NotSearchableError(
            f"{name}: {operator_name(op)} would lose rows whose value has no term "
            "under a normaliser of your own; select with == or in_ and exclude in "
            "Python"
        )
    if index.second_version:
        raise NotSearchableError(
            f"{name}: {operator_name(op)} would let rows through that have a term of "
            "one index key version only; select with == or in_ and exclude in Python"
        )


def search(name: str, terms: Sequence[tuple[Any, Any]], op: Any, operand: Any) -> Any:
    """Return the condition that looks values up.

    Args:
        name: the attribute or column, for the message.
        terms: each column of terms, the one that is searched first, with the condition
            that it is NULL.
        op: one of :data:`SEARCHES`.
        operand: the value, or a list of values.

    Raises:
        NotSearchableError: the operand is SQL, or a list with ``None``.

    """
    searched = _searched(name, op, operand)
    conditions = [_compare(op, term, searched) for term, _ in terms]
    if len(conditions) == 1:
        return conditions[0]
    # A row without a term of the version that is searched has one of the other.
    other = _junction(operators.and_, terms[0][1], conditions[1])
    return _junction(operators.or_, conditions[0], other.self_group(operators.or_))


def _searched(name: str, op: Any, operand: Any) -> SearchValue | list[SearchValue]:
    many = op in {operators.in_op, operators.not_in_op}
    if isinstance(operand, ClauseElement) or hasattr(operand, "__clause_element__"):
        what = "a bindparam()" if isinstance(operand, BindParameter) else "SQL"
        raise NotSearchableError(
            f"{name}: {operator_name(op)} with {what} cannot be looked up in the blind "
            "index: pass the Python value"
        )
    if many and not isinstance(operand, list | tuple | set | frozenset):
        raise NotSearchableError(
            f"{name}: {operator_name(op)} takes a list of values, not a "
            f"{type(operand).__name__}"
        )
    values = list(operand) if many else [operand]
    if any(value is None for value in values):
        raise NotSearchableError(
            f"{name}: {operator_name(op)} does not find None, which has no term; ask "
            "for it with is_(None)"
        )
    holders = [SearchValue(value) for value in values]
    return holders if many else holders[0]


def operator_name(op: Any) -> str:
    """Return how an operator is written in Python."""
    names = {operators.eq: "==", operators.ne: "!=", operators.in_op: "in_"}
    return names.get(op) or getattr(op, "__name__", str(op)).strip("_")


def _compare(op: Any, term: Any, searched: Any) -> Any:
    # Built directly: SQLAlchemy's coercions would cost as much as the look-up itself.
    many = isinstance(searched, list)
    bound: Any = BindParameter(
        None, searched, type_=term.type, unique=True, expanding=many
    )
    return BinaryExpression(
        term, bound, op, type_=_BOOLEAN, negate=_OPPOSITE[op], modifiers={}
    )


def _junction(op: Any, left: Any, right: Any) -> Any:
    return BooleanClauseList._construct_raw(op, (left, right))  # noqa: SLF001 - as above
