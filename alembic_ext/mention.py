"""Whether a piece of SQL speaks of a column."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["mentions", "without_strings"]

_STRINGS: Final = re.compile(r"'(?:[^']|'')*'")


def without_strings(sql: str) -> str:
    """Return SQL with its string literals emptied."""
    return _STRINGS.sub("''", sql)


def mentions(sql: str, column: str) -> bool:
    """Tell whether SQL has the name of a column, outside of string literals."""
    name = re.compile(rf"(?<!\w){re.escape(column)}(?!\w)", re.IGNORECASE)
    return name.search(without_strings(sql)) is not None
