"""A keyring that has an index key, for every test here."""

from __future__ import annotations

import pytest
from sqlalchemy_sealed import IndexKey, Key, Keyring


@pytest.fixture
def keyring():
    """Return a keyring of one data key and one index key that every run shares."""
    index = IndexKey(1, bytes(range(64, 96)))
    return Keyring([Key(1, bytes(range(32)))], index_keys=[index])
