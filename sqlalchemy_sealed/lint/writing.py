"""Statements that write: what is assigned to a sealed column, and from one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from sqlalchemy.sql import dml, elements

from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.lint.bound import (
    check_bound_update,
    check_bound_upsert,
    check_twins,
)
from sqlalchemy_sealed.lint.telling import (
    is_null,
    refuse_any,
    same_field,
    sealed_type,
)
from sqlalchemy_sealed.types import EncryptedType

__all__ = [
    "check_insert",
    "check_update",
    "check_where",
    "upsert_conditions",
    "upsert_values",
]


def check_insert(insert: dml.Insert) -> None:
    """Check what is assigned by INSERT, by its SELECT and by an upsert."""
    _check_assignments(insert.table, insert)
    if insert.select is not None:
        names = insert._select_names or ()
        targets = (_target(insert.table, name) for name in names)
        check_twins(insert.table, {getattr(one, "name", None) for one in targets})
        columns = list(insert.select.selected_columns)
        if len(names) != len(columns):
            # text() among the columns: which is which cannot be told.
            for name in names:
                kind = sealed_type(_target(insert.table, name))
                if kind is not None:
                    _refuse_expression(kind)
        for name, source in zip(names, columns, strict=False):
            _check_assignment(_target(insert.table, name), source)
    pairs = list(_upsert_pairs(insert))
    check_bound_upsert(insert, (_target(insert.table, name) for name, _ in pairs))
    for name, value in pairs:
        _check_assignment(_target(insert.table, name), value)


def _upsert_pairs(insert: dml.Insert) -> Iterable[tuple[Any, Any]]:
    upsert = getattr(insert, "_post_values_clause", None)
    # ON CONFLICT has the one, ON DUPLICATE KEY the other.
    updates: Any = getattr(upsert, "update_values_to_set", None)
    if updates is None:
        updates = getattr(upsert, "update", None)
    return _pairs(updates)


def upsert_values(insert: dml.Insert) -> Iterator[elements.ClauseElement]:
    """Yield what an upsert assigns; SQLAlchemy 2.0 does not walk into it."""
    for _, value in _upsert_pairs(insert):
        if isinstance(value, elements.ClauseElement):
            yield value


def upsert_conditions(insert: dml.Insert) -> Iterator[elements.ClauseElement]:
    """Yield the conditions of an upsert, which SQLAlchemy does not walk into."""
    upsert = getattr(insert, "_post_values_clause", None)
    for name in ("update_whereclause", "inferred_target_whereclause"):
        condition = getattr(upsert, name, None)
        if isinstance(condition, elements.ClauseElement):
            yield condition


def _check_assignments(table: Any, statement: Any) -> list[Any]:
    pairs: list[tuple[Any, Any]] = []
    if statement._values:
        pairs += statement._values.items()
    ordered = getattr(statement, "_ordered_values", None)
    pairs += ordered or ()
    for rows in statement._multi_values:
        for row in rows:
            by_position = zip(table.columns, row, strict=False)
            pairs += row.items() if hasattr(row, "items") else by_position
    targets = [_target(table, name) for name, _ in pairs]
    for target, (_, value) in zip(targets, pairs, strict=True):
        _check_assignment(target, value)
    return targets


def _pairs(assignments: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(assignments, Mapping):
        return assignments.items()
    return assignments or ()


def _target(table: Any, name: Any) -> Any:
    if isinstance(name, str):
        by_name = {column.name: column for column in table.c}
        return table.c.get(name, by_name.get(name))
    return name.__clause_element__() if hasattr(name, "__clause_element__") else name


def _check_assignment(target: Any, value: Any) -> None:
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    if target is None or not isinstance(value, elements.ClauseElement):
        return
    kind = sealed_type(target)
    if isinstance(value, elements.BindParameter):
        if kind is not None and not _fits(value, kind):
            _refuse_expression(kind)
        return
    if is_null(value):
        return
    if kind is not None and sealed_type(value) is None:
        _refuse_expression(kind)
    same_field([target, value], "an assignment")


def _fits(value: elements.BindParameter[Any], kind: EncryptedType[Any]) -> bool:
    if value.type._isnull or is_null(value):
        return True
    return isinstance(value.type, EncryptedType) and value.type.context == kind.context


def _refuse_expression(kind: EncryptedType[Any]) -> NoReturn:
    raise NotSearchableError(
        f"{kind.context}: an SQL expression is assigned to a sealed column, and its "
        "result would be stored as plaintext. Assign the Python value itself"
    )


def check_update(update: dml.Update) -> None:
    """Check what is assigned by UPDATE, and its condition."""
    check_bound_update(update.table, _check_assignments(update.table, update))
    check_where(update)


def check_where(statement: Any) -> None:
    """Check the condition of UPDATE or DELETE."""
    refuse_any(statement._where_criteria, "WHERE by itself")
