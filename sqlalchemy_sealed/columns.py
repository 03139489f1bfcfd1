"""What a sealed column cannot be, and what cannot be built on one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import BinaryExpression, CheckConstraint, Column, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import operators

from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import DeclarationError

__all__ = ["SOURCE", "TERMS", "TWIN", "SealedMarker", "check_column", "check_table"]

#: Entries of ``Column.info``: names of the columns with the index terms of a sealed
#: column, the key of the sealed column that terms are computed from, and the name of
#: the column that holds the same value while values move.
TERMS: Final = "sqlalchemy_sealed.terms"
SOURCE: Final = "sqlalchemy_sealed.source"
TWIN: Final = "sqlalchemy_sealed.twin"
_WHY: Final = {
    "primary_key=True": "cannot be sealed: re-encryption would change the key",
    "a foreign key": "cannot be sealed: the two sides would hold different bytes",
    "a foreign key to it": "cannot hold: the two sides would have different bytes",
    "unique=True": "does not hold on a sealed column: equal values have different "
    "bytes under another key version (and always, on a randomized column): "
    "index=BlindIndex(unique=True) does",
    "default=": "is an SQL expression, whose result would be stored in plaintext; "
    "use a Python value or function",
    "onupdate=": "is an SQL expression, whose result would be stored in plaintext; "
    "use a Python value or function",
    "server_default=": "would be stored in plaintext; use default= in Python",
    "server_onupdate=": "would be stored in plaintext; use onupdate= in Python",
    "index=True": "is useless on random bytes and slows every write down",
    "an index on an expression": "would be computed from ciphertext",
    "Computed()": "would be computed from ciphertext",
    "CheckConstraint()": "would look at ciphertext",
}
_CONSTRAINTS: Final = {
    "unique_constraint": "unique=True",
    "primary_key_constraint": "primary_key=True",
    "foreign_key_constraint": "a foreign key",
}


class SealedMarker:
    """Base of the types whose values are sealed, for the checks below them."""

    suite: SuiteId


def check_column(column: Column[Any], table: Table) -> None:
    """Refuse options that a sealed column cannot have.

    Raises:
        DeclarationError: naming the column, the option and the reason.

    """
    refused = {
        "primary_key=True": column.primary_key,
        "a foreign key": bool(column.foreign_keys),
        "unique=True": bool(column.unique),
        "default=": _is_sql(column.default),
        "onupdate=": _is_sql(column.onupdate),
        "server_default=": column.server_default is not None,
        "server_onupdate=": column.server_onupdate is not None,
        "index=True": bool(column.index) and _is_randomized(column),
    }
    for option, given in refused.items():
        if given:
            raise _refusal(table, column, option)


def check_table(table: Table) -> None:
    """Refuse what a table declares on or over its sealed columns.

    Columns are looked at again: an option may have been set after they joined.

    Raises:
        DeclarationError: naming the column and the constraint.

    """
    for column in table.columns:
        if _is_sealed(column):
            check_column(column, table)
        else:
            _check_plain(column, table)
    for constraint in table.constraints:
        option = _CONSTRAINTS.get(constraint.__visit_name__)
        if isinstance(constraint, CheckConstraint):
            used = _values_in([constraint.sqltext])
            _refuse_over(table, used, "CheckConstraint()")
        elif option is not None:
            _refuse_over(table, constraint.columns, option)  # type: ignore[attr-defined]
    for index in table.indexes:
        if index.unique:
            _refuse_over(table, index.columns, "unique=True")
        plain = [e for e in index.expressions if isinstance(e, Column)]
        _refuse_over(table, filter(_is_randomized, plain), "index=True")
        inside = [e for e in index.expressions if not isinstance(e, Column)]
        _refuse_over(table, _values_in(inside), "an index on an expression")


def _check_plain(column: Column[Any], table: Table) -> None:
    variants = getattr(column.type, "_variant_mapping", {})
    for name, variant in variants.items():
        if isinstance(variant, SealedMarker):
            raise DeclarationError(
                f"{table.name}.{column.name}: sealed on {name} only; everywhere else "
                "it would be plaintext. Declare EncryptedType itself, with variants"
            )
    if column.computed is not None:
        # Of a condition written as text nothing is known.
        _refuse_over(table, _values_in([column.computed.sqltext]), "Computed()")
    for key in column.foreign_keys:
        try:
            target = key.column
        except SQLAlchemyError:
            continue  # its table is not there yet; SQLAlchemy will say so
        if _is_sealed(target):
            raise _refusal(target.table, target, "a foreign key to it")


def _values_in(expressions: Iterable[Any]) -> Iterator[Column[Any]]:
    """Yield the columns whose values matter to expressions: NULL stays NULL."""
    for expression in expressions:
        if isinstance(expression, Column):
            yield expression
        elif not (
            isinstance(expression, BinaryExpression)
            and expression.operator in {operators.is_, operators.is_not}
        ):
            yield from _values_in(expression.get_children())


def _refuse_over(table: Table, columns: Iterable[Any], option: str) -> None:
    for named in columns:
        column = named
        if not table.columns.contains_column(named):
            # A reflected constraint holds the reflected column, not the declared one.
            column = next((c for c in table.columns if c.name == named.name), named)
        if _is_sealed(column):
            raise _refusal(table, column, option)


def _refusal(table: Any, column: Column[Any], option: str) -> DeclarationError:
    return DeclarationError(f"{table.name}.{column.name}: {option} {_WHY[option]}")


def _is_sealed(column: Any) -> bool:
    return isinstance(column.type, SealedMarker)


def _is_randomized(column: Any) -> bool:
    kind = column.type
    return isinstance(kind, SealedMarker) and kind.suite is not SuiteId.AES_256_SIV


def _is_sql(default: Any) -> bool:
    return default is not None and (default.is_clause_element or default.is_sequence)
