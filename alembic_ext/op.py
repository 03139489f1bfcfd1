"""``from alembic_ext import op``: Alembic's ``op``, with ours known to type checkers.

At run time it is what ``alembic.op`` has; what type checkers see is in ``op.pyi``.
"""

from __future__ import annotations

from typing import Any

from alembic import op

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    """Return what ``alembic.op`` has of this name."""
    return getattr(op, name)


def __dir__() -> list[str]:
    """Return what ``alembic.op`` has."""
    return dir(op)
