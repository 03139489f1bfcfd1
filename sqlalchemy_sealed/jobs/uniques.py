"""What makes columns of a table unique."""

from __future__ import annotations

from typing import Any

__all__ = ["uniques"]


def uniques(inspector: Any, table: str, schema: str | None) -> list[Any]:
    """Return the unique constraints and indexes of a table, as they are reflected."""
    return [
        *inspector.get_unique_constraints(table, schema=schema),
        *(i for i in inspector.get_indexes(table, schema=schema) if i["unique"]),
    ]
