"""What somebody who may write values, or rows, tries; and what must not be shown."""

from __future__ import annotations

import enum
import logging
import traceback
import warnings
from decimal import Decimal
from functools import partial

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from legacy.test_columns import KEY, RAW, column_of, keyring, listed, raw, small
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    Decryption,
    EncryptedType,
    Encryption,
    Migration,
    Pace,
    Reencryption,
    auto_migrate,
    close_plaintext,
    encrypted,
)
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    DeclarationError,
    EncodingError,
    LegacyFormatError,
    MalformedEnvelopeError,
    NotSealedError,
    PlaintextWarning,
    PreflightError,
    SealedError,
)
from sqlalchemy_sealed.jobs.fence import drop_fence, fences_of
from sqlalchemy_sealed.jobs.verification import verify
from sqlalchemy_sealed.legacy import AesCbc, AesGcm, FernetTokens
from sqlalchemy_sealed.targets import sealed_tables

__all__ = ["keyring"]

CANARY = "CANARY-4111"


class Color(str, enum.Enum):
    RED = "red"


class Number(int, enum.Enum):
    ONE = 1


class Crossed(enum.Enum):
    A = "B"
    B = "A"


def write(engine, table, *values):
    rows = [{"id": n, "v": value} for n, value in enumerate(values, 1)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


def read(engine, table):
    with engine.connect() as connection:
        return list(connection.scalars(select(table.c.v).order_by(table.c.id)))


def put(engine, sql, **parameters):
    with engine.begin() as connection:
        connection.execute(text(sql), parameters)


# A text that begins as an envelope does


def test_a_stolen_envelope_that_is_written_as_text(engine):
    sealing = column_of(engine, "read")
    write(engine, sealing, "of the victim")
    stolen = raw(engine)[0]
    put(engine, "DELETE FROM people")
    writing = column_of(engine, "write")
    write(engine, writing, stolen, "sld:hello", "plain")
    assert read(engine, writing) == [stolen, "sld:hello", "plain"]
    assert raw(engine)[2] == "plain"


def test_such_a_text_without_a_key_to_seal_it(engine, new_engine):
    without = new_engine()
    kind = EncryptedType(sa.String, storage="text", optional=True)
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(without)
    with pytest.raises(EncodingError, match="taken for something else"):
        write(without, table, "sld:hello")
    assert raw(engine) == []


def test_envelopes_in_envelopes_are_not_opened_twice(engine):
    table = column_of(engine, None)
    write(engine, table, "of the victim", "other")
    stolen = raw(engine)[0]
    put(engine, "DELETE FROM people")
    write(engine, table, stolen, "sld:hello", "plain")
    before = raw(engine)
    [report] = small(Decryption, engine, table, {"v": "v"}).run()
    assert report.counts.dead == 2
    assert raw(engine) == [*before[:2], "plain"]
    assert {one.error for one in listed(engine)} == {"EncodingError"}


# What is shown


@pytest.fixture
def engine_log(caplog):
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    return caplog


def test_jobs_print_no_plaintext_to_the_log_of_the_engine(engine, engine_log):
    table = column_of(engine, "read")
    put(engine, f"INSERT INTO people (id, v) VALUES (1, '{CANARY}')")
    engine_log.clear()
    small(Migration, engine, table).run()
    small(Decryption, engine, table, {"v": "v"}).run()
    small(Encryption, engine, table, {"v": "v"}).run()
    auto_migrate(engine, table, pace=Pace.full_speed())
    assert "UPDATE" in engine_log.text or engine.name == "postgresql"
    assert CANARY not in engine_log.text


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "inner", [sa.Date, sa.DateTime, sa.Time, sa.JSON, sa.Uuid, sa.Numeric]
)
def test_a_plaintext_that_is_none_of_its_type(engine, inner):
    """SQLite stores anything anywhere."""
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", inner),
        Column("w", EncryptedType(inner)),
    )
    table.create(engine)
    put(engine, f"INSERT INTO people (id, v) VALUES (1, '{CANARY}')")
    [report] = small(Encryption, engine, table, {"v": "w"}).run()
    assert report.counts.dead == 1
    assert raw(engine) == [CANARY]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_text_that_is_no_text_under_a_rotation(engine):
    table = column_of(engine, None)
    put(engine, "INSERT INTO people VALUES (1, CAST(x'43414e415259ff' AS TEXT))")
    with pytest.raises(SealedError, match="not valid UTF-8") as caught:
        small(Reencryption, engine, table).run()
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_text_that_is_no_text(engine):
    table = column_of(engine, "read")
    put(engine, "INSERT INTO people VALUES (1, CAST(x'43414e415259ff' AS TEXT))")
    legacy = EncryptedType(sa.String, storage="text", legacy=FernetTokens(KEY))
    column = Column("v", legacy)
    other = Table("people", MetaData(), Column("id", Integer, primary_key=True), column)
    for one in (table, other):
        job = small(Migration, engine, one)
        for turn in (job.run, job.plan, partial(verify, engine, one)):
            with pytest.raises(SealedError, match="not valid UTF-8") as caught:
                turn()
            shown = "".join(traceback.format_exception(caught.value))
            assert "CANARY" not in shown


def test_warnings_that_are_errors_show_nothing_and_store_nothing(new_engine, engine):
    without = new_engine()
    kind = EncryptedType(sa.String, storage="text", optional=True)
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(without)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(PlaintextWarning) as caught:
                write(without, table, CANARY)
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert raw(engine) == []


def test_errors_of_other_columns_while_plaintext_is_stored(new_engine):
    without = new_engine()
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", EncryptedType(sa.String, storage="text", optional=True)),
        Column("x", sa.JSON),
    )
    table.create(without)
    with pytest.warns(PlaintextWarning):
        auto_migrate(without, table)
    with pytest.raises(Exception) as caught, without.begin() as connection:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlaintextWarning)
            connection.execute(table.insert(), {"id": 1, "v": CANARY, "x": object()})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


# Closed is closed


def test_a_policy_that_is_closed_reads_no_legacy_value_either(engine):
    kind = EncryptedType(sa.String, storage="text", legacy=FernetTokens(KEY))
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(engine)
    token = Fernet(KEY).encrypt(b"old").decode()
    put(engine, "INSERT INTO people (id, v) VALUES (1, :t)", t=token)
    small(Migration, engine, table).run()
    [state] = close_plaintext(engine, table)
    assert state.is_closed
    [sealed] = sealed_tables(table)
    for fence in fences_of(engine):
        drop_fence(engine, sealed, fence)
    put(engine, "UPDATE people SET v = :t", t=token)
    with pytest.raises(NotSealedError, match="its end"):
        read(engine, table)


def test_a_fence_that_is_gone_is_put_up_again(engine):
    table = column_of(engine, "read")
    write(engine, table, "Ada")
    assert close_plaintext(engine, table)[0].is_closed
    plain = "INSERT INTO people (id, v) VALUES (2, 'plaintext')"
    [fence] = fences_of(engine)
    if engine.name == "postgresql":
        put(engine, f"ALTER TABLE people DROP CONSTRAINT {fence.name}")
    else:
        for event in ("insert", "update"):
            put(engine, f"DROP TRIGGER {fence.name}_{event}")
    assert not close_plaintext(engine, table, fence=False)[0].is_closed
    assert close_plaintext(engine, table)[0].is_closed
    with pytest.raises(Exception, match="(?i)sealed_fence"):
        put(engine, plain)


def test_columns_that_share_a_context_are_closed_together(engine):
    kind = {"storage": "text", "plaintext": "read", "context": "shared"}
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", EncryptedType(sa.String, **kind)),
        Column("w", EncryptedType(sa.String, **kind)),
    )
    table.create(engine)
    put(engine, "INSERT INTO people (id, w) VALUES (1, 'plaintext')")
    states = {one.column: one.is_closed for one in close_plaintext(engine, table)}
    assert states == {"v": True, "w": False}
    with engine.connect() as connection:
        assert connection.scalar(select(table.c.w)) == "plaintext"


# What is stored as it is


class Base(DeclarativeBase):
    pass


class Card(Base):
    __tablename__ = "cards"

    id: Mapped[int] = mapped_column(primary_key=True)
    card = encrypted(sa.String, storage="text", legacy=AesCbc(RAW))


@pytest.mark.parametrize("word", ["hunter2", "4111111111111111", "A" * 64])
def test_a_word_that_looks_like_base64_is_no_stored_form(engine, word):
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Card(id=1, card_encrypted=word))
        with pytest.raises(EncodingError, match="no sealed value"):
            session.flush()
    with engine.begin() as connection, pytest.raises(EncodingError):
        connection.execute(insert(Card.__table__), {"id": 1, "card_encrypted": word})


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["2000000000", "-5", "1.5"])
def test_a_number_in_the_place_of_a_legacy_value(engine, value):
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", EncryptedType(sa.String, legacy=FernetTokens(KEY))),
    )
    table.create(engine)
    put(engine, f"INSERT INTO people (id, v) VALUES (1, {value})")
    with pytest.raises(NotSealedError):
        read(engine, table)
    [report] = small(Migration, engine, table).run()
    assert report.counts.dead == 1
    [found] = raw(engine)
    assert float(found) == float(value)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_envelope_in_bytes_of_a_column_of_text(engine):
    table = column_of(engine, "read")
    write(engine, table, "secret")
    put(engine, "UPDATE people SET v = CAST(v AS BLOB)")
    with pytest.raises(SealedError):
        read(engine, table)


def test_what_is_written_is_the_canonical_value(engine):
    table = column_of(engine, "write", sa.Integer)
    write(engine, table, True)
    assert raw(engine) == ["1"]
    assert read(engine, table) == [1]


def test_a_damaged_token_is_never_plaintext(engine):
    kind = EncryptedType(
        sa.String, storage="text", legacy=FernetTokens(KEY), plaintext="read"
    )
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(engine)
    token = Fernet(KEY).encrypt(b"old").decode()
    for damaged in (
        token[:40],
        token[:25],
        token[1:],
        token[:-2] + "xx",
        token[:-1],
        token + "\n",
        f" {token}",
        f'"{token}"',
        "h" + token[1:],
        token[:50] + "!" + token[51:],
    ):
        put(engine, "DELETE FROM people")
        put(engine, "INSERT INTO people (id, v) VALUES (1, :t)", t=damaged)
        try:
            # The library does not mind what is no base64, and the tag says the rest.
            assert read(engine, table) == ["old"]
            assert damaged.strip(' "\n') == token
        except LegacyFormatError:
            pass
    put(engine, "UPDATE people SET v = 'sld:damaged'")
    with pytest.raises(MalformedEnvelopeError):
        read(engine, table)
    put(engine, "DELETE FROM people")
    write(engine, table, "secret")
    [envelope] = raw(engine)
    for damaged in (
        f" {envelope}",
        envelope[1:],
        envelope[4:],
        envelope.upper()[:4] + envelope[4:],
    ):
        put(engine, "UPDATE people SET v = :t", t=damaged)
        with pytest.raises(NotSealedError):
            read(engine, table)


@pytest.mark.parametrize(
    "inner, value, found",
    [
        (sa.String, Color.RED, "red"),
        (sa.Integer, Number.ONE, 1),
        (sa.Numeric, True, 1),
        (sa.Float, Decimal("1.5"), 1.5),
        (sa.String, "gAAAAABhello_an_ordinary_password", ...),
        (sa.String, "x" * 40, ...),
    ],
)
def test_plaintext_that_is_written_is_read_as_what_it_was(engine, inner, value, found):
    kind = EncryptedType(
        inner,
        storage="text",
        legacy=[FernetTokens(KEY), AesGcm(RAW)],
        plaintext="write",
    )
    table = Table(
        "people", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind)
    )
    table.create(engine)
    write(engine, table, value)
    assert read(engine, table) == [value if found is ... else found]


@pytest.mark.parametrize(
    "inner, text",
    [
        (sa.JSON, "12345678901234567890123.5"),
        (sa.JSON, '{"a": 1, "a": 2}'),
        (sa.DateTime, "2026-11-26 01:02:03.1234567"),
        (sa.Float, "1e-400"),
        (sa.Float, "1_000"),
        (sa.Float, " 1"),
        (sa.Integer, "٣"),
        (sa.Boolean, "2"),
    ],
)
def test_a_text_that_would_become_another_value(engine, inner, text):
    table = column_of(engine, "read", inner)
    put(engine, "INSERT INTO people (id, v) VALUES (1, :v)", v=text)
    [report] = small(Migration, engine, table).run()
    assert (report.counts.moved, report.counts.dead) == (0, 1)
    assert raw(engine) == [text]


def test_enums_whose_texts_are_not_their_names(engine):
    kind = sa.Enum(Crossed, values_callable=lambda kind: [one.value for one in kind])
    with pytest.raises(DeclarationError, match="values_callable"):
        EncryptedType(kind, storage="text", plaintext="read")
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", EncryptedType(kind, storage="text")),
    )
    with pytest.raises(ConfigurationError, match="values_callable"):
        Encryption(engine, table, {"v": "v"}).run()


@pytest.mark.parametrize("kind", [sa.Float, sa.Double, sa.Numeric(10, 2)])
def test_numbers_into_another_column(engine, kind):
    table = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("v", sa.Double if engine.name == "mysql" and kind is sa.Float else kind),
        Column("w", EncryptedType(kind)),
    )
    table.create(engine)
    write(engine, table, 1.5)
    [report] = small(Encryption, engine, table, {"v": "w"}).run()
    assert report.counts.moved == 1
    with engine.connect() as connection:
        assert connection.scalar(select(table.c.w)) == Decimal("1.5")
