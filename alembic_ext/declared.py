"""Declarations of sealed columns: pinned to their field, and as a row of the state."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed import BlindIndex, Blocks, Bucket, EncryptedType, Padme
from sqlalchemy_sealed.former import Legacy
from sqlalchemy_sealed.options import SUITE_NAMES

__all__ = ["field_of", "from_json", "is_like", "of_field", "pinned", "to_json"]

_PADDINGS = {kind.__name__: kind for kind in (Blocks, Bucket, Padme)}


def pinned(
    type_: EncryptedType[Any],
    context: str | None,
    index: bool | BlindIndex = True,
    legacy: Legacy = (),
) -> EncryptedType[Any]:
    """Return the same declaration with another context, as ``EncryptedType`` itself.

    A type that belongs to a column takes its field id from there; while values move
    through a column of another name, they are sealed for the one they end up in.
    What is bound to row or tenant is moved by the model, which knows what was before.
    What the column had before it was sealed is no part of it, unless it is given.
    """
    bound = type_.row_bound or type_.tenant_scoped
    return EncryptedType(
        type_.inner,
        context=type_.context if type_.pinned else context,
        suite=type_.suite,
        storage=type_.storage,
        padding=type_.padding,
        accept_leakage=type_.accept_leakage,
        salt_epoch=type_.salt_epoch,
        accepts=() if bound else type_.accepts,
        index=index
        if isinstance(index, BlindIndex)
        else type_.index
        if index
        else None,
        legacy=legacy,
    )


def of_field(
    type_: EncryptedType[Any], table: str, column: str, index: bool = True
) -> EncryptedType[Any]:
    """Return the declaration pinned to the field of a column."""
    return pinned(type_, f"{table}.{column}", index)


def to_json(type_: EncryptedType[Any], field: str | None = None) -> str:
    """Return what the database remembers of a declaration: no key, and no code.

    Args:
        type_: the declaration.
        field: what the names of table and column say: a context that says the same is
            not worth remembering.

    """
    padding: Any = type_.padding
    if padding is not None and not isinstance(padding, str):
        padding = {"kind": type(padding).__name__, **asdict(padding)}
    index: Any = None
    if type_.index is not None and isinstance(type_.index.normalize, str | None):
        options = [one.name for one in fields(type_.index) if one.init]
        index = {name: getattr(type_.index, name) for name in options}
    context = type_.context if type_.pinned and type_.context != field else None
    return json.dumps(
        {
            "inner": repr(type_.inner),
            "codec": type_.codec.id,
            "context": context,
            "suite": SUITE_NAMES[type_.suite],
            "storage": type_.storage,
            "padding": padding,
            "accept_leakage": type_.accept_leakage,
            "index": index,
        }
    )


def from_json(text: str, inner: TypeEngine[Any]) -> EncryptedType[Any]:
    """Return the declaration that the database remembers, around a type."""
    found = json.loads(text)
    padding = found["padding"]
    if isinstance(padding, dict):
        padding = _PADDINGS[padding.pop("kind")](**padding)
    index = found["index"]
    return EncryptedType(
        inner,
        context=found["context"],
        suite=found["suite"],
        storage=found["storage"],
        padding=padding,
        accept_leakage=found["accept_leakage"],
        index=None if index is None else BlindIndex(**index),
    )


def field_of(text: str, table: str, column: str) -> str:
    """Return the field id of a column whose declaration the database remembers."""
    context: str | None = json.loads(text)["context"]
    return context or f"{table}.{column}"


def is_like(text: str, type_: EncryptedType[Any]) -> bool:
    """Tell whether a declaration is the one that the database remembers, but for names.

    A row that an older version has written may lack something; then they differ.
    """
    former, present = json.loads(text), json.loads(to_json(type_))
    keys = ("inner", "suite", "storage", "padding", "index")
    return all(former.get(key) == present[key] for key in keys)
