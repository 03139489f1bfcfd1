"""Expressions and clauses that read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Table, func
from sqlalchemy.sql import elements, functions, operators, selectable, visitors

from sqlalchemy_sealed.columns import check_table
from sqlalchemy_sealed.comparator import SearchTermType
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.lint.telling import (
    flat,
    is_null,
    refuse,
    refuse_any,
    same_field,
    sealed_type,
)

__all__ = [
    "CARRIERS",
    "check_binary",
    "check_boolean",
    "check_children",
    "check_compound",
    "check_function",
    "check_over",
    "check_select",
    "check_table_itself",
    "check_unary",
    "check_unknown",
    "nothing",
]


_UNIONS: Final = {
    keyword
    for keyword in selectable._CompoundSelectKeyword
    if keyword.name in {"UNION", "UNION_ALL"}
}


_SUBQUERIES: Final = (
    selectable.SelectBase,
    selectable.ScalarSelect,
    selectable.Exists,
    selectable.SelectStatementGrouping,
)
_COUNT: Final = type(func.count())


def check_select(select: selectable.Select[Any]) -> None:
    """Check the clauses of a SELECT."""
    for clauses, what in (
        (select._order_by_clauses, "ORDER BY"),
        (_unkeyed(list(_grouped(select._group_by_clauses))), "GROUP BY"),
        (select._distinct_on, "DISTINCT ON"),
        (select._where_criteria, "WHERE by itself"),
        (select._having_criteria, "HAVING by itself"),
    ):
        for clause in clauses:
            refuse_any(flat(clause), what)
            _refuse_named(clause, select.selected_columns, what)
    if select._distinct:
        columns = list(select.selected_columns)
        refuse_any(
            _unkeyed(columns), "SELECT DISTINCT without the primary key beside it"
        )
    for element in select.selected_columns:
        for over in visitors.iterate(element):
            if isinstance(over, elements.Over):
                parts: tuple[Any, ...] = (over.partition_by, over.order_by)
                for clause in parts:
                    _refuse_named(clause, select.selected_columns, "OVER (...)")


def _grouped(clauses: Iterable[Any]) -> Iterator[Any]:
    for clause in clauses:
        # An entity is a list of its columns.
        is_list = isinstance(clause, elements.ClauseList)
        yield from clause.clauses if is_list else [clause]


def _unkeyed(columns: Sequence[Any]) -> list[Any]:
    """Return the columns whose row is not identified by the others."""
    return [column for column in columns if not _has_key_beside(column, columns)]


def _has_key_beside(column: Any, columns: Sequence[Any]) -> bool:
    """Tell whether the whole primary key of the column's row is selected too."""
    table = getattr(column, "table", None)
    key = getattr(table, "primary_key", None)
    if table is None or not key:
        return False
    beside = {c.name for c in columns if getattr(c, "table", None) is table}
    return all(part.name in beside for part in key)


def _refuse_named(clause: Any, columns: Iterable[Any], what: str) -> None:
    """Refuse a clause that names a selected sealed column by text."""
    for element in flat(clause):
        name = getattr(element, "element", None)
        if isinstance(name, str):
            for column in columns:
                if getattr(column, "key", None) == name:
                    refuse_any([column], what)


def check_compound(compound: selectable.CompoundSelect[Any]) -> None:
    """Check UNION, INTERSECT and EXCEPT."""
    for clause in (*compound._order_by_clauses, *compound._group_by_clauses):
        refuse_any(flat(clause), "ORDER BY of a union")
        _refuse_named(clause, compound.selected_columns, "ORDER BY of a union")
    legs = [list(leg.selected_columns) for leg in compound.selects]
    if compound.keyword not in _UNIONS:
        unkeyed = _unkeyed(legs[0])
        refuse_any(
            unkeyed, f"{compound.keyword.name} without the primary key beside it"
        )
    for position in zip(*legs, strict=False):
        same_field(position, "a union")


def check_binary(binary: elements.BinaryExpression[Any]) -> None:
    """Check a comparison or another operator with two sides."""
    left, right, op = binary.left, binary.right, binary.operator
    _refuse_partial(binary, _EXCLUDING)
    for side in (left, right):
        _refuse_negation(side, f"a comparison ({_name(op)})", op in _EXCLUDING)
    sealed = sealed_type(left) or sealed_type(right)
    if sealed is None:
        refuse_any(flat(right), f"a comparison ({_name(op)})")
        return
    if op in {operators.is_, operators.is_not} and is_null(right):
        return
    deterministic = sealed.suite is SuiteId.AES_256_SIV
    if op is operators.in_op and deterministic:
        if _is_search(right):
            return
        if isinstance(
            right,
            selectable.SelectBase
            | selectable.SelectStatementGrouping
            | selectable.ScalarSelect,
        ):
            chosen = getattr(right, "element", right)
            columns = getattr(chosen, "selected_columns", None)
            if columns is not None:
                same_field([left, *columns], "IN (SELECT ...)")
                return
    if op is operators.eq and deterministic:
        same_field([left, right], "a comparison")
        return
    refuse(sealed, f"a comparison ({_name(op)})")


def _name(operator: Any) -> str:
    return getattr(operator, "__name__", "operator").strip("_")


#: Operators that let through what a subquery does not find.
_EXCLUDING: Final = {operators.not_in_op, operators.ne}


def _refuse_negation(element: Any, what: str, subqueries: bool) -> None:
    """Refuse to turn the result of a search around.

    A row under a key version that this process does not know is not found; turned
    around, that lets it through.
    """
    if not subqueries and isinstance(element, _SUBQUERIES):
        return
    if not isinstance(element, elements.ColumnElement):
        return
    for part in visitors.iterate(element):
        if isinstance(part, elements.BinaryExpression):
            check_binary(part)
            _refuse_partial(part, {operators.in_op, operators.eq})
            sealed = sealed_type(part.left)
            if sealed is not None and part.operator in {operators.in_op, operators.eq}:
                refuse(sealed, what)


def _refuse_partial(binary: elements.BinaryExpression[Any], among: Any) -> None:
    """Refuse to exclude what a search finds only in part, or finds too much of."""
    kind = getattr(binary.left, "type", None)
    if isinstance(kind, IndexTermType) and kind.is_partial and binary.operator in among:
        raise NotSearchableError(
            f"{kind.index.context}: the negation of a search in a truncated index, or "
            "in one whose key is being rotated, would lose rows or let others through. "
            "Select without the negation and exclude in Python"
        )


def _is_search(element: Any) -> bool:
    kind = getattr(element, "type", None)
    return isinstance(element, elements.BindParameter) and isinstance(
        kind, SearchTermType
    )


def check_function(function: functions.FunctionElement[Any]) -> None:
    """Refuse a function of a sealed column, except ``count``."""
    arguments = [*function.clauses]
    if isinstance(function, _COUNT):
        # count(column) counts NULLs rightly; count(distinct column) does not.
        for argument in arguments:
            if isinstance(argument, elements.UnaryExpression):
                refuse_any(flat(argument), "count(DISTINCT ...)")
        return
    name = getattr(function, "name", "function")
    for argument in arguments:
        refuse_any(flat(argument), f"the function {name}()")


def check_unary(unary: elements.UnaryExpression[Any]) -> None:
    """Refuse DESC, DISTINCT, NOT and the like."""
    if isinstance(unary, selectable.Exists):
        return
    if unary.operator is operators.inv:
        _refuse_negation(unary.element, "a negation", subqueries=True)
    refuse_any(flat(unary.element), "a unary operator (DESC, DISTINCT, NOT, -)")


def check_children(element: Any) -> None:
    """Refuse a sealed column directly below an element."""
    children = [c for child in element.get_children() for c in flat(child)]
    refuse_any(children, type(element).__name__)


def check_boolean(clauses: Any) -> None:
    """Refuse a sealed column as a condition by itself."""
    refuse_any(clauses.clauses, type(clauses).__name__)


def check_over(over: Any) -> None:
    """Check the partition and the order of a window."""
    for part in (over.partition_by, over.order_by):
        refuse_any(flat(part), "OVER (...)")


#: Elements that hold a sealed expression without looking at it.
CARRIERS: Final = (
    elements.ColumnClause,
    elements.Label,
    elements.Grouping,
    elements.TypeCoerce,
    elements.BindParameter,
    elements.Null,
    elements.TextClause,
    selectable.ScalarSelect,
    selectable.Exists,
)


def check_unknown(element: Any) -> None:
    """Refuse a sealed column below an element this module has never heard of."""
    distinct = getattr(element, "_distinct_on", None)
    if isinstance(distinct, tuple):
        for clause in distinct:
            refuse_any(flat(clause), "DISTINCT ON")
    if isinstance(element, elements.ColumnElement) and not isinstance(
        element, CARRIERS
    ):
        check_children(element)


def check_table_itself(table: Table) -> None:
    """Refuse what cannot hold, once per statement."""
    check_table(table)


def nothing(_element: Any) -> None:
    """Accept an element that only carries values along."""
