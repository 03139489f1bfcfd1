"""The blind index beside ``encrypted()``, declared as a revision can say it.

An attribute has its index in columns of its own; a column of ``EncryptedType`` names it
in ``index=``. The terms are the same, so that one operation serves both.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alembic_ext.declared import pinned
from sqlalchemy_sealed import BlindIndex, EncryptedType
from sqlalchemy_sealed.ciphertext import CiphertextType
from sqlalchemy_sealed.declared import few_values
from sqlalchemy_sealed.indexer import IndexField
from sqlalchemy_sealed.indextype import IndexTermType

__all__ = ["with_index"]


def with_index(column: sa.Column[Any], type_: EncryptedType[Any]) -> EncryptedType[Any]:
    """Return the type of a column with the index that its attribute has, if any.

    What is bound to its row or tenant stays as it is: the model fills it. So does what
    has an index with a normaliser of the application, which a revision cannot name.
    """
    if not isinstance(type_, CiphertextType):
        return type_
    if type_.row_bound or type_.tenant_scoped:
        return type_
    index = _index(_terms(column, type_), type_)
    if index is None:
        return type_
    declared = pinned(type_, None, index=index, legacy=type_.legacy)
    # It belongs to the column, as the one that it stands for does.
    declared.context = type_.context
    return declared


def _terms(
    column: sa.Column[Any], type_: EncryptedType[Any]
) -> dict[int, tuple[sa.Column[Any], IndexField]]:
    """Return the columns of terms by the version of the index key."""
    context = type_.field().context
    found = {}
    for one in column.table.columns:
        if isinstance(one.type, IndexTermType):
            field = one.type.index
            if field.context == context and len(field.parts) == 1:
                found[field.version] = (one, field)
    return found


def _index(
    terms: dict[int, tuple[sa.Column[Any], IndexField]], type_: EncryptedType[Any]
) -> BlindIndex | None:
    if not terms:
        return None
    # The one that is searched was declared first.
    version, (first, declared) = next(iter(terms.items()))
    normalizer = declared.parts[0].normalizer
    suffix = "" if version == 1 else f"_v{version}"
    index = BlindIndex(
        bits=declared.bits,
        normalize=None if normalizer is None else normalizer.id,
        unique=bool(first.unique),
        accept_leakage="see the model" if few_values(type_.inner) else None,
        name=declared.name,
        column=first.name.removesuffix(suffix),
        version=version,
        second_version=next((one for one in terms if one != version), None),
    )
    return index if index.normalizer == normalizer else None
