"""The columns of index terms beside a column of ``EncryptedType(..., index=...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Table, event, type_coerce

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.columns import SOURCE, TERMS
from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.indexer import IndexField, IndexPart
from sqlalchemy_sealed.termwriter import WrittenTermType, term_default, watch_mappers

__all__ = ["add_term_columns", "term_columns"]


def add_term_columns(
    column: Column[Any], table: Table, index: BlindIndex, codec: Codec, context: str
) -> None:
    """Add the columns of an index to the table of its sealed column.

    Raises:
        DeclarationError: the table has another column of that name.

    """
    inner: Any = getattr(column.type, "inner", None)
    partial = index.is_truncated or index.second_version is not None
    part = IndexPart(codec, index.normalizer)
    kinds = {
        index.column_name(column.name, version): WrittenTermType(
            IndexField(context, index.name, (part,), index.bits, version),
            None,
            inner,
            partial,
        )
        for version in index.versions
    }
    is_copy = TERMS in column.info
    column.info[TERMS] = tuple(kinds)

    def add(*_: Any) -> None:
        for name, kind in kinds.items():
            if name not in table.c:
                table.append_column(_declared(name, kind, column, index))
            elif not isinstance(table.c[name].type, WrittenTermType):
                raise _not_terms(table, name)
            else:
                table.c[name].type = kind  # a copy under another name is another field
        of_table = table.info.get(SOURCE, {})
        table.info[SOURCE] = {**of_table, **dict.fromkeys(kinds, column.key)}

    if is_copy:
        # The copies of the term columns come after this one, with the same table.
        event.listen(table, "after_parent_attach", add, once=True)
    else:
        add()
    watch_mappers()


def term_columns(
    expression: Any, index: BlindIndex
) -> Sequence[tuple[Any, Any]] | None:
    """Return each column of terms beside a column, with its being NULL."""
    columns = getattr(getattr(expression, "table", None), "c", {})
    names = [index.column_name(expression.name, v) for v in index.versions]
    if not all(name in columns for name in names):
        return None
    found = [columns[name] for name in names]
    # Coerced, so that the ORM asks the database which objects an UPDATE has matched.
    return [(type_coerce(column, column.type), column.is_(None)) for column in found]


def _declared(
    name: str, kind: WrittenTermType, source: Column[Any], index: BlindIndex
) -> Column[Any]:
    options: dict[str, Any] = {"unique": True} if index.unique else {"index": True}
    column: Column[Any] = Column(name, kind, default=term_default, **options)
    column.info[SOURCE] = source.key
    return column


def _not_terms(table: Table, name: str) -> DeclarationError:
    return DeclarationError(
        f"{table.name}.{name}: the blind index of a sealed column needs a column of "
        "this name, and the table has another one. Rename it, or name the index: "
        "BlindIndex(column=...)"
    )
