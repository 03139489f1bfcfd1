"""Columns that another library has encrypted become sealed by a revision."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from legacy.test_formats import SECRET
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine

from sqlalchemy_sealed import BlindIndex, EncryptedType, IndexKey, Key, Keyring, Pace
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.steps import Step
from sqlalchemy_sealed.legacy import SqlalchemyUtilsAes, SqlalchemyUtilsAesGcm

ROWS = 200
CREATE = """
op.create_table(
    "users",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.LargeBinary, nullable=False),
    sa.Column("mail", sa.String(255)),
    sa.Column("born", sa.String(255)),
)
"""
LEGACY = "from sqlalchemy_sealed.legacy import SqlalchemyUtilsAes\nAES = SqlalchemyUtilsAes.from_env('OLD_KEY')\n"


class Blob(StringEncryptedType):
    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value, dialect):
        found = super().process_bind_param(value, dialect)
        return None if found is None else found.encode()


def old():
    return Table(
        "users",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", Blob(String, SECRET), nullable=False),
        Column("mail", StringEncryptedType(String, SECRET, length=255)),
        Column("born", StringEncryptedType(sa.Date, SECRET, AesGcmEngine, length=255)),
    )


def rows():
    return [
        {
            "id": n,
            "name": f"Grüße {n}",
            "mail": None if n % 9 == 0 else f"{n}@example.org",
            "born": dt.date(1990, 1, n % 28 + 1),
        }
        for n in range(1, ROWS + 1)
    ]


NAME = EncryptedType(String(60), legacy=SqlalchemyUtilsAes(SECRET), index=BlindIndex())
AES = SqlalchemyUtilsAes.from_env("OLD_KEY")
GCM = SqlalchemyUtilsAesGcm.from_env("OLD_KEY")


def model():
    metadata = MetaData()
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column(
            "name",
            EncryptedType(String(60), legacy=AES, index=BlindIndex()),
            nullable=False,
        ),
        Column("mail", EncryptedType(String(60), storage="text", legacy=AES)),
        Column("born", EncryptedType(sa.Date, legacy=GCM)),
    )
    return metadata


def read(project, table):
    engine = project.engine()
    with engine.connect() as connection:
        found = connection.execute(select(table).order_by(table.c.id)).mappings().all()
    engine.dispose()
    return [{name: row[name] for name in rows()[0]} for row in found]


@pytest.fixture
def keyring():
    return Keyring(
        [Key(1, bytes(range(32)))], index_keys=[IndexKey(1, bytes(range(32, 64)))]
    )


@pytest.fixture
def project(project, monkeypatch):
    monkeypatch.setenv("OLD_KEY", SECRET)
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("users")')
    project.upgrade()
    engine = create_engine(project.url)
    with engine.begin() as connection:
        connection.execute(old().insert(), rows())
    engine.dispose()
    return project


@pytest.mark.parametrize("killed", [False, True])
def test_autogenerate_writes_no_key_and_every_value_comes_back(
    project, monkeypatch, killed
):
    """Binary in place, text in place, and a column that changes its type."""
    metadata = model()
    written = project.autogenerate(metadata, "sealing")
    assert SECRET not in written
    assert written.count("SqlalchemyUtilsAes.from_env('OLD_KEY')") == 2
    assert "SqlalchemyUtilsAesGcm.from_env('OLD_KEY')" in written
    if killed:
        batches = iter(range(100))

        def kill(step):
            if step is Step.COMMITTED and next(batches) == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(steps, "reached", kill)
            with pytest.raises(KeyboardInterrupt):
                project.upgrade()
    project.upgrade()
    assert read(project, metadata.tables["users"]) == rows()
    stored = project.rows("SELECT name, mail, name_bidx FROM users WHERE id = 1")[0]
    assert bytes(stored[0])[:1] == b"\xf5"
    assert stored[1].startswith("sld:")
    assert stored[2] is not None
    project.check(metadata)
    # Readers do not write: the way back is plaintext.
    project.downgrade("r1")
    plain = project.rows("SELECT id, name, mail FROM users ORDER BY id")
    assert plain == [(row["id"], row["name"], row["mail"]) for row in rows()]
    assert "name_bidx" not in str(project.rows("SELECT * FROM users WHERE id = -1"))
    project.downgrade("base")


def test_into_another_column(project):
    project.write(
        "r2",
        LEGACY
        + """
KIND = EncryptedType(sa.String(60), index=BlindIndex())

def upgrade():
    op.encrypt_column("users", "mail", KIND, into="mail_encrypted", legacy=AES)

def downgrade():
    op.drop_column("users", "mail_encrypted")
""",
    )
    project.upgrade()
    table = Table(
        "users",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("mail_encrypted", EncryptedType(String(60))),
    )
    engine = project.engine()
    with engine.connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(select(table))}
    engine.dispose()
    assert found == {row["id"]: row["mail"] for row in rows()}


def test_a_key_that_does_not_come_from_the_environment(project):
    metadata = MetaData()
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", Blob(String, SECRET), nullable=False),
        Column(
            "mail",
            EncryptedType(
                String(60), storage="text", legacy=SqlalchemyUtilsAes(SECRET)
            ),
        ),
        Column("born", String(255)),
    )
    with pytest.warns(UserWarning, match="SEALED_LEGACY_KEY"):
        written = project.autogenerate(metadata, "sealing")
    assert SECRET not in written
    assert "SqlalchemyUtilsAes.from_env('SEALED_LEGACY_KEY')" in written
