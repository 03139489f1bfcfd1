"""A key that is not that of every value, where nothing authenticates them."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from legacy.test_attacks import write
from legacy.test_columns import keyring, listed, raw, small
from sqlalchemy import Column, Integer, MetaData, Table, select

from sqlalchemy_sealed import EncryptedType, Encryption, Migration, auto_migrate
from sqlalchemy_sealed.errors import PreflightError
from sqlalchemy_sealed.legacy import AesCbc, FernetTokens

__all__ = ["keyring"]

#: Not by chance: which values of another key happen to open is the same in every run.
FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))
#: Of so many values under another key, some have a valid padding.
OTHERS = 6000


def cbc(key, data):
    padder = PKCS7(128).padder()
    iv = sha256(key + data).digest()[:16]
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    padded = padder.update(data) + padder.finalize()
    return base64.b64encode(iv + encryptor.update(padded) + encryptor.finalize())


def stored_as(kind):
    key = Column("id", Integer, primary_key=True)
    return Table("people", MetaData(), key, Column("v", kind))


SEALED = stored_as(EncryptedType(sa.LargeBinary, legacy=AesCbc(FIRST)))
STORED = stored_as(sa.LargeBinary)


def mixed(count, mine=20):
    """Return values under two keys, those under the second last."""
    mine = [cbc(FIRST, b"mine %d" % n) for n in range(mine)]
    return mine + [cbc(SECOND, b"not mine %d" % n) for n in range(count)]


@pytest.fixture
def people(engine):
    STORED.create(engine)
    return engine


def test_some_values_under_a_second_key(people):
    write(people, STORED, *mixed(OTHERS, 200))
    before = raw(people)
    # That is what would be written as garbage.
    with people.connect() as connection:
        opened = 0
        for value in before[200:]:
            try:
                AesCbc(FIRST).decrypt(value)
            except Exception:  # noqa: BLE001 - what it says is not asked here
                continue
            opened += 1
        assert opened
    with pytest.raises(PreflightError, match="Nothing authenticates") as caught:
        Migration(people, SEALED).run()
    message = str(caught.value)
    assert f"{OTHERS - opened} of {OTHERS + 200} rows have" in message
    assert f"--max-dead-letters {OTHERS - opened}" in message
    assert "Nothing was begun" in message
    assert raw(people) == before
    [plan] = Migration(people, SEALED).plan()
    assert any("Nothing authenticates" in one for one in plan.refusals)


def test_a_single_one_at_the_end_of_many(people):
    write(people, STORED, *mixed(0) * 60, cbc(SECOND, b"not mine"), b"no base64!")
    before = raw(people)
    with pytest.raises(PreflightError, match=r"\(1201, 1202\). Nothing"):
        Migration(people, SEALED).run()
    with pytest.raises(PreflightError):
        auto_migrate(people, SEALED)
    assert raw(people) == before


def test_values_that_are_known_to_be_damaged(people):
    write(people, STORED, *mixed(0), b"no base64!", b"AAAA")
    for job in (
        small(Migration, people, SEALED),
        small(Migration, people, SEALED, max_dead_letters=1),
    ):
        with pytest.raises(PreflightError, match="max_dead_letters=2"):
            job.run()
    [report] = small(Migration, people, SEALED, max_dead_letters=2).run()
    assert (report.counts.moved, report.counts.dead) == (20, 2)
    assert {one.row_key for one in listed(people)} == {'[["i",21]]', '[["i",22]]'}
    with people.connect() as connection:
        found = connection.scalars(select(SEALED.c.v).where(SEALED.c.id <= 20))
        assert list(found) == [b"mine %d" % n for n in range(20)]
    # They are known now: whoever goes on need not say it again.
    [report] = small(Migration, people, SEALED).run()
    assert (report.counts.moved, report.counts.dead) == (0, 2)


def test_at_the_start_of_an_application(people):
    write(people, STORED, *mixed(0), b"no base64!")
    done = auto_migrate(people, SEALED, max_dead_letters=1)
    [report] = done.reports
    assert (report.counts.moved, report.counts.dead) == (20, 1)


def test_from_one_column_to_another(engine):
    def table(kind):
        key = Column("id", Integer, primary_key=True)
        sealed = Column("sealed", kind)
        return Table("people", MetaData(), key, Column("v", sa.LargeBinary), sealed)

    table(sa.LargeBinary).create(engine)
    sealed = table(EncryptedType(sa.LargeBinary, legacy=AesCbc(FIRST)))
    write(engine, STORED, *mixed(0), cbc(SECOND, b"not mine"), b"cut")
    with pytest.raises(PreflightError, match="2 of 22 rows have a legacy value"):
        small(Encryption, engine, sealed, {"v": "sealed"}).run()
    with engine.connect() as connection:
        assert set(connection.scalars(select(sealed.c.sealed))) == {None}


def test_formats_that_authenticate_beside_one_that_does_not(engine):
    def table(kind, other):
        key = Column("id", Integer, primary_key=True)
        return Table("people", MetaData(), key, Column("v", kind), Column("w", other))

    table(sa.LargeBinary, sa.LargeBinary).create(engine)
    tokens = Fernet(Fernet.generate_key())
    proven = EncryptedType(sa.String, legacy=FernetTokens(Fernet.generate_key()))
    sealed = table(SEALED.c.v.type.copy(), proven)
    write(engine, STORED, *mixed(0))
    with engine.begin() as connection:
        connection.execute(
            table(sa.LargeBinary, sa.LargeBinary).update().where(sa.text("id = 3")),
            {"w": tokens.encrypt(b"under another key")},
        )
    [report] = small(Migration, engine, sealed).run()
    assert (report.counts.moved, report.counts.dead) == (20, 1)
