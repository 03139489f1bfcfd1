"""From one declaration of a sealed column to another, and back."""

from __future__ import annotations

import json
from typing import Any

from alembic_ext.declared import to_json
from sqlalchemy_sealed import EncryptedType, SuiteId

__all__ = [
    "accepting",
    "backwards",
    "bare",
    "is_encoded_otherwise",
    "looks_otherwise",
    "stored_otherwise",
]


def bare(type_: EncryptedType[Any]) -> EncryptedType[Any]:
    """Return what ``accepts=`` may list of a declaration: how its values look."""
    return EncryptedType(
        type_.inner,
        suite=type_.suite,
        storage=type_.storage,
        padding=type_.padding,
        accept_leakage=type_.accept_leakage,
    )


def looks_otherwise(former: EncryptedType[Any], type_: EncryptedType[Any]) -> bool:
    """Tell whether values of a former declaration need ``accepts=`` to be read."""
    return _looks(former) != _looks(type_)


def _looks(type_: EncryptedType[Any]) -> tuple[SuiteId, bool]:
    return type_.suite, type_.is_padded


def is_encoded_otherwise(text: str, type_: EncryptedType[Any]) -> bool:
    """Tell whether the codec is another one than the database remembers, if it does."""
    codec = json.loads(text).get("codec")
    return codec is not None and codec != json.loads(to_json(type_))["codec"]


def accepting(
    type_: EncryptedType[Any], former: EncryptedType[Any]
) -> EncryptedType[Any]:
    """Return a declaration that reads the values of a former one, too."""
    others = [one for one in type_.accepts if looks_otherwise(one, former)]
    return _in_place_of(type_, type_, [bare(former), *others])


def backwards(type_: EncryptedType[Any]) -> EncryptedType[Any]:
    """Return the declaration that it came from, which reads this one's values.

    One that accepts nothing came from itself, under another key.
    """
    if not type_.accepts:
        return type_
    former, *others = type_.accepts
    return _in_place_of(type_, former, [bare(type_), *others])


def _in_place_of(
    type_: EncryptedType[Any],
    looks: EncryptedType[Any],
    accepts: list[EncryptedType[Any]],
) -> EncryptedType[Any]:
    deterministic = looks.suite is SuiteId.AES_256_SIV
    return EncryptedType(
        type_.inner,
        context=type_.context if type_.pinned else None,
        suite=looks.suite,
        storage=looks.storage,
        padding=looks.padding,
        accept_leakage=looks.accept_leakage,
        salt_epoch=type_.salt_epoch,
        accepts=accepts,
        index=None if deterministic else type_.index,
    )


def stored_otherwise(type_: EncryptedType[Any]) -> EncryptedType[Any]:
    """Return the declaration with the other ``storage=``."""
    return EncryptedType(
        type_.inner,
        context=type_.context if type_.pinned else None,
        suite=type_.suite,
        storage="binary" if type_.storage == "text" else "text",
        padding=type_.padding,
        accept_leakage=type_.accept_leakage,
        salt_epoch=type_.salt_epoch,
        index=type_.index,
    )
