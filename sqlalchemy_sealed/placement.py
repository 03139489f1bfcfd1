"""A sealed attribute on one mapped class: its columns, its row id, its tenant."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_dict
from sqlalchemy.orm.base import LoaderCallableStatus

from sqlalchemy_sealed.ciphertext import CiphertextType
from sqlalchemy_sealed.columns import TERMS
from sqlalchemy_sealed.errors import EncodingError, MissingTenantError, SealedError
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.indexer import IndexField
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.mutation import MutableClass, watch_changes
from sqlalchemy_sealed.rowid import row_id_of
from sqlalchemy_sealed.scope import current_tenant, tenant_id

__all__ = [
    "BOUND",
    "TENANT",
    "CompoundTerm",
    "Placement",
    "SealedAttribute",
    "TermColumn",
    "attributes_of",
    "compounds_of",
    "place",
]

_NOTHING: Final = object()
#: Entries of ``Column.info``: names of the columns that values are bound to, and of the
#: one with the tenant.
BOUND: Final = "sqlalchemy_sealed.bound"
TENANT: Final = "sqlalchemy_sealed.tenant"


@dataclass(frozen=True, slots=True)
class TermColumn:
    """A mapped column of index terms."""

    key: str
    index: IndexField


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the values of an attribute are, for instances of one class.

    Attributes:
        name: the attribute, as messages name it: ``Patient.email``.
        key: the mapped attribute that holds the stored form.
        type: the type of its column.
        field: what the column declares.
        terms: its index columns.
        tenant: the mapped attribute with the tenant, if values are tenant-scoped.
        row: the mapped attributes of the primary key, if values are bound to the row.
        row_id: their values to the row id.
        mutable: the class of values that change in place.

    """

    name: str
    key: str
    column: Column[Any]
    type: CiphertextType[Any]
    field: Field
    terms: tuple[TermColumn, ...]
    tenant: str | None
    row: tuple[str, ...]
    row_id: Callable[[Sequence[Any]], bytes] | None
    mutable: MutableClass | None

    @property
    def bound(self) -> tuple[str, ...]:
        """The mapped attributes that values are bound to."""
        return self.row if self.tenant is None else (*self.row, self.tenant)

    def stored_row(self, state: InstanceState[Any]) -> bytes | None:
        """Return the row id that the stored form of an instance was sealed with."""
        if self.row_id is None:
            return None
        return self.row_id([_committed(state, name) for name in self.row])

    def stored_tenant(self, state: InstanceState[Any]) -> str | None:
        """Return the tenant that the stored form of an instance was sealed for."""
        if self.tenant is None:
            return None
        return self.tenant_of(_committed(state, self.tenant), MissingTenantError)

    def present_row(self, instance: Any) -> bytes | None:
        """Return the row id that the next stored form is sealed with."""
        if self.row_id is None:
            return None
        values = [getattr(instance, name) for name in self.row]
        if None in values:
            raise EncodingError(
                f'{self.name}: bind="row" needs the primary key before the row is '
                "written, and the database makes this one. Give it a Python default "
                "(default=uuid4) or a Sequence, or bind to the field"
            )
        return self.row_id(values)

    def present_tenant(self, instance: Any) -> str | None:
        """Return the tenant that the next stored form is sealed for."""
        if self.tenant is None:
            return None
        return self.tenant_of(getattr(instance, self.tenant))

    def tenant_of(
        self, value: Any, error: Callable[[str], SealedError] = EncodingError
    ) -> str:
        """Return the tenant id that a row names, or the present scope."""
        found = current_tenant() if value is None else tenant_id(value)
        if found is None:
            raise error(
                f"{self.name}: the row names no tenant. Set {self.tenant!r}, or work "
                "inside `with tenant(name):`"
            )
        return found


def _committed(state: InstanceState[Any], name: str) -> Any:
    found = state.committed_state.get(name, _NOTHING)
    if found is _NOTHING or isinstance(found, LoaderCallableStatus):
        values = instance_dict(state.obj())
        found = values[name] if name in values else getattr(state.obj(), name)
    return found


def place(
    mapper: Mapper[Any],
    name: str,
    key: str,
    tenant: str | None,
    terms: Sequence[str],
    mutable: MutableClass | None = None,
) -> Placement:
    """Resolve an attribute on a mapped class, whose tables are complete by now."""
    column = mapper.attrs[key].columns[0]
    declared = column.type
    assert isinstance(declared, CiphertextType)  # noqa: S101 - made by the descriptor
    if tenant is not None:
        # Without the former tenant a changed row could not be sealed anew.
        mapper.class_manager[tenant].impl.active_history = True
    row: tuple[str, ...] = ()
    row_id = None
    if declared.row_bound:
        primary = tuple(column.table.primary_key.columns)
        row = tuple(mapper.get_property_by_column(part).key for part in primary)
        row_id = row_id_of(primary)
    bound = row if tenant is None else (*row, tenant)
    column.info[BOUND] = tuple(mapper.attrs[one].columns[0].name for one in bound)
    if tenant is not None:
        column.info[TENANT] = mapper.attrs[tenant].columns[0].name
    names = [mapper.attrs[one].columns[0].name for one in terms]
    # A compound index has added its own.
    column.info[TERMS] = tuple(dict.fromkeys((*names, *column.info.get(TERMS, ()))))
    if mutable is not None:
        watch_changes(mapper.class_, key)
    found = []
    for term in terms:
        kind = mapper.attrs[term].columns[0].type
        assert isinstance(kind, IndexTermType)  # noqa: S101 - made by the descriptor
        found.append(TermColumn(term, kind.index))
    return Placement(
        name=f"{mapper.class_.__name__}.{name}",
        key=key,
        column=column,
        type=declared,
        field=declared.field(),
        terms=tuple(found),
        tenant=tenant,
        row=row,
        row_id=row_id,
        mutable=mutable,
    )


class SealedAttribute:
    """Base of the descriptor, for the rooms below it."""

    __name__: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The mapped attributes of the ciphertext and of its index terms."""
        raise NotImplementedError

    def place(self, owner: type) -> Placement:
        """Resolve the attribute on a mapped class."""
        raise NotImplementedError

    def expand_mapping(
        self, owner: Any, mapping: MutableMapping[str, Any], value: Any
    ) -> None:
        """Add the columns of the attribute to one mapping of a bulk statement."""
        raise NotImplementedError


class CompoundTerm:
    """Base of an index over several attributes, for the rooms below it."""

    __name__: str
    names: tuple[str, ...]
    terms: tuple[str, ...]
    index: BlindIndex

    def expand(self, owner: type, mapping: MutableMapping[str, Any]) -> None:
        """Add the terms to a mapping of a bulk statement, once it has all values."""
        raise NotImplementedError


def compounds_of(mapper: Mapper[Any], name: str) -> tuple[CompoundTerm, ...]:
    """Return the compound indexes that an attribute is part of, subclasses' too."""
    classes = {c: None for m in mapper.self_and_descendants for c in m.class_.__mro__}
    found = [value for one in classes for value in vars(one).values()]
    compounds = [one for one in found if isinstance(one, CompoundTerm)]
    return tuple(one for one in compounds if name in one.names)


def attributes_of(owner: type) -> tuple[SealedAttribute, ...]:
    """Return the sealed attributes of a class and its bases."""
    found: dict[str, SealedAttribute] = {}
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, SealedAttribute):
                found[name] = value
            else:
                found.pop(name, None)
    return tuple(found.values())
