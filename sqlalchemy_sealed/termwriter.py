"""Writing the index terms beside a column of ``EncryptedType(..., index=...)``.

The value is plaintext on the instance there, so its terms are computed when a row is
inserted, by a default of their column, and before the ORM updates one. Statements that
the application writes itself assign both; the lint sees to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from sqlalchemy import Connection, event
from sqlalchemy.orm import Mapper, ORMExecuteState, Session
from sqlalchemy.orm.attributes import instance_state, set_attribute
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Null

from sqlalchemy_sealed.columns import SOURCE
from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.indexer import indexer_of
from sqlalchemy_sealed.indextype import IndexTermType, preparation
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.searching import index_term

__all__ = ["WrittenTermType", "term_default", "watch_mappers"]


class WrittenTermType(IndexTermType):
    """Terms that are written whenever their value is, even when they stay the same.

    The lint can then tell an UPDATE that forgot them.
    """

    cache_ok = True

    def compare_values(self, x: Any, y: Any) -> Literal[False]:
        """Return that an assigned term is a change."""
        del x, y
        return False


def term_default(context: Any) -> bytes | None:
    """Compute the term of an inserted row, from values that are not bound yet.

    Raises:
        EncodingError: the statement does not tell the value of each row.

    """
    column = context.current_column
    value = _inserted_value(context, column)
    return None if value is None else _term(context.dialect, column.type, value)


def watch_mappers() -> None:
    """Listen to the flushes and bulk statements of the ORM."""
    if not event.contains(Mapper, "before_update", _updated):
        event.listen(Mapper, "before_insert", _inserted)
        event.listen(Mapper, "before_update", _updated)
        event.listen(Session, "do_orm_execute", _execute)


def _term(dialect: Any, kind: IndexTermType, value: Any) -> bytes | None:
    before = preparation(kind.inner, dialect, kind.index.context)
    indexer = indexer_of(binding_of(dialect), kind.index)
    return indexer.term(value if before is None else before(value))


def _inserted_value(context: Any, column: Any) -> Any:
    statement = context.compiled.statement
    source = column.table.c[column.info[SOURCE]]
    values = getattr(statement, "_values", None) or {}
    # Neither has an accessor.
    names = _keys(getattr(statement, "_select_names", None))
    several = getattr(statement, "_multi_values", None)
    if not several and source.key not in names:
        parameters = context.get_current_parameters()
        given = dict(zip(_keys(values), values.values(), strict=True)).get(source.key)
        if source.key in parameters:
            return parameters[source.key]
        if given is None or isinstance(given, Null):
            return None
        if isinstance(given, BindParameter) and given.key in parameters:
            return parameters[given.key]
    raise EncodingError(
        f"{column.table.name}.{column.name}: the statement does not tell which "
        f"value of {source.name} each row gets, as insert().values([...]) and "
        "insert().from_select() do not. Pass the rows beside the statement: "
        "execute(insert(Model), [{...}, ...])"
    )


def _keys(columns: Any) -> list[str]:
    return [getattr(column, "key", column) for column in columns or ()]


def _pairs(mapper: Mapper[Any]) -> Iterator[tuple[IndexTermType, str, str]]:
    """Yield the type of each mapped term, its attribute, and that of its value."""
    for table in mapper.tables:
        pairs: Mapping[str, str] = getattr(table, "info", {}).get(SOURCE, {})
        for term, source in pairs.items():
            columns = [table.c[term], table.c[source]]
            if all(mapper.columns.contains_column(one) for one in columns):
                found = [mapper.get_property_by_column(one).key for one in columns]
                yield cast("IndexTermType", columns[0].type), found[0], found[1]


def _inserted(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    del connection
    for _, term, _ in _pairs(mapper):
        # It may be that of another value, on a copy of a loaded instance.
        target.__dict__.pop(term, None)


def _updated(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    state = instance_state(target)
    for kind, term, name in _pairs(mapper):
        if name not in state.committed_state or name not in state.dict:
            continue
        value = state.dict[name]
        before = state.committed_state[name]
        if state.manager[name].impl.is_equal(value, before) is True:
            continue
        if value is None or isinstance(value, Null):
            set_attribute(target, term, None)
        elif not isinstance(value, ClauseElement):
            set_attribute(target, term, _term(connection.dialect, kind, value))


def _execute(state: ORMExecuteState) -> Any:
    """Add the terms to the mappings of an UPDATE by primary key."""
    parameters: Any = state.parameters
    mapper = state.bind_mapper
    if not state.is_update or mapper is None or not isinstance(parameters, list):
        return None
    names = [(term, name) for _, term, name in _pairs(mapper)]
    added = [_with_terms(mapping, names) for mapping in parameters]
    if not any(len(new) > len(old) for new, old in zip(added, parameters, strict=True)):
        return None
    return state.invoke_statement(params=added)


def _with_terms(
    mapping: Mapping[str, Any], names: list[tuple[str, str]]
) -> dict[str, Any]:
    own = dict(mapping)
    for term, name in names:
        if name in own:
            own.setdefault(term, index_term(own[name]))
    return own
