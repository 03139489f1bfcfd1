"""The synchronous driver beside an asynchronous one: jobs need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, create_engine

from sqlalchemy_sealed.engine import bind_keyring
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.scope import binding_of

__all__ = ["synchronous"]

_BESIDE: Final = {
    "asyncpg": "postgresql+psycopg",
    "psycopg_async": "postgresql+psycopg",
    "aiosqlite": "sqlite",
    "aiomysql": "mysql+pymysql",
    "asyncmy": "mysql+pymysql",
}


@contextmanager
def synchronous(engine: Any, keyring: Keyring | None = None) -> Iterator[Engine]:
    """Lend a synchronous engine to the database of any engine.

    Args:
        engine: an ``Engine``, which is lent itself, or an ``AsyncEngine``.
        keyring: for the engine that is lent; that of ``engine`` otherwise, if it has
            one.

    Raises:
        ConfigurationError: no synchronous driver is known beside the engine's.

    """
    root: Engine = getattr(engine, "sync_engine", engine)
    if not root.dialect.is_async:
        if keyring is not None:
            bind_keyring(root, keyring)
        yield root
        return
    driver = _BESIDE.get(root.dialect.driver)
    if driver is None:
        raise ConfigurationError(
            f"no synchronous driver is known beside {root.dialect.driver}: give an "
            "engine of one, such as create_engine('postgresql+psycopg://...')"
        )
    own = create_engine(root.url.set(drivername=driver))
    binding = binding_of(root.dialect)
    if keyring is None and binding.has_keys:
        keyring = binding.keyring("the engine")
    if keyring is not None:
        bind_keyring(own, keyring)
    try:
        yield own
    finally:
        own.dispose()
