"""A slot: one column as a move reads it, compares it, and may write it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, LargeBinary, Text, cast, func
from sqlalchemy import types as sa

from sqlalchemy_sealed.errors import ConfigurationError, EncodingError
from sqlalchemy_sealed.quiet import quietly

__all__ = ["Form", "Slot", "decoded"]


class Form(enum.Enum):
    """What a column holds, which decides how two of its values are compared."""

    BYTES = "bytes"
    """Envelopes or index terms in a binary column."""
    TEXT = "text"
    """Envelopes in their text form."""
    PLAIN = "plain"
    """The application's own values, of any type."""


@dataclass(frozen=True)
class Slot:
    """A column at work.

    Every slot of a row is compared with what was read before the row is written, byte
    by byte: under a case-insensitive collation ``ada`` equals ``Ada``, and the write of
    the application between them would be lost.

    Attributes:
        column: the column, with the type of what it holds.
        form: how it is compared.
        is_written: whether the move writes it.

    """

    column: Column[Any]
    form: Form
    is_written: bool

    @property
    def name(self) -> str:
        """The database name."""
        return self.column.name

    def check(self, dialect: Dialect) -> None:
        """Refuse a column whose values cannot be compared byte by byte.

        Raises:
            ConfigurationError: two different values have one canonical text.

        """
        if self.form is not Form.PLAIN or dialect.name not in {"mysql", "mariadb"}:
            return
        kind = self.column.type.dialect_impl(dialect)
        if isinstance(kind, sa.Float) and not isinstance(kind, sa.Double):
            raise ConfigurationError(
                f"{self.column.table.name}.{self.name}: a FLOAT cannot be compared "
                "exactly here, since its text has six digits. Alter it to DOUBLE first"
            )

    def token(self, column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
        """Return what is read to be compared later: the exact bytes or text."""
        if self.form is not Form.PLAIN:
            return column
        if dialect.name == "postgresql":
            # The canonical text: 1.0 and 1.00 are equal numbers, and not the same.
            return cast(column, Text())
        if dialect.name in {"mysql", "mariadb"}:
            return cast(column, LargeBinary())
        return column  # SQLite's driver gives every value as it is stored

    def bytewise(
        self, column: ColumnElement[Any], dialect: Dialect
    ) -> ColumnElement[Any]:
        """Return the side of a comparison on which no collation has a say."""
        token = self.token(column, dialect)
        if self.form is Form.BYTES:
            return token
        if dialect.name == "postgresql":
            return token.collate("C")
        if dialect.name in {"mysql", "mariadb"}:
            return cast(column, LargeBinary()) if self.form is Form.TEXT else token
        return token.collate("BINARY")

    def same_type(
        self, column: ColumnElement[Any], other: ColumnElement[Any], dialect: Dialect
    ) -> ColumnElement[bool] | None:
        """Return the condition that SQLite needs: there 1 equals 1.0."""
        if dialect.name != "sqlite" or self.form is not Form.PLAIN:
            return None
        return func.typeof(column) == func.typeof(other)

    def decoder(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return the function from the driver's value of a plaintext to its own."""
        kind = self.column.type.dialect_impl(dialect)
        oid = None
        # A Float is no Numeric in SQLAlchemy 2.1.
        if dialect.name == "postgresql" and isinstance(kind, sa.Numeric | sa.Float):
            # Its processors want to know what the server said: float8 or numeric.
            oid = 701 if isinstance(kind, sa.Float) else 1700
        decode = kind.result_processor(dialect, oid) or _same
        if dialect.name == "sqlite" and isinstance(kind, sa.Boolean):
            return _exactly(decode, self.encoder(dialect))
        return decode

    def encoder(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return the function from a plaintext to what the driver takes."""
        kind = self.column.type.dialect_impl(dialect)
        return kind.bind_processor(dialect) or _same


def _same(value: Any) -> Any:
    return value


def _exactly(
    decode: Callable[[Any], Any], encode: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Return the function that refuses what the way there and back would change.

    SQLite stores anything anywhere: a 7, or a text, among truth values.
    """

    def decoded_exactly(raw: Any) -> Any:
        value = decode(raw)
        if raw is not None and encode(value) != raw:
            raise ValueError("no value of the declared type")
        return value

    return decoded_exactly


def decoded(decode: Callable[[Any], Any], raw: Any, name: str) -> Any:
    """Return the plaintext of a driver's value.

    Raises:
        EncodingError: it is none of the declared type, as SQLite allows.

    """
    value, failed = quietly(decode, raw)
    if failed:
        raise EncodingError(
            f"{name}: a stored plaintext is no value of its declared type; it is left "
            "as it is"
        )
    return value
