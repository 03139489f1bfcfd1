"""Columns that hold legacy values or plaintext beside envelopes, on every database."""

from __future__ import annotations

import base64
import datetime as dt
import os
import warnings

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from legacy.test_formats import SECRET, cbc, RAW
from sqlalchemy import Column, Integer, MetaData, Table, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy_utils import EncryptedType as UtilsEncryptedType
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine

from sqlalchemy_sealed import (
    BlindIndex,
    Decryption,
    EncryptedType,
    Encryption,
    IndexKey,
    Key,
    Keyring,
    Migration,
    PlaintextPolicy,
    Reencryption,
    encrypted,
)
from sqlalchemy_sealed.engine import plaintext_reads
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    DeclarationError,
    EncodingError,
    KeyringNotBoundError,
    LegacyFormatError,
    NotSealedError,
    PlaintextWarning,
    PreflightError,
)
from sqlalchemy_sealed.jobs.control import letters, states
from sqlalchemy_sealed.legacy import (
    AesCbc,
    FernetTokens,
    SqlalchemyUtilsAes,
    SqlalchemyUtilsAesGcm,
)

KEY = Fernet.generate_key()
FERNET = FernetTokens(KEY)
ROWS = 40


class Old(DeclarativeBase):
    """What the application had: models of sqlalchemy-utils."""


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class OldPatient(Old):
        __tablename__ = "patients"

        id: Mapped[int] = mapped_column(primary_key=True)
        name = mapped_column(UtilsEncryptedType(sa.String, SECRET))
        born = mapped_column(UtilsEncryptedType(sa.Date, SECRET, AesGcmEngine))
        note = mapped_column(
            StringEncryptedType(sa.String, SECRET, None, "pkcs5", length=255)
        )
        code = mapped_column(
            StringEncryptedType(sa.Integer, SECRET, AesGcmEngine, length=255)
        )


class Base(DeclarativeBase):
    """What it has now."""


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(
        EncryptedType(sa.String, legacy=SqlalchemyUtilsAes(SECRET), index=BlindIndex())
    )
    born: Mapped[dt.date | None] = mapped_column(
        EncryptedType(sa.Date, legacy=SqlalchemyUtilsAesGcm(SECRET))
    )
    code: Mapped[int | None] = mapped_column(
        EncryptedType(sa.Integer, storage="text", legacy=SqlalchemyUtilsAesGcm(SECRET))
    )


class Tokens(DeclarativeBase):
    pass


class Connection(Tokens):
    """SEEDS D1, D7: tokens of Fernet behind a transparent attribute."""

    __tablename__ = "connections"

    id: Mapped[int] = mapped_column(primary_key=True)
    bot_token = encrypted(sa.String, storage="text", legacy=FERNET, bind="row")


@pytest.fixture
def keyring():
    return Keyring(
        [Key(1, bytes(range(32)))], index_keys=[IndexKey(1, bytes(range(32, 64)))]
    )


def listed(engine):
    return [one for state in states(engine) for one in letters(engine, state)]


def value(n):
    if n % 10 == 0:
        return {"name": None, "born": None, "note": None, "code": None}
    born = dt.date(1990, 1, n % 28 + 1)
    return {"name": f"Grüße {n}", "born": born, "note": f"n{n}", "code": n * 7}


def values(kind, engine):
    with Session(engine) as session:
        found = session.scalars(select(kind).order_by(kind.id)).all()
        return [(one.name, one.born, one.code) for one in found]


EXPECTED = [
    (v["name"], v["born"], v["code"]) for v in (value(n) for n in range(1, ROWS + 1))
]


@pytest.fixture
def patients(engine):
    Old.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all(OldPatient(id=n, **value(n)) for n in range(1, ROWS + 1))
    with engine.begin() as connection:
        for index in ("ALTER TABLE patients ADD name_bidx {}",):
            kind = "BYTEA" if engine.name == "postgresql" else "VARBINARY(32)"
            connection.execute(text(index.format(kind)))
    return engine


def small(kind, engine, *arguments, **options):
    return kind(engine, *arguments, batch_size=7, range_size=15, **options)


def test_a_column_reads_both_and_writes_envelopes(patients, stored):
    assert values(Patient, patients) == EXPECTED
    with Session(patients) as session, session.begin():
        session.get(Patient, 1).name = "new"
        session.add(Patient(id=99, name="more", code=5))
    assert values(Patient, patients)[0] == ("new", *EXPECTED[0][1:])
    assert values(Patient, patients)[-1] == ("more", None, 5)
    first, second, *_, last = stored(Patient.name)
    assert first[:1] == last[:1] == b"\xf5"
    assert second[:1] != b"\xf5"
    counts = plaintext_reads(patients)
    assert counts["patients.name", "SqlalchemyUtilsAes"] >= ROWS - 5
    assert ("patients.name", "plaintext") not in counts


def test_everything_is_moved_with_its_terms(patients, stored):
    reports = small(Migration, patients, Base)
    [report] = reports.run()
    assert report.counts.dead == 0
    assert {s[:1] for s in stored(Patient.name) if s} == {b"\xf5"}
    assert {s[:4] for s in stored(Patient.code) if s} == {"sld:"}
    assert values(Patient, patients) == EXPECTED
    with Session(patients) as session:
        found = session.scalars(select(Patient).where(Patient.name == "Grüße 7"))
        assert [one.id for one in found] == [7]
    again = small(Migration, patients, Base).run()[0]
    assert again.counts.moved == 0


def test_reencryption_moves_legacy_values_too(patients, stored, keyring):
    keyring.rotate()
    small(Reencryption, patients, Base).run()
    assert values(Patient, patients) == EXPECTED
    kids = {bytes(s[8:24]) for s in stored(Patient.born) if s}
    assert kids == {keyring.active.kid}


def test_a_wrong_key_begins_nothing(patients, stored):
    table = Table(
        "patients",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedType(sa.String, legacy=SqlalchemyUtilsAes("wrong"))),
    )
    before = stored(Patient.name)
    with pytest.raises(PreflightError, match="[Ll]ook at the key"):
        small(Migration, patients, table).run()
    assert stored(Patient.name) == before
    with patients.connect() as connection, pytest.raises(LegacyFormatError):
        connection.execute(select(table)).all()


def test_damaged_values_are_listed_and_left(patients, stored):
    with patients.begin() as connection:
        connection.execute(
            text("UPDATE patients SET name = :v WHERE id = 3"),
            {"v": base64.b64encode(b"x" * 32)},
        )
        connection.execute(
            text("UPDATE patients SET name = :v WHERE id = 4"), {"v": b"\xf5damaged"}
        )
    with pytest.raises(PreflightError, match=r"1 of 35 legacy values .* the rows 3"):
        small(Migration, patients, Base).run()
    [report] = small(Migration, patients, Base, max_dead_letters=2).run()
    assert report.counts.dead == 2
    assert {(d.row_key, d.error) for d in listed(patients)} == {
        ('[["i",3]]', "LegacyFormatError"),
        ('[["i",4]]', "MalformedEnvelopeError"),
    }
    assert stored(Patient.name)[3] == b"\xf5damaged"
    # And again, as often as it is allowed for.
    [report] = small(Migration, patients, Base, max_dead_letters=2).run()
    assert report.counts.dead == 2


def test_tokens_behind_an_attribute(engine, stored):
    Tokens.metadata.create_all(engine)
    token = Fernet(KEY).encrypt(b"xoxb-1").decode()
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO connections (id, bot_token_encrypted) VALUES (1, :t)"),
            {"t": token},
        )
    with Session(engine) as session, session.begin():
        assert session.get(Connection, 1).bot_token == "xoxb-1"
        session.add(Connection(id=2, bot_token="xoxb-2"))
    with Session(engine) as session, session.begin():
        # It keeps its bytes where it is written back, and gets its row with the value.
        session.get(Connection, 1).id = 3
    assert stored(Connection.bot_token_encrypted)[-1] == token
    small(Migration, engine, Connection).run()
    assert {s[:4] for s in stored(Connection.bot_token_encrypted)} == {"sld:"}
    with Session(engine) as session:
        assert session.get(Connection, 3).bot_token == "xoxb-1"
        assert session.get(Connection, 2).bot_token == "xoxb-2"


def test_from_one_column_to_another_with_the_iv_beside(engine):
    """SEEDS E1."""
    table = Table(
        "phones",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("number", sa.Text),
        Column("iv", sa.Text),
        Column(
            "number_encrypted",
            EncryptedType(sa.String, legacy=AesCbc(RAW, iv_column="iv")),
        ),
    )
    table.create(engine)
    rows = []
    for n in range(1, ROWS + 1):
        iv = os.urandom(16)
        number = base64.b64encode(cbc(f"+49 {n}", iv)).decode()
        rows.append({"id": n, "number": number, "iv": base64.b64encode(iv).decode()})
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    pair = {"number": "number_encrypted"}
    [report] = small(Encryption, engine, table, pair).run()
    assert (report.counts.moved, report.counts.dead) == (ROWS, 0)
    with engine.begin() as connection:
        found = connection.execute(select(table.c.id, table.c.number_encrypted)).all()
        assert sorted(found) == [(n, f"+49 {n}") for n in range(1, ROWS + 1)]
        # An application that writes both: equal values agree, others are listed.
        connection.execute(
            table.update().where(table.c.id == 5).values(number_encrypted="other")
        )
    [report] = small(Encryption, engine, table, pair).run()
    assert [d.error for d in listed(engine)][-1:] == ["MismatchError"]


def test_raw_bytes_are_not_moved_in_place(engine):
    kind = EncryptedType(sa.String, legacy=AesCbc(RAW, "raw"))
    table = Table(
        "t", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(engine)
    with pytest.raises(ConfigurationError, match="taken for an envelope"):
        Migration(engine, table).run()


# Plaintext policies


def column_of(engine, policy, inner=sa.String, storage="text", **options):
    kind = EncryptedType(inner, storage=storage, plaintext=policy, **options)
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(engine, checkfirst=True)
    return table


def raw(engine):
    with engine.connect() as connection:
        found = connection.execute(text("SELECT v FROM people ORDER BY id"))
        return [bytes(v) if isinstance(v, memoryview) else v for (v,) in found]


PLAIN_VALUES = [
    (sa.String, "Grüße 🔑", "Grüße 🔑"),
    (sa.Integer, 7, "7"),
    (sa.Boolean, True, "true"),
    (sa.Date, dt.date(2026, 11, 26), "2026-11-26"),
    (sa.JSON, {"a": [1]}, '{"a": [1]}'),
]


@pytest.mark.parametrize("inner, value, text", PLAIN_VALUES)
@pytest.mark.parametrize("storage", ["text", "binary"])
def test_one_direction(engine, inner, value, text, storage):
    form = text if storage == "text" else text.encode()
    writing = column_of(engine, "write", inner, storage)
    reading = column_of(engine, "read", inner, storage)
    strict = column_of(engine, None, inner, storage)
    before = plaintext_reads(engine).get(("people.v", "plaintext"), 0)
    with engine.begin() as connection:
        connection.execute(writing.insert(), {"id": 1, "v": value})
        connection.execute(reading.insert(), {"id": 2, "v": value})
        assert connection.scalars(select(writing.c.v)).all() == [value, value]
        assert connection.scalars(select(reading.c.v)).all() == [value, value]
        with pytest.raises(NotSealedError):
            connection.scalars(select(strict.c.v)).all()
    assert raw(engine)[0] == form
    assert raw(engine)[1] != form
    assert plaintext_reads(engine)["people.v", "plaintext"] == before + 2
    small(Migration, engine, reading).run()
    with engine.connect() as connection:
        assert connection.scalars(select(strict.c.v)).all() == [value, value]


def test_a_policy_ends_by_its_date(engine):
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    ended = PlaintextPolicy("write", until=yesterday)
    open_ = PlaintextPolicy("write", until=yesterday + dt.timedelta(days=2))
    with engine.begin() as connection:
        before = column_of(engine, open_)
        connection.execute(before.insert(), {"id": 1, "v": "Ada"})
        after = column_of(engine, ended)
        connection.execute(after.insert(), {"id": 2, "v": "Bob"})
        with pytest.raises(NotSealedError, match="has come to its end"):
            connection.scalars(select(after.c.v)).all()
    assert raw(engine)[0] == "Ada"
    assert raw(engine)[1].startswith("sld:")
    # The job is not bound by it: what is left is sealed.
    small(Migration, engine, after).run()
    with engine.connect() as connection:
        assert set(connection.scalars(select(after.c.v))) == {"Ada", "Bob"}


def test_the_shape_is_never_plaintext(engine):
    table = column_of(engine, "read")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO people (id, v) VALUES (1, 'sld:looks like one')")
        )
        with pytest.raises(Exception, match="people.v") as caught:
            connection.scalars(select(table.c.v)).all()
    assert type(caught.value).__name__ == "MalformedEnvelopeError"


def test_optional_without_and_with_keys(engine, new_engine):
    """SEEDS C2."""
    without = new_engine()
    kind = EncryptedType(sa.String, storage="text", optional=True)
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(without)
    strict = column_of(without, None)
    with without.begin() as connection:
        with pytest.warns(PlaintextWarning, match="no keyring is bound"):
            connection.execute(table.insert(), {"id": 1, "v": "Ada"})
        assert connection.scalar(select(table.c.v)) == "Ada"
        with pytest.raises(KeyringNotBoundError):
            connection.execute(strict.insert(), {"id": 3, "v": "x"})
    assert raw(engine) == ["Ada"]
    with engine.begin() as connection:
        connection.execute(table.insert(), {"id": 2, "v": "Bob"})
        assert connection.scalars(select(table.c.v)).all() == ["Ada", "Bob"]
    with without.connect() as connection, pytest.raises(KeyringNotBoundError):
        connection.scalars(select(table.c.v)).all()
    assert raw(engine)[1].startswith("sld:")


class Optional(DeclarativeBase):
    pass


class Credential(Optional):
    """SEEDS C4: each user's value apart from the others'."""

    __tablename__ = "user_credentials"

    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(sa.String(20))
    token = encrypted(
        sa.String, storage="text", optional=True, bind="row", tenant="user"
    )


def test_optional_behind_an_attribute(engine, new_engine, stored):
    without = new_engine()
    Optional.metadata.create_all(without)
    with Session(without) as session, session.begin():
        session.add(Credential(id=1, user="ada", token="t1"))
        with pytest.warns(PlaintextWarning):
            session.flush()
    with Session(without) as session, session.begin():
        one = session.get(Credential, 1)
        assert one.token == "t1"
        one.user = "bob"
    assert stored(Credential.token_encrypted) == ["t1"]
    with Session(engine) as session, session.begin():
        assert session.get(Credential, 1).token == "t1"
        session.add(Credential(id=2, user="ada", token="t2"))
    small(Migration, engine, Credential).run()
    assert {s[:4] for s in stored(Credential.token_encrypted)} == {"sld:"}
    with Session(engine) as session:
        assert [session.get(Credential, n).token for n in (1, 2)] == ["t1", "t2"]


def test_an_attribute_takes_no_plaintext_as_stored_form(engine):
    class Own(DeclarativeBase):
        pass

    class Thing(Own):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        v = encrypted(sa.String, storage="text", plaintext="read")

    Own.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Thing(id=1, v_encrypted="plaintext"))
        with pytest.raises(EncodingError, match="no sealed value"):
            session.flush()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EncryptedType(sa.String, plaintext="rw"), "plaintext= is one of"),
        (lambda: EncryptedType(sa.LargeBinary, plaintext="read"), "values that have"),
        (lambda: EncryptedType(sa.String, legacy=KEY.decode()), "legacy= takes"),
        (
            lambda: EncryptedType(sa.String, plaintext="read", legacy=AesCbc(RAW)),
            "nothing authenticates",
        ),
        (
            lambda: EncryptedType(sa.String, optional=True, index=BlindIndex()),
            "exclude each other",
        ),
        (
            lambda: encrypted(sa.String, plaintext="write", index=BlindIndex()),
            "exclude each other",
        ),
        (
            lambda: EncryptedType(sa.String, plaintext="read", optional=True),
            "name one",
        ),
    ],
)
def test_declarations_that_cannot_work(make, message):
    with pytest.raises(DeclarationError, match=message):
        make()


def test_nothing_to_migrate(engine):
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        Migration(engine, column_of(engine, None)).run()


class Shout(sa.TypeDecorator):
    """A type of the application: what is stored is not what Python has."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value + "!"

    def process_result_value(self, value, dialect):
        return None if value is None else value.removesuffix("!")


def test_types_of_the_application_are_not_applied_twice(engine):
    table = column_of(engine, "read", Shout)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO people (id, v) VALUES (1, 'Ada!')"))
        assert connection.scalar(select(table.c.v)) == "Ada"
    small(Migration, engine, table).run()
    assert raw(engine)[0].startswith("sld:")
    with engine.connect() as connection:
        assert connection.scalar(select(table.c.v)) == "Ada"
    small(Decryption, engine, table, {"v": "v"}).run()
    assert raw(engine) == ["Ada!"]


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
def test_a_character_column_that_is_declared_as_bytes(engine):
    column_of(engine, "read")
    kind = EncryptedType(sa.String, legacy=FERNET)
    key = Column("id", Integer, primary_key=True)
    table = Table("people", MetaData(), key, Column("v", kind))
    with pytest.raises(PreflightError, match='v is a character column.*storage="text"'):
        small(Migration, engine, table).run()
