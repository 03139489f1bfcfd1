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
    with pytest.raises(PreflightError, match="nothing authenticates") as caught:
        Migration(people, SEALED).run()
    message = str(caught.value)
    assert f"{OTHERS - opened} of {OTHERS + 200} legacy values" in message
    assert f"--max-dead-letters {OTHERS - opened}" in message
    assert "Nothing was begun" in message
    assert raw(people) == before
    [plan] = Migration(people, SEALED).plan()
    assert any("nothing authenticates" in one for one in plan.refusals)


def test_a_single_one_at_the_end_of_many(people):
    write(people, STORED, *mixed(0) * 60, cbc(SECOND, b"not mine"), b"no base64!")
    before = raw(people)
    with pytest.raises(
        PreflightError, match=r"2 of 1202 legacy values .* \(in the rows 1201, 1202\)"
    ):
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
    # It is said each time: the key may be another one by now.
    with pytest.raises(PreflightError, match="2 of 2 legacy values"):
        small(Migration, people, SEALED).run()
    [report] = small(Migration, people, SEALED, max_dead_letters=2).run()
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
    with pytest.raises(PreflightError, match="2 of 22 legacy values"):
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


def beside(kind):
    key = Column("id", Integer, primary_key=True)
    plain = Column("v", sa.LargeBinary)
    return Table("people", MetaData(), key, plain, Column("sealed", kind))


def test_a_source_that_wins_does_not_win_under_another_key(engine):
    sealed = beside(EncryptedType(sa.LargeBinary, legacy=AesCbc(FIRST)))
    sealed.create(engine)
    rows = [
        {"id": n, "v": cbc(SECOND, b"not mine %d" % n), "sealed": b"right %d" % n}
        for n in range(1, 1001)
    ]
    with engine.begin() as connection:
        connection.execute(sealed.insert(), rows)
    job = small(Encryption, engine, sealed, {"v": "sealed"}, source_wins=True)
    with pytest.raises(PreflightError, match="nothing authenticates"):
        job.run()
    assert job.plan()[0].refusals
    with engine.connect() as connection:
        found = connection.scalars(select(sealed.c.sealed).order_by(sealed.c.id))
        assert list(found) == [row["sealed"] for row in rows]


def test_what_is_listed_is_tried_under_the_key_of_today(people):
    write(people, STORED, *mixed(1000))
    migration = small(Migration, people, SEALED, max_dead_letters=1000)
    [report] = migration.run()
    left = report.counts.dead
    assert left > 900
    before = raw(people)
    third = EncryptedType(sa.LargeBinary, legacy=AesCbc(bytes(range(64, 96))))
    for job in (
        Migration(people, SEALED),
        Migration(people, stored_as(third)),
        Migration(people, stored_as(third), max_dead_letters=10),
    ):
        for turn in (job.run, job.retry_dead):
            with pytest.raises(PreflightError, match="nothing authenticates"):
                turn()
    assert raw(people) == before
    # The key that was missing came back.
    second = EncryptedType(sa.LargeBinary, legacy=AesCbc(SECOND))
    [report] = Migration(people, stored_as(second)).retry_dead()
    assert (report.counts.moved, report.counts.dead) == (left, 0)


def test_values_are_counted_and_not_rows(engine):
    def table(kind):
        key = Column("id", Integer, primary_key=True)
        columns = Column("v", kind), Column("w", kind.copy())
        return Table("people", MetaData(), key, *columns)

    stored = table(sa.LargeBinary())
    stored.create(engine)
    values = [cbc(FIRST, b"mine"), b"no base64!", b"no base64!"]
    rows = [{"id": n, "v": v, "w": v} for n, v in enumerate(values, 1)]
    with engine.begin() as connection:
        connection.execute(stored.insert(), rows)
    sealed = table(EncryptedType(sa.LargeBinary, legacy=AesCbc(FIRST)))
    with pytest.raises(PreflightError, match=r"4 of 6 .* the rows 2, 3\)"):
        small(Migration, engine, sealed).run()
    [report] = small(Migration, engine, sealed, max_dead_letters=4).run()
    assert report.counts.dead == 4


def test_a_damaged_token_in_a_table_that_is_sealed(people):
    key = Fernet.generate_key()
    sealed = stored_as(EncryptedType(sa.String, legacy=FernetTokens(key)))
    write(people, sealed, *["fine"] * 20)
    with people.begin() as connection:
        token = Fernet(key).encrypt(b"x")[:-9] + b"AAAAAAAA="
        connection.execute(STORED.insert(), {"id": 99, "v": token})
    [report] = auto_migrate(people, sealed).reports
    assert (report.counts.moved, report.counts.dead) == (0, 1)
    # A wrong key is another thing.
    with people.begin() as connection:
        tokens = [Fernet(key).encrypt(b"x") for _ in range(10)]
        connection.execute(
            STORED.insert(), [{"id": n, "v": t} for n, t in enumerate(tokens, 100)]
        )
    other = FernetTokens(Fernet.generate_key())
    wrong = stored_as(EncryptedType(sa.String, legacy=other))
    with pytest.raises(PreflightError, match="look at the key"):
        small(Migration, people, wrong).run()
