"""The sealed attribute: a hybrid property over ciphertext and index terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, overload

from sqlalchemy import inspect as inspect_entity
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapper, class_mapper, mapped_column
from sqlalchemy.orm.attributes import instance_state, set_attribute

from sqlalchemy_sealed.bulk import bulk_value
from sqlalchemy_sealed.ciphertext import CiphertextType
from sqlalchemy_sealed.errors import DeclarationError, EncodingError
from sqlalchemy_sealed.expression import comparator_of
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.indexer import IndexField, IndexPart
from sqlalchemy_sealed.indextype import IndexTermType
from sqlalchemy_sealed.mapping import watch_class
from sqlalchemy_sealed.mutation import MutableClass, track
from sqlalchemy_sealed.opening import AttributeOpener
from sqlalchemy_sealed.placement import Placement, SealedAttribute, compounds_of, place
from sqlalchemy_sealed.scope import BLOCKS, is_ciphertext_only
from sqlalchemy_sealed.unreadable import refuse_marker

__all__ = ["Declaration", "EncryptedAttribute", "add_column"]

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.hybrid import _HybridClassLevelAccessor
    from sqlalchemy.sql.elements import SQLCoreOperations

_T = TypeVar("_T")


if TYPE_CHECKING:

    class ClassLevelAttribute(_HybridClassLevelAccessor[_T]):
        """What type checkers see of the attribute on the class."""

        def candidates(self, *values: _T) -> ColumnElement[bool]:
            """Return the condition for rows that may have one of the values."""


@dataclass(frozen=True)
class Declaration:
    """What :func:`encrypted` was given."""

    type: CiphertextType[Any]
    column: str | None
    index: BlindIndex | None
    tenant: str | None
    nullable: bool
    deferred: bool
    on_error: Literal["raise", "mark"]
    mutable: MutableClass | None


class EncryptedAttribute(SealedAttribute, hybrid_property[_T]):
    """A sealed attribute; made by :func:`encrypted`."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._placements: dict[type, Placement] = {}
        self._opener = AttributeOpener(self)
        #: Expressions of the index terms by class, for the comparator.
        self.expressions: dict[type, Any] = {}
        #: The mapped attributes of the index terms, the one that is searched first.
        self.terms: tuple[str, ...] = ()
        #: The mapped attribute of the ciphertext.
        self.key = ""

        def fget(instance: Any) -> Any:
            return self.__get__(instance, type(instance))

        super().__init__(fget)
        # SQLAlchemy 2.1 calls it for every mapping of a bulk INSERT or UPDATE.
        self.bulk_dml_setter = cast("Any", self.expand_mapping)

    @property
    def on_error(self) -> Literal["raise", "mark"]:
        """What reading does with a value that cannot be opened."""
        return self._declaration.on_error

    @property
    def columns(self) -> tuple[str, ...]:
        """The mapped attributes of the ciphertext and of its index terms."""
        return (self.key, *self.terms)

    @property
    def index(self) -> BlindIndex | None:
        """The blind index, if there is one."""
        return self._declaration.index

    def __set_name__(self, owner: type, name: str) -> None:
        if self.key:
            raise DeclarationError(
                f"{owner.__name__}.{name}: one encrypted() stands for two attributes; "
                "declare each with a call of its own"
            )
        self.__name__ = name
        declaration = self._declaration
        self.key = self.key_of(name)
        self._add(owner, self.key, declaration.type, nullable=declaration.nullable)
        if declaration.index is not None:
            self._add_terms(owner, name, declaration.index)
        watch_class(owner)

    def _add_terms(self, owner: type, name: str, index: BlindIndex) -> None:
        sealed = self._declaration.type
        part = IndexPart(sealed.codec, index.normalizer)
        partial = index.is_truncated or index.second_version is not None
        columns = []
        for version in index.versions:
            declared = IndexField(
                context=sealed.context or "",
                name=index.name,
                parts=(part,),
                bits=index.bits,
                version=version,
                tenant_scoped=sealed.tenant_scoped,
            )
            source = None if sealed.pinned else self.key
            columns.append(column := index.column_name(name, version))
            options = {"unique": True} if index.unique else {"index": True}
            kind = IndexTermType(declared, source, sealed.inner, partial)
            self._add(owner, column, kind, **options)
        self.terms = tuple(columns)

    def _add(self, owner: type, key: str, kind: Any, **options: Any) -> None:
        add_column(owner, key, kind, deferred=self._declaration.deferred, **options)

    @property
    def declaration(self) -> Declaration:
        """What :func:`encrypted` was given."""
        return self._declaration

    def key_of(self, name: str) -> str:
        """Return the mapped attribute of the ciphertext, under a name if need be."""
        return self.key or self._declaration.column or f"{name}_encrypted"

    def place(self, owner: type) -> Placement:
        """Resolve the attribute on a mapped class."""
        known = self._placements.get(owner)
        if known is None:
            mapper: Mapper[Any] = class_mapper(owner)
            declared = self._declaration
            known = place(
                mapper,
                self.__name__,
                self.key,
                declared.tenant,
                self.terms,
                declared.mutable,
            )
            self._placements[owner] = known
        return known

    def expand_mapping(self, owner: Any, mapping: Any, value: Any) -> None:
        """Add the columns of the attribute to one mapping of a bulk statement."""
        mapper = inspect_entity(owner).mapper
        placement = self.place(mapper.class_)
        unsealed = None if value is None else bulk_value(placement, mapping, value)
        for name in (self.key, *self.terms):
            mapping[name] = unsealed
        for compound in compounds_of(mapper, self.__name__):
            compound.expand(mapper.class_, mapping)

    # -- the class level: hybrid_property makes a proxied attribute of it ------------

    @property
    def _expr_comparator(self) -> Any:
        known = self.__dict__.get("_comparator")
        if known is None:
            known = self._get_comparator(lambda owner: comparator_of(self, owner))
            self.__dict__["_comparator"] = known
        return known

    # -- the instance level ----------------------------------------------------------

    @overload
    def __get__(self, instance: Any, owner: None) -> Self: ...
    @overload
    def __get__(
        self, instance: None, owner: type[object]
    ) -> ClassLevelAttribute[_T]: ...
    @overload
    def __get__(self, instance: object, owner: type[object]) -> _T: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self if owner is None else self._expr_comparator(owner)
        values = instance.__dict__
        key = self.key
        stored = values[key] if key in values else getattr(instance, key)
        if stored is None:
            return None
        if BLOCKS[0] and is_ciphertext_only():
            return self._opener.unopened(stored)
        opened = values.get("_sealed_opened")
        # No local variable for the entry: crash reporters collect them.
        if opened is not None and key in opened and opened[key][0] is stored:
            return opened[key][1]
        return self._opener.open(instance, stored)

    def __set__(self, instance: object, value: SQLCoreOperations[_T] | _T) -> None:
        state = instance_state(instance)
        validator: Any = state.mapper.validators.get(self.__name__)
        if validator is not None:
            value = validator[0](instance, self.__name__, value)
        key = self.key
        name = f"{type(instance).__name__}.{self.__name__}"
        refuse_marker(value, name, EncodingError)
        if value is None:
            for name in (key, *self.terms):
                set_attribute(instance, name, None)
            return
        if self._opener.holds(instance, value):
            return
        mutable = self._declaration.mutable
        if mutable is not None:
            value = track(instance, key, mutable, value)
        unsealed = UnsealedValue(value)
        for name in (key, *self.terms):
            set_attribute(instance, name, unsealed)

    def __delete__(self, instance: Any) -> None:
        self.__set__(instance, cast("_T", None))


def add_column(owner: type, key: str, kind: Any, **options: Any) -> None:
    """Add a column to the body of a declarative class.

    Raises:
        DeclarationError: the class declares it already.

    """
    if key in vars(owner) or key in vars(owner).get("__annotations__", {}):
        raise DeclarationError(
            f"{owner.__name__}.{key} is declared, and encrypted() makes it: leave it "
            "out, or name another column with column="
        )
    setattr(owner, key, mapped_column(key, kind, **options))
