"""Calling what may fail without keeping what it says: that may hold a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["quietly"]


def quietly(function: Callable[..., Any], *arguments: Any) -> tuple[Any, bool]:
    """Call a function; return its result, or ``None``, and whether it has failed."""
    try:
        return function(*arguments), False
    except Exception:  # noqa: BLE001 - its text and attributes may hold the value
        return None, True
