"""What may be asked of a blind index over several attributes."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import inspect as inspect_entity
from sqlalchemy import type_coerce
from sqlalchemy.sql import operators

from sqlalchemy_sealed.errors import NotSearchableError
from sqlalchemy_sealed.placement import CompoundTerm
from sqlalchemy_sealed.searching import check_search, search

__all__ = ["CompoundComparator"]


class CompoundComparator:
    """The operators of a compound index on a class or an alias of it."""

    def __init__(self, compound: CompoundTerm, owner: Any) -> None:
        self._compound = compound
        self._owner = owner

    def adapt_to_entity(self, entity: Any) -> CompoundComparator:
        """Return the operators on an alias."""
        return CompoundComparator(self._compound, entity.entity)

    def __eq__(self, values: object) -> Any:
        check_search(self._name, self._compound.index, operators.eq)
        self._refuse_truncated("==")
        return self._found(operators.eq, self._checked(values))

    def in_(self, values: Any) -> Any:
        """Return the condition for rows that have one of the tuples of values."""
        check_search(self._name, self._compound.index, operators.in_op)
        self._refuse_truncated("in_")
        return self._found(operators.in_op, [self._checked(one) for one in values])

    def candidates(self, *values: Any) -> Any:
        """Return the condition for rows that may have one of the tuples of values.

        Raises:
            NotSearchableError: a value is not a tuple of the right length.

        """
        checked = [self._checked(one) for one in values]
        return self._found(operators.in_op, checked)

    def _found(self, op: Any, operand: Any) -> Any:
        columns = [getattr(self._owner, name) for name in self._compound.terms]
        terms = [(type_coerce(c, c.type), c.is_(None)) for c in columns]
        return search(self._name, terms, op, operand)

    def _checked(self, values: Any) -> tuple[Any, ...]:
        names = self._compound.names
        if not isinstance(values, tuple | list) or len(values) != len(names):
            raise NotSearchableError(
                f"{self._name} is compared with tuples of {len(names)} values: "
                + ", ".join(names)
            )
        if all(value is None for value in values):
            raise NotSearchableError(
                f"{self._name}: rows where every value is None have no term; ask for "
                "them with is_(None) on the attributes"
            )
        return tuple(values)

    @property
    def _name(self) -> str:
        owner = inspect_entity(self._owner).mapper.class_.__name__
        return f"{owner}.{self._compound.__name__}"

    def _refuse_truncated(self, operator: str) -> None:
        if self._compound.index.is_truncated:
            raise NotSearchableError(
                f"{self._name}: {operator} on an index of "
                f"{self._compound.index.bits} bits would find rows with other values "
                "too. Select with .candidates((...)) and compare the attributes"
            )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotSearchableError(
            f"{self._name} is a blind index over several attributes: it has ==, in_ "
            "and candidates with tuples of values. Select, sort and exclude by the "
            "attributes, in Python"
        )

    __ne__ = _refuse
    __lt__ = _refuse
    __le__ = _refuse
    __gt__ = _refuse
    __ge__ = _refuse
    __clause_element__ = _refuse
    not_in = is_ = is_not = like = ilike = between = asc = desc = label = _refuse
    __hash__ = object.__hash__
