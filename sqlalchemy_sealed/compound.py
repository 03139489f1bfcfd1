"""``compound_index()``: rows found by several sealed attributes together.

Its term is computed from all of the values at once, so it shows less than an index on
each: two rows share it when they agree in every attribute. It stands beside them in the
body of a declarative class::

    class Patient(Base):
        name = encrypted(String)
        born = encrypted(Date)
        name_and_born = compound_index("name", "born", normalize=("casefold", None))

    select(Patient).where(Patient.name_and_born == ("Ada Lovelace", date(1815, 12, 10)))
"""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping, Sequence
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_attribute

from sqlalchemy_sealed.attribute import EncryptedAttribute, add_column
from sqlalchemy_sealed.columns import TERMS
from sqlalchemy_sealed.compoundsearch import CompoundComparator
from sqlalchemy_sealed.declared import check_index
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    EncodingError,
)
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.indexer import IndexField, IndexPart, indexer_of
from sqlalchemy_sealed.indextype import IndexTermType, preparation
from sqlalchemy_sealed.normalize import Normalizer, normalizer_of
from sqlalchemy_sealed.placement import CompoundTerm, Placement
from sqlalchemy_sealed.scope import Binding, binding_of
from sqlalchemy_sealed.together import binding_of_instance
from sqlalchemy_sealed.unreadable import Ciphertext, Unreadable, refuse_marker

__all__ = ["CompoundIndex", "compound_index"]

_MOST_PARTS = 255


def compound_index(
    *attributes: str,
    index: BlindIndex | None = None,
    normalize: Sequence[str | Normalizer | None] | None = None,
) -> CompoundIndex:
    """Declare a blind index over several attributes made by ``encrypted()``.

    Read, it is the tuple of their values; compared (``==``, ``in_``), it takes such
    tuples. ``None`` in a tuple equals ``None``; rows where all of them are ``None``
    have no term and are not found.

    Args:
        attributes: two or more names, declared in the same class or its bases.
        index: bits, uniqueness, names and versions; ``BlindIndex()`` by default.
        normalize: what counts as equal, one for each attribute.

    Raises:
        DeclarationError: options do not go together.

    """
    declared = BlindIndex() if index is None else index
    kinds = [None] * len(attributes) if normalize is None else list(normalize)
    if not 1 < len(set(attributes)) == len(attributes) <= _MOST_PARTS:
        raise DeclarationError(
            f"compound_index() needs 2 to {_MOST_PARTS} different attribute names"
        )
    if declared.normalize is not None or len(kinds) != len(attributes):
        raise DeclarationError(
            "the normalisers of compound_index() are given one for each attribute: "
            'compound_index("name", "born", normalize=("casefold", None))'
        )
    return CompoundIndex(
        attributes, declared, tuple(normalizer_of(kind) for kind in kinds)
    )


class CompoundIndex(CompoundTerm):
    """A blind index over several sealed attributes; made by :func:`compound_index`."""

    def __init__(
        self,
        names: tuple[str, ...],
        index: BlindIndex,
        normalizers: tuple[Normalizer | None, ...],
    ) -> None:
        self.names = names
        self.index = index
        self.terms: tuple[str, ...] = ()
        self._normalizers = normalizers
        self.__name__ = ""
        self._owner: type = type(self)

    def __set_name__(self, owner: type, name: str) -> None:
        if self.__name__:
            raise DeclarationError(
                f"{owner.__name__}.{name}: one compound_index() stands for two "
                "attributes; declare each with a call of its own"
            )
        self.__name__ = name
        self._owner = owner
        parts = [_part(owner, name, one) for one in self.names]
        if len({part.declaration.tenant for part in parts}) > 1:
            raise DeclarationError(
                f"{owner.__name__}.{name}: the attributes of a compound index have the "
                "same tenant="
            )
        self.terms = tuple(
            self.index.column_name(name, version) for version in self.index.versions
        )
        for term, version in zip(self.terms, self.index.versions, strict=True):
            options = {"unique": True} if self.index.unique else {"index": True}
            add_column(owner, term, self._type(parts, version), **options)
        for identifier in ("before_insert", "before_update"):
            # First, while the values still open where they were.
            event.listen(owner, identifier, self._flushed, propagate=True, insert=True)
        event.listen(owner, "mapper_configured", self._configured, propagate=True)

    def _type(
        self, parts: Sequence[EncryptedAttribute[Any]], version: int
    ) -> IndexTermType:
        types = [part.declaration.type for part in parts]
        encoded = []
        for kind, normalizer in zip(types, self._normalizers, strict=True):
            check_index(
                # Together they have more values than each.
                BlindIndex(normalize=normalizer, accept_leakage="one of several"),
                kind.inner,
            )
            encoded.append(IndexPart(kind.codec, normalizer))
        named = zip(types, parts, self.names, strict=True)
        return IndexTermType(
            IndexField(
                context="",  # the columns tell, once they are in a table
                name=self.index.name,
                parts=tuple(encoded),
                bits=self.index.bits,
                version=version,
                tenant_scoped=types[0].tenant_scoped,
            ),
            tuple(
                (kind.context if kind.pinned else None, part.key_of(name))
                for kind, part, name in named
            ),
            tuple(kind.inner for kind in types),
            is_partial=True,
        )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return CompoundComparator(self, owner)
        values = tuple(getattr(instance, name) for name in self.names)
        self._check(instance, values)
        return values

    def __set__(self, instance: Any, value: Any) -> None:
        raise EncodingError(
            f"{type(instance).__name__}.{self.__name__} is an index; assign to "
            + ", ".join(self.names)
        )

    def placements(self, owner: type) -> list[Placement]:
        """Resolve the attributes on a mapped class."""
        found = [inspect.getattr_static(owner, name) for name in self.names]
        return [attribute.place(owner) for attribute in found]

    def field(self, mapper: Mapper[Any], term: str) -> IndexField:
        """Return what one of the columns of terms declares."""
        kind = mapper.attrs[term].columns[0].type
        assert isinstance(kind, IndexTermType)  # noqa: S101 - made here
        return kind.index

    def expand(self, owner: type, mapping: MutableMapping[str, Any]) -> None:
        """Add the terms to a mapping of a bulk statement, once it has all values.

        Raises:
            EncodingError: the mapping has some of the values and not the others.

        """
        if not issubclass(owner, self._owner):
            raise EncodingError(
                f"{self._owner.__name__}.{self.__name__}: its terms are computed from "
                f"attributes of {owner.__name__}, and a bulk statement on the latter "
                "does not know the rest of the row. Load the instances and change them"
            )
        placements = self.placements(owner)
        keys = [placement.key for placement in placements]
        if not any(key in mapping for key in keys):
            return
        for name, key in zip(self.names, keys, strict=True):
            if key not in mapping and name not in mapping:
                raise EncodingError(
                    f"{owner.__name__}.{self.__name__}: a bulk statement with one of "
                    f"{', '.join(self.names)} needs them all in every mapping (None "
                    f"for no value); {name!r} is missing"
                )
        if not all(key in mapping for key in keys):
            return  # the attributes that are missing are expanded next
        holders = [mapping[key] for key in keys]
        given = [one for one in holders if one is not None]
        if not all(isinstance(one, UnsealedValue) for one in given):
            raise EncodingError(
                f"{owner.__name__}.{self.__name__}: the terms are computed from "
                "values; pass the attributes and not their stored forms"
            )
        values = tuple(None if one is None else one.value for one in holders)
        for term in self.terms:
            mapping[term] = (
                UnsealedValue(values, None, given[0].tenant) if given else None
            )

    def _configured(self, mapper: Mapper[Any], owner: type) -> None:
        names = [mapper.attrs[term].columns[0].name for term in self.terms]
        for placement in self.placements(owner):
            info = placement.column.info
            info[TERMS] = tuple(dict.fromkeys((*info.get(TERMS, ()), *names)))

    def _flushed(
        self, mapper: Mapper[Any], connection: Connection, target: Any
    ) -> None:
        """Compute the terms of a row, if one of its values is written."""
        placements = self.placements(mapper.class_)
        watched = {name for one in placements for name in (one.key, *one.bound)}
        if not watched & instance_state(target).committed_state.keys():
            return
        values = tuple(getattr(target, name) for name in self.names)
        for value, placement in zip(values, placements, strict=True):
            refuse_marker(value, placement.name, EncodingError)
        binding = binding_of(connection.dialect)
        for term in self.terms:
            field = self.field(mapper, term)
            computed = self._term(field, binding, placements[0], target, values)
            set_attribute(target, term, computed)

    def _term(
        self,
        field: IndexField,
        binding: Binding,
        placement: Placement,
        target: Any,
        values: tuple[Any, ...],
    ) -> bytes | None:
        if all(value is None for value in values):
            return None
        inner = tuple(one.type.inner for one in self.placements(type(target)))
        prepare = preparation(inner, binding.dialect, field.context)
        plain = values if prepare is None else prepare(values)
        return indexer_of(binding, field).term(plain, placement.present_tenant(target))

    def _check(self, instance: Any, values: tuple[Any, ...]) -> None:
        """Compare the values with the term, where its index key is certain."""
        state = instance_state(instance)
        term = instance.__dict__.get(self.terms[0])
        unread = any(isinstance(value, Unreadable | Ciphertext) for value in values)
        if type(term) is not bytes or state.modified or unread:
            return
        placements = self.placements(type(instance))
        stored = (instance.__dict__.get(one.key) for one in placements)
        binding, certain = binding_of_instance(
            state, next(one for one in stored if one is not None), placements[0]
        )
        field = self.field(state.mapper, self.terms[0])
        if certain and (
            self._term(field, binding, placements[0], instance, values) != term
        ):
            raise AuthenticationError(
                f"{field.context}: the values open, but their index term in "
                f"{self.terms[0]!r} is not theirs. Rows with exchanged terms are found "
                "under the wrong values: assign the values anew"
            )


def _part(owner: type, name: str, attribute: str) -> EncryptedAttribute[Any]:
    found = inspect.getattr_static(owner, attribute, None)
    if not isinstance(found, EncryptedAttribute):
        raise DeclarationError(
            f"{owner.__name__}.{name}: {attribute!r} is no attribute made by "
            "encrypted() in this class or its bases"
        )
    return found
