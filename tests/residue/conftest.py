"""A database with plaintext in it."""

from __future__ import annotations

import pytest
from residue.patients import fill
from sqlalchemy import create_engine, event

from sqlalchemy_sealed import bind_keyring


@pytest.fixture
def database(database_url, keyring):
    engine = create_engine(database_url)
    if engine.name == "sqlite":
        # As most builds have it. That of Debian overwrites what is deleted.
        @event.listens_for(engine, "connect")
        def connect(connection, _):
            connection.execute("PRAGMA secure_delete = OFF")

    bind_keyring(engine, keyring)
    fill(engine)
    yield engine
    engine.dispose()
