"""A database of its own for every job test: jobs create tables and leave runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_sealed import Keyring, bind_keyring


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def engine(database_url, keyring) -> Iterator[Engine]:
    engine = create_engine(database_url, poolclass=NullPool)
    bind_keyring(engine, keyring)
    yield engine
    engine.dispose()
