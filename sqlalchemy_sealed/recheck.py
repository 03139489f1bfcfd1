"""Exact answers from truncated indexes: entities that were found are compared again.

A truncated term is shared by different values. ``select(Entity).where(Entity.attribute
== value)`` is executed with the term, and of the loaded entities those are kept whose
opened value is the one that is searched. Where that cannot be done (what the statement
returns, or does, is more or less than whole entities) the lint refuses the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Row, Select
from sqlalchemy import inspect as inspect_entity
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList

from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.holder import SearchValue
from sqlalchemy_sealed.indexer import message_of
from sqlalchemy_sealed.indextype import ExactTermType, preparation

__all__ = ["RECHECKED", "recheck_entities"]

#: The execution option of a statement whose entities are compared.
RECHECKED: Final = "sqlalchemy_sealed_rechecked"
_Keep = Callable[[Any], bool]


def recheck_entities(state: ORMExecuteState) -> Any:
    """Execute a SELECT with exact conditions (``do_orm_execute``); filter its rows."""
    statement: Any = state.statement
    if not state.is_select or not isinstance(statement, Select):
        return None
    conditions = list(_exact(statement._where_criteria))  # noqa: SLF001 - no accessor
    if not conditions or not _is_plain(statement):
        return None
    keeps = [_keep(statement, condition) for condition in conditions]
    if not all(keeps):
        return None
    result: Any = state.invoke_statement(execution_options={RECHECKED: True})
    try:
        frozen = result.freeze()
    except InvalidRequestError:
        frozen = None
    if frozen is None:
        raise NotSearchableError(
            "== on a truncated index compares the entities that were loaded, which "
            "does not go together with joined eager loading of collections. Select "
            "with .candidates(value), and compare the attribute of what was found"
        )
    # A result of one entity holds the entities themselves.
    rows = [row if isinstance(row, Row) else (row,) for row in frozen.data]
    kept = [row for row in rows if all(keep(row) for keep in keeps if keep)]
    return frozen.with_new_rows(kept)()


def _exact(criteria: Any) -> Iterator[BinaryExpression[Any]]:
    for clause in criteria:
        if isinstance(clause, BooleanClauseList):
            if clause.operator is operators.and_:
                yield from _exact(clause.clauses)
        elif isinstance(clause, BinaryExpression) and isinstance(
            clause.right.type, ExactTermType
        ):
            yield clause


def _is_plain(statement: Any) -> bool:
    """Tell whether a statement returns every entity it finds, and nothing else."""
    cut = (
        statement._limit_clause,  # noqa: SLF001
        statement._offset_clause,  # noqa: SLF001
        statement._fetch_clause,  # noqa: SLF001
    )
    grouped = (
        statement._group_by_clauses,  # noqa: SLF001
        statement._having_criteria,  # noqa: SLF001
        statement._distinct,  # noqa: SLF001
    )
    return all(clause is None for clause in cut) and not any(grouped)


def _keep(statement: Any, condition: BinaryExpression[Any]) -> _Keep | None:
    """Return the function that compares a row, if the entity is part of the rows."""
    descriptions = statement.column_descriptions
    if any(found["expr"] is not found["entity"] for found in descriptions):
        return None
    wanted_entity = condition._annotations.get("sealed_entity")  # noqa: SLF001
    entities = [inspect_entity(found["entity"]) for found in descriptions]
    if wanted_entity not in entities:
        return None
    bound: Any = condition.right
    kind: Any = bound.type
    prepare = _preparing(kind)
    searched = bound.value if isinstance(bound.value, list) else [bound.value]
    wanted = {message_of(kind.index, prepare(_value(one))) for one in searched} - {None}
    position = entities.index(wanted_entity)

    def keep(row: Any) -> bool:
        instance = row[position]
        if instance is None:
            return False
        value = prepare(getattr(instance, kind.attribute))
        return message_of(kind.index, value) in wanted

    return keep


def _preparing(kind: ExactTermType) -> Callable[[Any], Any]:
    """Return what a type of the application does to a value before it is sealed."""
    before = preparation(kind.inner, DefaultDialect(), kind.index.context)
    return before or (lambda value: value)


def _value(searched: Any) -> Any:
    return searched.value if isinstance(searched, SearchValue) else searched
