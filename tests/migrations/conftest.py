from __future__ import annotations

import pytest
from migrations.project import Project

from sqlalchemy_sealed import IndexKey, Keyring


@pytest.fixture
def keyring():
    return Keyring.generate()


@pytest.fixture
def project(tmp_path, database_url, keyring):
    return Project(tmp_path, database_url, keyring)
