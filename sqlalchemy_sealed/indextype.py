"""The column type of index terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from sqlalchemy import Column, Table
from sqlalchemy import types as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed.declared import before_sealing
from sqlalchemy_sealed.errors import EncodingError, NotSearchableError
from sqlalchemy_sealed.holder import SearchValue, UnsealedValue
from sqlalchemy_sealed.indexer import IndexField, indexer_of
from sqlalchemy_sealed.owned import OwnedType
from sqlalchemy_sealed.scope import binding_of, current_tenant

__all__ = ["ExactTermType", "IndexTermType", "preparation"]


class IndexTermType(OwnedType[bytes]):
    """Index terms: bytes of a fixed length, computed when a statement runs.

    A statement holds a :class:`SearchValue`; the engine that runs it computes the term
    with its own index key and the tenant of that moment.

    Args:
        index: what the index declares.
        source: name of the sealed column whose field it indexes, or for several
            columns the field id, if it is pinned, and the name of each; ``None`` if
            ``index`` names the field already.
        inner: the SQL type of the value, for what a user's own type does with it.
        is_partial: whether a search may find rows that have another value, or miss
            rows whose term is of another version, so that it must not be negated.

    """

    impl = sa.LargeBinary
    cache_ok = True

    def __init__(
        self,
        index: IndexField,
        source: str | tuple[tuple[str | None, str], ...] | None = None,
        inner: TypeEngine[Any] | tuple[TypeEngine[Any], ...] | None = None,
        is_partial: bool = False,
    ) -> None:
        super().__init__()
        self.index = index
        self.source = source
        self.inner = inner
        self.is_partial = is_partial

    def bind_to(self, column: Column[Any], table: Table) -> None:
        """Take the field id from the sealed column, which may not be there yet."""
        del column
        if self.source is not None:
            one = isinstance(self.source, str)
            sources: Any = ((None, self.source),) if one else self.source
            fields = [pinned or f"{table.name}.{name}" for pinned, name in sources]
            self.index = replace(self.index, context="+".join(fields))
            self.__dict__.pop("_static_cache_key", None)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return a type that can be indexed."""
        if dialect.name in {"mysql", "mariadb"}:
            return mysql.VARBINARY(self.index.length)
        return sa.LargeBinary()

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], bytes | None]:
        """Return the function that computes the term of a searched value."""
        indexer = indexer_of(binding_of(dialect), self.index)
        length = self.index.length
        before = preparation(self.inner, dialect, self.index.context)

        def process(value: Any) -> bytes | None:
            if value is None:
                return None
            if type(value) is bytes and len(value) == length:
                return value
            if isinstance(value, SearchValue):
                tenant = current_tenant() if self.index.tenant_scoped else None
            elif isinstance(value, UnsealedValue):
                tenant = value.tenant
            else:
                raise EncodingError(
                    f"{self.index.context}: an index column is compared with a "
                    f"{type(value).__name__}. Compare the attribute itself with the "
                    "value"
                )
            plain = value.value if before is None else before(value.value)
            return indexer.term(plain, tenant)

        return process

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any] | None:
        """Return nothing to do, but where a driver does not give bytes."""
        del coltype
        return _as_bytes if dialect.driver == "psycopg2" else None

    def literal_processor(self, dialect: Dialect) -> NoReturn:
        """Refuse: a value would be quoted in the error."""
        del dialect
        raise NotSearchableError(
            f"{self.index.context}: an index term is never rendered into SQL text; "
            "execute the statement with bound parameters"
        )

    def __repr__(self) -> str:
        return f"LargeBinary(length={self.index.length})"


class ExactTermType(IndexTermType):
    """The type of a searched value that truncated terms shall find exactly.

    Args:
        index: what the index declares.
        attribute: name of the attribute that is compared after loading.
        inner: the SQL type of the value.

    """

    cache_ok = True

    def __init__(
        self, index: IndexField, attribute: str, inner: TypeEngine[Any] | None = None
    ) -> None:
        super().__init__(index, None, inner, is_partial=True)
        self.attribute = attribute


def preparation(
    inner: TypeEngine[Any] | tuple[TypeEngine[Any], ...] | None,
    dialect: Dialect,
    context: str,
) -> Callable[[Any], Any] | None:
    """Return what types of the application do to a value, or to several, first."""
    if inner is None:
        return None
    if not isinstance(inner, tuple):
        return before_sealing(inner, dialect, context)
    each = [before_sealing(one, dialect, context) for one in inner]
    if not any(each):
        return None

    def prepare(values: Any) -> tuple[Any, ...]:
        pairs = zip(values, each, strict=True)
        return tuple(
            value if before is None or value is None else before(value)
            for value, before in pairs
        )

    return prepare


def _as_bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
