"""Bytes of headers as SQL literals, for conditions that an index shall serve.

Headers are public: they stand in front of every stored value. Values never become
literals.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Dialect, func, literal_column
from sqlalchemy import types as sa

from sqlalchemy_sealed.envelope import SENTINEL, TEXT_PREFIX
from sqlalchemy_sealed.errors import ConfigurationError

__all__ = ["begins_sealed", "header_literal", "header_sql", "starts_with"]


def header_sql(prefix: bytes | str, dialect: Dialect) -> str:
    """Return the SQL text of the first bytes, or characters, of stored values."""
    if isinstance(prefix, str):
        if not prefix.replace(":", "").replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError("only the text of a header becomes SQL text")
        return f"'{prefix}'"
    if dialect.name == "postgresql":
        return f"'\\x{prefix.hex()}'::bytea"
    return f"x'{prefix.hex()}'"


def starts_with(
    value: ColumnElement[Any], prefix: bytes | str, dialect: Dialect
) -> ColumnElement[bool]:
    """Return the condition that a value begins with a header, without parameters."""
    start, length = (literal_column(str(n), sa.Integer) for n in (1, len(prefix)))
    found: ColumnElement[bool] = func.substr(value, start, length) == header_literal(
        prefix, dialect
    )
    return found


def begins_sealed(
    value: ColumnElement[Any], is_text: bool, dialect: Dialect
) -> ColumnElement[bool]:
    """Return the condition that a value begins as every envelope does."""
    return starts_with(value, TEXT_PREFIX if is_text else bytes((SENTINEL,)), dialect)


def header_literal(prefix: bytes | str, dialect: Dialect) -> ColumnElement[Any]:
    """Return the SQL text as an expression."""
    kind: Any = sa.Text() if isinstance(prefix, str) else sa.LargeBinary()
    return literal_column(header_sql(prefix, dialect), kind)
