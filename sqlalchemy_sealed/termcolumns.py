"""The columns of index terms beside a column of ``EncryptedType(..., index=...)``.

The value is plaintext on the instance there, so terms are computed when a row is
inserted (by a default of the column) and before the ORM updates one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import Column, Connection, Table, event
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_attribute

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.columns import SOURCE, TERMS
from sqlalchemy_sealed.declared import before_sealing
from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.indexer import IndexField, IndexPart, indexer_of
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.scope import binding_of

__all__ = ["add_term_columns", "term_columns"]


def add_term_columns(
    column: Column[Any], table: Table, index: BlindIndex, codec: Codec, context: str
) -> None:
    """Add the columns of an index to the table of its sealed column."""
    inner: Any = getattr(column.type, "inner", None)
    names = [index.column_name(column.name, version) for version in index.versions]
    column.info[TERMS] = tuple(names)
    for name, version in zip(names, index.versions, strict=True):
        if name in table.c:
            continue  # the table is a copy, and has them already
        part = IndexPart(codec, index.normalizer)
        declared = IndexField(context, index.name, (part,), index.bits, version)
        partial = index.is_truncated or index.second_version is not None
        kind = IndexTermType(declared, None, inner, partial)
        options: dict[str, Any] = {"unique": True} if index.unique else {"index": True}
        added: Column[Any] = Column(name, kind, default=_inserted, **options)
        added.info[SOURCE] = column.key
        table.append_column(added)
    if not event.contains(Mapper, "mapper_configured", _configured):
        event.listen(Mapper, "mapper_configured", _configured)


def term_columns(
    expression: Any, index: BlindIndex
) -> Sequence[tuple[Any, Any]] | None:
    """Return each column of terms beside a column, with its being NULL."""
    columns = getattr(getattr(expression, "table", None), "c", {})
    names = [index.column_name(expression.name, v) for v in index.versions]
    if not all(name in columns for name in names):
        return None
    found = [columns[name] for name in names]
    return [(_coerced(column), column.is_(None)) for column in found]


def _coerced(column: Any) -> Any:
    # So that the ORM asks the database which of its objects an UPDATE has matched.
    from sqlalchemy import type_coerce  # noqa: PLC0415

    return type_coerce(column, column.type)


def _term(dialect: Any, kind: IndexTermType, value: Any) -> bytes | None:
    if value is None:
        return None
    inner = kind.inner
    before = inner and before_sealing(inner, dialect, kind.index.context)
    indexer = indexer_of(binding_of(dialect), kind.index)
    return indexer.term(before(value) if callable(before) else value)


def _inserted(context: Any) -> bytes | None:
    """Compute the term of an inserted row, from values that are not bound yet."""
    column = context.current_column
    source = column.info[SOURCE]
    parameters: dict[str, Any] | None = None
    try:
        parameters = context.get_current_parameters()
    except KeyError:
        parameters = None
    if parameters is None:
        raise EncodingError(
            f"{column.table.name}.{column.name}: the rows of insert().values([...]) do "
            "not tell the term of each value. Pass the list beside the statement: "
            "execute(insert(Model), [{...}, ...])"
        )
    return _term(context.dialect, column.type, parameters.get(source))


_WATCHED: Final = "sqlalchemy_sealed.watched"


def _configured(mapper: Mapper[Any], owner: type) -> None:
    for table in mapper.tables:
        for column in table.columns:
            if SOURCE in column.info and not mapper.class_manager.info.get(_WATCHED):
                mapper.class_manager.info[_WATCHED] = True
                event.listen(owner, "before_update", _updated, propagate=True)


def _updated(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    state = instance_state(target)
    for column in mapper.columns:
        source = column.info.get(SOURCE)
        if source is None:
            continue
        key = mapper.get_property_by_column(column.table.c[source]).key
        if key in state.committed_state and key in target.__dict__:
            kind = cast("IndexTermType", column.type)
            term = _term(connection.dialect, kind, target.__dict__[key])
            set_attribute(target, mapper.get_property_by_column(column).key, term)
