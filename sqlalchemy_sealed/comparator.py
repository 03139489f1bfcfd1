"""What may be asked of a sealed column, decided while the expression is built.

Everything is refused that is not known to be right: on random ciphertext ``==`` finds
nothing, ``!=`` lets everything through, and ordering follows random bytes. The lint
looks for what a comparator cannot see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from sqlalchemy import types as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Null
from sqlalchemy.sql.expression import bindparam
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.types import TypeDecorator

from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import NotSearchableError, SecretHandlingError
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.scope import most_readable_versions
from sqlalchemy_sealed.searching import SEARCHES, check_search, operator_name, search
from sqlalchemy_sealed.termcolumns import term_columns

if TYPE_CHECKING:
    from sqlalchemy_sealed.types import EncryptedType

__all__ = ["SealedComparator", "SearchTerm", "SearchTermType"]

_T = TypeVar("_T")
_NULL_OPERATORS: Final = {
    operators.is_,
    operators.is_not,
    operators.eq,
    operators.ne,
}
_EQUALITY: Final = {operators.eq, operators.in_op}


class SearchTerm:
    """A value to search for, and which readable key version to seal it under.

    It travels through the statement in place of the plaintext, and shows nothing.

    Args:
        value: what is searched.
        slot: number of the key version, modulo how many there are.
        versions: shared by the terms of one execution; the first of them that is
            sealed puts the key versions there, so that a rotation in between does not
            make the others skip one.

    """

    __slots__ = ("_slot", "_versions", "value")

    def __init__(self, value: Any, slot: int, versions: list[tuple[Key, ...]]) -> None:
        self.value = value
        self._slot = slot
        self._versions = versions

    def choose(self, readable: Callable[[], tuple[Key, ...]]) -> Key:
        """Return the key version to seal under."""
        if not self._versions:
            self._versions.append(readable())
        versions = self._versions[0]
        return versions[self._slot % len(versions)]

    def __eq__(self, other: object) -> bool:
        # SQLAlchemy evaluates `in` on loaded objects after UPDATE and DELETE.
        theirs = other.value if isinstance(other, SearchTerm) else other
        return bool(self.value == theirs)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "<sealed search term>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "a statement that searches a sealed column is not pickled: "
            "it holds the value; build it on the other side"
        )


class SearchTerms:
    """Makes the search terms when the statement runs, not when it is built."""

    __slots__ = ("_values",)

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __call__(self) -> list[SearchTerm]:
        slots = range(most_readable_versions())
        versions: list[tuple[Key, ...]] = []
        return [SearchTerm(v, slot, versions) for v in self._values for slot in slots]

    def __repr__(self) -> str:
        return "<sealed search terms>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "a statement that searches a sealed column is not pickled: "
            "it holds the value; build it on the other side"
        )


class SearchTermType(TypeDecorator[Any]):
    """Seals search terms with the keyring of the engine that runs the statement."""

    impl = sa.LargeBinary
    cache_ok = True

    def __init__(self, sealed: EncryptedType[Any]) -> None:
        super().__init__()
        self.sealed = sealed
        self.impl = sealed.impl_instance  # type: ignore[assignment]

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return the function that seals one term."""
        return self.sealed.term_sealer(dialect)

    def literal_processor(self, dialect: Dialect) -> NoReturn:
        """Refuse: a literal would put the value's ciphertext into the SQL text."""
        del dialect
        raise NotSearchableError("a sealed search term is never rendered into SQL text")


class SealedComparator(TypeDecorator.Comparator[_T]):
    """The operators of a sealed column."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Build the expression, or say why there is none."""
        sealed: EncryptedType[Any] = self.type  # type: ignore[assignment]
        operand = other[0] if other else None
        if op in _NULL_OPERATORS and other and _is_null(operand):
            return super().operate(op, *other, **kwargs)
        if _is_column(operand) and op in {operators.eq, operators.ne}:
            # SQLAlchemy itself compares columns while it looks them up in
            # dictionaries; what is wrong in a statement is left to the lint.
            return super().operate(op, *other, **kwargs)
        if sealed.suite is SuiteId.AES_256_SIV and op in _EQUALITY:
            if isinstance(operand, SelectBase):
                return super().operate(op, *other, **kwargs)
            if _is_value(op, operand):
                return self._search([operand] if op is operators.eq else operand)
        if sealed.index is not None and op in SEARCHES:
            return self._look_up(sealed.index, op, operand)
        raise NotSearchableError(_refusal(sealed, op, operand))

    def candidates(self, *values: Any) -> Any:
        """Return the condition for rows that may have one of the values.

        With a truncated index these are more rows than have it.

        Raises:
            NotSearchableError: there is no index, or a value is ``None`` or SQL.

        """
        index = getattr(self.type, "index", None)
        if index is None:
            raise NotSearchableError(_refusal(self.type, operators.eq, values))
        op = operators.eq if len(values) == 1 else operators.in_op
        return search(
            self._name(),
            self._terms(index),
            op,
            values[0] if len(values) == 1 else values,
        )

    def _look_up(self, index: BlindIndex, op: Any, operand: Any) -> Any:
        name = self._name()
        check_search(name, index, op)
        if index.is_truncated:
            raise NotSearchableError(
                f"{name}: {operator_name(op)} on a truncated index would find rows "
                "with other values too. Select with .candidates(value), and compare "
                "the attribute of what was found, or declare it with encrypted()"
            )
        return search(name, self._terms(index), op, operand)

    def _name(self) -> str:
        return getattr(self.type, "context", None) or "a sealed column"

    def _terms(self, index: BlindIndex) -> Any:
        terms = term_columns(self.expr, index)
        if terms is None:
            raise NotSearchableError(
                f"{self._name()}: the index column is not part of what is searched. "
                "Select it in the subquery too, or search in the table itself"
            )
        return terms

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> Any:
        """Refuse: no operator with the sealed column on the right has a meaning."""
        del kwargs
        raise NotSearchableError(_refusal(self.type, op, other))

    def _search(self, values: Any) -> Any:
        terms = bindparam(
            None,
            callable_=SearchTerms(list(values)),
            expanding=True,
            type_=SearchTermType(self.type),  # type: ignore[arg-type]
        )
        return super().operate(operators.in_op, terms)


def _is_null(operand: Any) -> bool:
    return operand is None or isinstance(operand, Null)


def _is_column(operand: Any) -> bool:
    if isinstance(operand, BindParameter):
        return False
    return isinstance(operand, ClauseElement) or hasattr(operand, "__clause_element__")


def _is_value(op: Any, operand: Any) -> bool:
    if isinstance(operand, ClauseElement) or hasattr(operand, "__clause_element__"):
        return False
    if op is operators.eq:
        return True
    return isinstance(operand, list | tuple | set | frozenset) and not any(
        value is None or isinstance(value, ClauseElement) for value in operand
    )


def _refusal(sealed: Any, op: Any, operand: Any) -> str:
    name = getattr(op, "__name__", str(op)).strip("_")
    where = getattr(sealed, "context", None) or "a sealed column"
    deterministic = getattr(sealed, "suite", None) is SuiteId.AES_256_SIV
    if deterministic and op in _EQUALITY:
        what = "a bindparam()" if isinstance(operand, BindParameter) else "this operand"
        return (
            f"{where}: {name} with {what} cannot be sealed when the statement is "
            "built; pass the Python value, or a list of values without None"
        )
    if deterministic and op in {operators.ne, operators.not_in_op}:
        return (
            f"{where}: {name} on a deterministic column would let rows through that "
            "are sealed under a key version this process does not know; select with "
            "== or in_ and exclude in Python"
        )
    return (
        f"{where} is sealed: {name} has no right answer on ciphertext. Possible are "
        "is_(None)"
        + (
            ", == and in_"
            if deterministic or getattr(sealed, "index", None)
            else "; equality needs index=BlindIndex() or suite='deterministic'"
        )
        + "; anything else: load the rows and compare in Python"
    )
