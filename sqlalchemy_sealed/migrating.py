"""A migration that does not know sealed columns must not touch them.

Alembic writes and runs its own operations for a type that it does not know, and they
store plaintext in it, or drop what it comes from.
"""

from __future__ import annotations

import sys

from sqlalchemy_sealed.errors import ConfigurationError

__all__ = ["check_migration"]


def check_migration() -> None:
    """Refuse a sealed type in an ``env.py`` that has not imported ``alembic_ext``.

    Raises:
        ConfigurationError: saying where to write it.

    """
    context = sys.modules.get("alembic.context")
    if "alembic_ext" in sys.modules or getattr(context, "_proxy", None) is None:
        return
    raise ConfigurationError(
        "Alembic meets a sealed column, and does not know what it is: it would store "
        "plaintext in it. Add this line to env.py: import alembic_ext"
    )
