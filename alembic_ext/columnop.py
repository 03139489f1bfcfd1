"""What operations on one sealed column have in common."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from alembic.operations import MigrateOperation

from alembic_ext.strategy import Strategy, check_strategy, strategy_of
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.legacy.format import LegacyFormat

__all__ = ["ColumnOp", "ValuesOp"]

_Other = TypeVar("_Other", bound="ColumnOp")


class ColumnOp(MigrateOperation):
    """An operation on a column of a declared type.

    Attributes:
        table_name: the table.
        column_name: the column.
        type_: the declaration of the sealed column, as in the model.
        schema: of the table.

    """

    #: Its name after ``op.``.
    name: ClassVar[str]

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        schema: str | None = None,
    ) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.type_ = type_
        self.schema = schema

    def same_column(self, kind: type[_Other]) -> _Other:
        """Return another operation on the same column."""
        return kind(self.table_name, self.column_name, self.type_, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return (self.name, self.schema, self.table_name, self.column_name)


class ValuesOp(ColumnOp):
    """An operation that moves the values of a column.

    Attributes:
        into: the column they move to; ``None`` keeps the name.
        drop: whether the column they come from is dropped at the end.
        strategy: that was asked for; ``None`` takes the one that fits.

    """

    #: Formats of another library that the column holds instead of plaintext.
    legacy: tuple[LegacyFormat[Any], ...] = ()

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: EncryptedType[Any],
        into: str | None = None,
        schema: str | None = None,
        drop: bool = False,
        strategy: Strategy | None = None,
    ) -> None:
        super().__init__(table_name, column_name, type_, schema)
        where = f"{table_name}.{column_name}"
        check_strategy(where, strategy, type_, into, bool(self.legacy))
        self.into = into
        self.drop = drop
        self.strategy = strategy

    @property
    def target(self) -> str:
        """The column that has the values at the end."""
        return self.into or self.column_name

    @property
    def way(self) -> Strategy:
        """The strategy that was asked for, or the one that fits."""
        return strategy_of(self.strategy, self.type_, self.into)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return (*super().to_diff_tuple(), self.target)
