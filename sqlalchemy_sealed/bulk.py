"""Bulk INSERT and UPDATE: mappings instead of instances."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.placement import Placement

__all__ = ["bulk_value"]


def bulk_value(
    placement: Placement, mapping: MutableMapping[str, Any], value: Any
) -> UnsealedValue:
    """Return what is bound for a value: the value with what it is bound to.

    A primary key that a Python default makes is added to the mapping.

    Raises:
        EncodingError: the mapping lacks the primary key or the tenant.

    """
    tenant = None
    if placement.tenant is not None:
        tenant = placement.tenant_of(mapping.get(placement.tenant))
    if placement.row_id is None:
        return UnsealedValue(value, None, tenant)
    for name, column in zip(
        placement.row, placement.column.table.primary_key.columns, strict=True
    ):
        default: Any = column.default
        if mapping.get(name) is None and default is not None and default.is_callable:
            mapping[name] = default.arg(None)
        if mapping.get(name) is None:
            raise EncodingError(
                f'{placement.name}: bind="row" needs the primary key in every mapping '
                f"of a bulk statement; {name!r} is missing. Put it there, give it a "
                "Python default (default=uuid4), or add instances to a session"
            )
    row = placement.row_id([mapping[name] for name in placement.row])
    return UnsealedValue(value, row, tenant)
