"""What a sealed attribute is in a statement.

Selected, it is opened; compared, it is looked up through its blind index; anything else
is refused while the expression is built, or by the lint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sqlalchemy import and_, or_, type_coerce
from sqlalchemy import inspect as inspect_entity
from sqlalchemy.ext.hybrid import ExprComparator
from sqlalchemy.orm import Bundle
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ClauseElement, Null

from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.ciphertext import LocatedType
from sqlalchemy_sealed.errors import (
    MissingTenantError,
    MixedFieldsError,
    NotSearchableError,
)
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.indextype import ExactTermType
from sqlalchemy_sealed.placement import Placement
from sqlalchemy_sealed.scope import is_ciphertext_only
from sqlalchemy_sealed.searching import SEARCHES, check_search, operator_name, search
from sqlalchemy_sealed.unreadable import Ciphertext

if TYPE_CHECKING:
    from sqlalchemy_sealed.attribute import EncryptedAttribute

__all__ = ["AttributeComparator", "comparator_of"]

_NULL: Final = {operators.is_, operators.is_not, operators.eq, operators.ne}


def comparator_of(attribute: EncryptedAttribute[Any], owner: Any) -> Any:
    """Return what stands for the attribute on a class or an alias of it."""
    return AttributeComparator(owner, attribute)


class AttributeComparator(ExprComparator[Any]):
    """The operators of a sealed attribute."""

    def __init__(self, owner: Any, attribute: EncryptedAttribute[Any]) -> None:
        self.cls = owner
        self.hybrid = attribute
        self._attribute = attribute

    @property
    def placement(self) -> Placement:
        """Where the attribute is on the mapped class."""
        mapper: Any = inspect_entity(self.cls).mapper
        return self._attribute.place(mapper.class_)

    @property
    def _stored(self) -> Any:
        return getattr(self.cls, self._attribute.key)

    @property
    def expression(self) -> Any:  # type: ignore[override]
        """The expression that is selected, opened."""
        placement = self.placement
        if placement.row_id is None and placement.tenant is None:
            opened = type_coerce(self._stored, placement.type.opening())
            return opened.label(self._attribute.__name__)
        parts = [getattr(self.cls, name) for name in placement.bound]
        located = type_coerce(self._stored, _located(placement))
        # Under its own name: the entity may be selected in the same statement.
        label = located.label(f"{self._attribute.__name__}_located")
        return _OpeningBundle(placement, label, parts)

    def __clause_element__(self) -> Any:
        return (
            self.expression.__clause_element__()
            if hasattr(self.expression, "__clause_element__")
            else self.expression
        )

    @property
    def property(self) -> Any:
        """The mapped attribute of the ciphertext."""
        return self._stored.property

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Build the comparison, or say why there is none."""
        del kwargs
        operand = other[0] if other else None
        if op in _NULL and other and (operand is None or isinstance(operand, Null)):
            return op(self._stored, operand)
        index = self._attribute.index
        if index is None or op not in SEARCHES:
            raise NotSearchableError(self._refusal(op))
        check_search(self.placement.name, index, op)
        if index.is_truncated and _is_attribute(operand):
            raise NotSearchableError(
                f"{self.placement.name}: a join on truncated terms would bring rows of "
                "different values together. Join on a full index"
            )
        if isinstance(operand, AttributeComparator) or _is_attribute(operand):
            return self._join(op, operand)
        found = search(self.placement.name, self._terms(), op, operand)
        return self._exact(found) if index.is_truncated else found

    def _exact(self, found: Any) -> Any:
        """Mark a condition whose entities are compared after loading."""
        mine = found.right.type
        kind = ExactTermType(mine.index, self._attribute.__name__, mine.inner)
        found.right.type = kind
        return found._annotate({"sealed_entity": inspect_entity(self.cls)})  # noqa: SLF001

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> NoReturn:
        """Refuse: no operator with the attribute on the right has a meaning."""
        del other, kwargs
        raise NotSearchableError(self._refusal(op))

    def candidates(self, *values: Any) -> Any:
        """Return the condition for rows that may have one of the values.

        With a truncated index these are more rows than have it: compare the attribute
        of what was found. With a full index they are exactly those.

        Raises:
            NotSearchableError: there is no index, or a value is ``None`` or SQL.

        """
        if self._attribute.index is None:
            raise NotSearchableError(self._refusal(operators.eq))
        op = operators.eq if len(values) == 1 else operators.in_op
        operand = values[0] if len(values) == 1 else values
        return search(self.placement.name, self._terms(), op, operand)

    def _bulk_update_tuples(self, value: Any) -> Any:
        """Return what UPDATE and INSERT assign, column by column."""
        placement = self.placement
        if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            raise NotSearchableError(
                f"{placement.name}: an SQL expression is assigned to a sealed "
                "attribute, and cannot be sealed. Assign the Python value itself"
            )
        columns = [self._stored, *(getattr(self.cls, t.key) for t in placement.terms)]
        if value is None:
            return [(column, None) for column in columns]
        if placement.bound:
            raise NotSearchableError(
                f"{placement.name}: a value is bound to its row or tenant, and one "
                "statement for many rows cannot seal it. Load the instances and assign "
                "to each, or pass a list: execute(insert(Model), [{...}, ...])"
            )
        # Coerced, so that the ORM expires the attribute instead of evaluating it.
        unsealed = UnsealedValue(value)
        return [(column, type_coerce(unsealed, column.type)) for column in columns]

    def _terms(self) -> Sequence[tuple[Any, Any]]:
        """Return each column of terms, and the condition that it is NULL."""
        known = self._attribute.expressions.get(self.cls)
        if known is None:
            columns = [getattr(self.cls, name) for name in self._attribute.terms]
            # Coerced, so that the ORM asks the database which of its objects an UPDATE
            # has matched, instead of comparing terms with what is searched.
            known = [
                (type_coerce(column, column.type), column.is_(None))
                for column in columns
            ]
            if isinstance(self.cls, type):
                self._attribute.expressions[self.cls] = known
        return known

    def _join(self, op: Any, operand: Any) -> Any:
        other = getattr(operand, "comparator", operand)
        if op not in {operators.eq, operators.ne}:
            raise NotSearchableError(self._refusal(op))
        mine, theirs = self.placement.terms, other.placement.terms
        if not theirs or mine[0].index != theirs[0].index:
            raise MixedFieldsError(
                f"{self.placement.name} and {other.placement.name} have different "
                "index keys: equal values have different terms. Give both the same "
                "context= and BlindIndex to join them"
            )
        pairs = [
            (getattr(self.cls, a.key), getattr(other.cls, b.key))
            for a, b in zip(mine, theirs, strict=False)
        ]
        first, second = pairs[0], pairs[1:]
        conditions = [op(*first)]
        for left, right in second:
            missing = or_(first[0].is_(None), first[1].is_(None))
            conditions.append(and_(missing, left == right))
        return or_(*conditions)

    def _refusal(self, op: Any) -> str:
        possible = "is_(None)" + (", ==, in_" if self._attribute.index else "")
        return (
            f"{self.placement.name} is sealed: {operator_name(op)} has no right answer "
            f"on ciphertext. Possible are {possible}"
            + (
                ""
                if self._attribute.index
                else "; equality needs index=BlindIndex(...)"
            )
            + "; anything else: load the rows and compare in Python"
        )


def _is_attribute(operand: Any) -> bool:
    return isinstance(getattr(operand, "comparator", None), AttributeComparator)


def _located(placement: Placement) -> LocatedType[Any]:
    kind = placement.type
    return LocatedType(
        kind.inner,
        context=placement.field.context,
        storage=kind.storage,
        padding=kind.padding,
        salt_epoch=kind.salt_epoch,
        accepts=kind.accepts,
        row_bound=kind.row_bound,
        tenant_scoped=kind.tenant_scoped,
        suite=kind.suite,
    )


class _OpeningBundle(Bundle[Any]):
    """The stored form with what it is bound to; a row of it is the opened value."""

    single_entity = True

    def __init__(self, placement: Placement, stored: Any, parts: Sequence[Any]) -> None:
        super().__init__(placement.name.rpartition(".")[2], stored, *parts)
        self._placement = placement

    def create_row_processor(
        self,
        query: Any,
        procs: Sequence[Callable[[Any], Any]],
        labels: Sequence[str],
    ) -> Callable[[Any], Any]:
        """Return the function that opens the value of a row."""
        del query, labels
        placement = self._placement
        stored_of, *parts = procs
        width = len(placement.row)

        def process(row: Any) -> Any:
            stored, binding = stored_of(row)
            if stored is None:
                return None
            if is_ciphertext_only():
                return Ciphertext(stored)
            values = [part(row) for part in parts]
            tenant = None
            if placement.tenant is not None:
                tenant = placement.tenant_of(values[width], MissingTenantError)
            identity = placement.row_id(values[:width]) if placement.row_id else None
            return cipher_of(binding, placement.field, tenant).open(stored, identity)

        return process
