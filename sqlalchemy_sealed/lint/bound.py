"""Statements that would separate a value from what it is bound to.

A value opens only in its row and for its tenant, and its index terms are computed from
it: a statement that writes the one without the other leaves a row that is unreadable,
or found under another value. What the mapper knows of it stands in ``Column.info``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.sql import dml

from sqlalchemy_sealed.columns import SOURCE, TERMS, TWIN
from sqlalchemy_sealed.errors import SeparatedValueError
from sqlalchemy_sealed.placement import BOUND

__all__ = ["check_bound_update", "check_bound_upsert", "check_sent", "check_twins"]


def check_bound_update(table: Any, assigned: Iterable[Any]) -> None:
    """Check the names of the columns that an UPDATE assigns.

    Raises:
        SeparatedValueError: a value, or what belongs to it, is missing among them.

    """
    names = {getattr(one, "name", one) for one in assigned}
    if not isinstance(table, Table) or not names:
        return
    for column in table.columns:
        for term in column.info.get(TERMS, ()):
            if (column.name in names) is not (term in names):
                raise _separated(table, column.name, term, names)
        bound = names.intersection(column.info.get(BOUND, ()))
        if bound and column.name not in names:
            raise SeparatedValueError(
                f"{table.name}: the statement changes {', '.join(sorted(bound))}, and "
                f"the values of {column.name} are bound to it: they would not open any "
                "more. Load the instances and change them, so that they are sealed anew"
            )


def check_sent(context: Any) -> None:
    """Check the columns that are named by the parameters sent beside a statement.

    Args:
        context: the execution, of a statement that was not checked yet.

    Raises:
        SeparatedValueError: a value, or what belongs to it, is missing among them.

    """
    statement = context.compiled.statement
    if not isinstance(statement, dml.Insert | dml.Update):
        return
    table = statement.table
    if not isinstance(table, Table):
        return
    given = {
        getattr(name, "key", name)
        for name in (
            *(statement._values or ()),
            *(name for name, _ in getattr(statement, "_ordered_values", None) or ()),
            *(context.compiled.column_keys or ()),
        )
    }
    names = {column.name for column in table.columns if column.key in given}
    check_twins(table, names)
    if isinstance(statement, dml.Insert):
        _check_inserted(table, names)
    elif "compiled_cache" not in context.execution_options:
        check_bound_update(table, names)
    else:
        _check_written(table, names)


def check_twins(table: Any, names: set[Any]) -> None:
    """Refuse to write one of two columns that hold the same while values move.

    Raises:
        SeparatedValueError: the other one is missing among the names.

    """
    for column in table.columns if isinstance(table, Table) else ():
        twin = column.info.get(TWIN)
        if twin is not None and column.name in names and twin not in names:
            raise SeparatedValueError(
                f"{table.name}: the statement writes {column.name} and not {twin}, and "
                "dual_write() says that both hold the same value. Change loaded "
                "instances, or assign both"
            )


def _check_inserted(table: Table, names: set[str]) -> None:
    """Refuse terms that belong to no value; the default adds those of a value."""
    for term in names & table.info.get(SOURCE, {}).keys():
        source = table.columns[table.info[SOURCE][term]].name
        if source not in names:
            raise _separated(table, source, term, names)


def _check_written(table: Table, names: set[str]) -> None:
    """Check what the ORM writes itself, which has no need of equal terms elsewhere."""
    for term, key in table.info.get(SOURCE, {}).items():
        source = table.columns[key].name
        if (source in names) is not (term in names):
            raise _separated(table, source, term, names)


def _separated(
    table: Table, column: str, term: str, names: set[str]
) -> SeparatedValueError:
    have, lack = sorted((column, term), key=lambda name: name not in names)
    if term in table.info.get(SOURCE, {}):
        advice = (
            f"Change loaded instances, pass the rows by primary key as in "
            f"session.execute(update(Model), [...]), or assign both: {column}=value, "
            f"{term}=index_term(value)"
        )
    elif _is_compound(table, term):
        advice = (
            f"Change loaded instances, or assign all attributes of the compound index "
            f"and {term}=index_term((value, value))"
        )
    else:
        advice = "Assign the mapped attribute, which writes both"
    return SeparatedValueError(
        f"{table.name}: the statement assigns {have} and not {lack}: the row would be "
        f"found under another value. {advice}"
    )


def check_bound_upsert(insert: dml.Insert, assigned: Iterable[Any]) -> None:
    """Check what an upsert assigns to the row that survives.

    Raises:
        SeparatedValueError: the value may be bound to another row.

    """
    names = {getattr(one, "name", one) for one in assigned}
    table = insert.table
    if not isinstance(table, Table) or not names:
        return
    check_bound_update(table, names)
    check_twins(table, names)
    upsert = getattr(insert, "_post_values_clause", None)
    target = getattr(upsert, "inferred_target_elements", None) or ()
    key = {column.name for column in table.primary_key.columns}
    on_key = {getattr(one, "name", one) for one in target} == key
    for column in table.columns:
        if column.info.get(BOUND) and column.name in names and not on_key:
            raise SeparatedValueError(
                f"{table.name}: the upsert writes {column.name}, whose values are "
                "bound to the primary key, and the row that survives may have another "
                "one. Name the primary key as the conflict target, or select first"
            )


def _is_compound(table: Table, term: str) -> bool:
    return sum(term in column.info.get(TERMS, ()) for column in table.columns) > 1
