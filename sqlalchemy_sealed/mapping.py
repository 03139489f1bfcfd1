"""The events of mapped classes that have sealed attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, event
from sqlalchemy.orm import Mapper, ORMExecuteState, Session

from sqlalchemy_sealed.flush import seal_inserted, seal_updated
from sqlalchemy_sealed.placement import SealedAttribute, attributes_of
from sqlalchemy_sealed.recheck import recheck_entities

__all__ = ["watch_class"]

#: From version 2.1 on, bulk statements ask hybrid properties for their columns.
_EXPANDS_BULK: Final = tuple(
    int(part) for part in sqlalchemy.__version__.split(".")[:2]
) >= (2, 1)


def watch_class(owner: type) -> None:
    """Seal the attributes of a class, and of what inherits from it, when it is flushed.

    It may be called before the class is mapped, and more than once.
    """
    for identifier, listener in _LISTENERS:
        event.listen(owner, identifier, listener, propagate=True)
    if not event.contains(Session, "do_orm_execute", _execute):
        event.listen(Session, "do_orm_execute", _execute)


def _configured(mapper: Mapper[Any], owner: type) -> None:
    # Declarations that cannot work are told of now, not with the first row.
    del mapper
    for attribute in attributes_of(owner):
        attribute.place(owner)


def _inserted(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    for attribute in attributes_of(mapper.class_):
        seal_inserted(attribute.place(mapper.class_), connection, target)


def _updated(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    for attribute in attributes_of(mapper.class_):
        seal_updated(attribute.place(mapper.class_), connection, target)


_LISTENERS: Final = (
    ("mapper_configured", _configured),
    ("before_insert", _inserted),
    ("before_update", _updated),
)


def _execute(state: ORMExecuteState) -> Any:
    return recheck_entities(state) if state.is_select else _bulk(state)


def _bulk(state: ORMExecuteState) -> Any:
    """Expand sealed attributes of a bulk statement, and expire what it has changed."""
    mapper = state.bind_mapper
    parameters: Any = state.parameters
    if mapper is None or not parameters or not (state.is_insert or state.is_update):
        return None
    attributes = {a.__name__: a for a in attributes_of(mapper.class_)}
    many = [parameters] if isinstance(parameters, dict) else parameters
    if not any(name in mapping for mapping in many for name in attributes):
        return None
    if not _EXPANDS_BULK:
        expanded = [_expanded(mapper, attributes, mapping) for mapping in many]
        given: Any = expanded[0] if isinstance(parameters, dict) else expanded
        result = state.invoke_statement(params=given)
    elif state.is_insert:
        return None
    else:
        result = state.invoke_statement()
    if state.is_update:
        _expire(state.session, mapper, attributes, many)
    return result


def _expanded(
    mapper: Mapper[Any],
    attributes: Mapping[str, SealedAttribute],
    mapping: Mapping[str, Any],
) -> dict[str, Any]:
    """Do for SQLAlchemy 2.0 what 2.1 does: it would drop sealed attributes silently."""
    own = dict(mapping)
    for name in attributes.keys() & own.keys():
        attributes[name].expand_mapping(mapper.class_, own, own[name])
        # SQLAlchemy does not know it, and the value shall not travel on either.
        own[name] = None
    return own


def _expire(
    session: Session,
    mapper: Mapper[Any],
    attributes: Mapping[str, SealedAttribute],
    mappings: Iterable[Mapping[str, Any]],
) -> None:
    # SQLAlchemy brings loaded instances up to date with what the mappings name, and
    # they do not name the columns of a sealed attribute.
    key = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    for mapping in mappings:
        if not all(name in mapping for name in key):
            continue
        identity = mapper.identity_key_from_primary_key(
            tuple(mapping[name] for name in key)
        )
        instance = session.identity_map.get(identity)
        if instance is not None:
            columns = [
                c
                for n in attributes.keys() & mapping.keys()
                for c in attributes[n].columns
            ]
            session.expire(instance, columns)
