from __future__ import annotations

import pytest
from migrations.project import Project
from servers import fresh_database, mariadb_url, postgresql_url

from sqlalchemy_sealed import IndexKey, Keyring


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'application.db'}"
        return
    server = postgresql_url() if request.param == "postgresql" else mariadb_url()
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def keyring():
    return Keyring.generate()


@pytest.fixture
def project(tmp_path, database_url, keyring):
    return Project(tmp_path, database_url, keyring)
