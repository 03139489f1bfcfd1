"""What a declaration says of values that are not sealed: which, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.plaintext import has_text
from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.legacy.format import LegacyFormat
from sqlalchemy_sealed.policy import PlaintextPolicy

__all__ = ["Legacy", "check_former", "legacy_of"]

#: A format that the column had before, or several.
Legacy: TypeAlias = LegacyFormat[Any] | Sequence[LegacyFormat[Any]] | None


def legacy_of(given: Legacy) -> tuple[LegacyFormat[Any], ...]:
    """Return the formats that a declaration names.

    Raises:
        DeclarationError: one of them is something else.

    """
    formats = (given,) if isinstance(given, LegacyFormat) else tuple(given or ())
    for one in formats:
        if not isinstance(one, LegacyFormat):
            raise DeclarationError(
                "legacy= takes a format of sqlalchemy_sealed.legacy, such as "
                f"SqlalchemyUtilsAes(key), not a {type(one).__name__}"
            )
    return formats


def check_former(
    legacy: Sequence[LegacyFormat[Any]],
    policy: PlaintextPolicy | None,
    codec: Codec,
    searched: bool,
    inner: object = None,
) -> None:
    """Refuse what could take one kind of value for another.

    Args:
        legacy: formats of the column.
        policy: what becomes of plaintext.
        codec: of its values.
        searched: whether values are found by keys: an index, a deterministic suite.
        inner: the SQL type of the values.

    Raises:
        DeclarationError: with the reason.

    """
    if policy is None:
        return
    if getattr(inner, "values_callable", None) is not None:
        raise DeclarationError(
            "plaintext= and Enum(values_callable=...) exclude each other: the text of "
            "one member may be the name of another. Move it to another column: sealed "
            "encrypt"
        )
    if not has_text(codec):
        raise DeclarationError(
            f"plaintext= is for values that have a text; a "
            f"{type(codec).__name__.removesuffix('Codec')} value could be mistaken for "
            "an envelope, or has none. Move it to another column: sealed encrypt"
        )
    for one in legacy:
        if not one.is_authenticated:
            raise DeclarationError(
                f"plaintext= and legacy={type(one).__name__} exclude each other: "
                "nothing authenticates that format, and a plaintext could pass for it"
            )
    if searched and policy.mode != "read":
        raise DeclarationError(
            f'plaintext="{policy.mode}" and a searched column exclude each other: '
            "what is not sealed has no term and is not found. Migrate first"
        )
