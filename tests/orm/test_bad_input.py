"""Bad input: the error has a name, says what, where and what next, and changes nothing.

Two kinds: a value that an application hands over and the column cannot hold, and a
stored value that cannot be opened.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    column,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import EncryptedType, Key, Keyring, KeyState, bind_keyring
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationMismatchError,
    DecryptionError,
    EncodingError,
    KeyNotReadableError,
    KeyringNotBoundError,
    MalformedEnvelopeError,
    NotSealedError,
    UnknownKeyError,
)

UTC = dt.UTC


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(EncryptedType(String))
    nick: Mapped[str | None] = mapped_column(EncryptedType(String))
    tag: Mapped[str | None] = mapped_column(
        EncryptedType(String, suite="deterministic")
    )
    label: Mapped[str | None] = mapped_column(EncryptedType(String, storage="text"))
    born: Mapped[dt.date | None] = mapped_column(EncryptedType(sa.Date))


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    """Store one patient, and return the session."""
    session.add(
        Patient(id=1, name="ada", nick="countess", tag="t", label="l", born=dt.date.min)
    )
    session.commit()
    session.expunge_all()
    return session


#: The stored form of each sealed column, as another program sees it.
RAW = table("patients", column("id"), column("name"), column("tag"), column("label"))


def overwrite(session, name, change):
    """Change the stored form of a column behind our back."""
    stored = session.scalar(select(column(name)).select_from(table("patients")))
    kind = String if isinstance(stored, str) else LargeBinary
    raw = table("patients", column(name, kind))
    session.execute(update(raw).values({name: change(stored)}))
    session.commit()


def snapshot(session):
    session.rollback()
    names = ["name", "nick", "tag", "label", "born"]
    query = select(*map(column, names)).select_from(table("patients"))
    return session.execute(query).all()


def refuses_to_open(session, error, attribute, **match):
    """Load a column, expect the error, and find the database as it was."""
    before = snapshot(session)
    with pytest.raises(error, **match) as caught:
        session.scalars(select(attribute)).all()
    message = str(caught.value)
    assert str(attribute.property.columns[0].type.context) in message
    assert snapshot(session) == before
    return message


# Stored values: keys


def test_under_another_keyring_the_error_names_the_key_that_is_missing(
    ada, engine, keyring
):
    bind_keyring(engine, Keyring([Key(7, b"\7" * 32)]))
    message = refuses_to_open(ada, UnknownKeyError, Patient.name)
    assert f"key v1 (kid {keyring.active.kid.hex()[:16]}" in message
    assert "it has v7" in message
    assert "Add that key version back" in message


def test_another_key_with_the_same_version_is_another_key(ada, engine):
    """The version is for people; the kid decides."""
    bind_keyring(engine, Keyring([Key(1, b"\7" * 32)]))
    refuses_to_open(ada, UnknownKeyError, Patient.name)


def test_an_entity_with_one_unknown_value_is_not_loaded_halfway(ada, engine):
    bind_keyring(engine, Keyring([Key(7, b"\7" * 32)]))
    with pytest.raises(UnknownKeyError):
        ada.get(Patient, 1)
    assert list(ada) == []


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DESTROYED], ids=str)
def test_a_key_that_must_not_read_is_named_with_its_state(ada, keyring, state):
    keyring.rotate()
    keyring.set_state(1, state)
    message = refuses_to_open(ada, KeyNotReadableError, Patient.name)
    assert f"which is {state.value}" in message


def test_without_a_keyring_reading_says_which_calls_give_one(ada, new_engine):
    with new_engine().connect() as connection:
        with pytest.raises(KeyringNotBoundError, match=r"patients\.name") as error:
            connection.scalar(select(Patient.name))
    assert "bind_keyring(" in str(error.value)


# Stored values: bytes


@pytest.mark.parametrize("position", [24, 36, 48, -17, -16, -1])
def test_a_flipped_bit_in_the_body_does_not_authenticate(ada, position):
    def flip(stored):
        altered = bytearray(stored)
        altered[position] ^= 1
        return bytes(altered)

    overwrite(ada, "name", flip)
    message = refuses_to_open(ada, AuthenticationError, Patient.name)
    assert "Restore the value from a backup" in message


@pytest.mark.parametrize(
    ("position", "value", "error"),
    [
        (0, 0x00, NotSealedError),
        (1, 0x12, DeclarationMismatchError),
        (1, 0x99, MalformedEnvelopeError),
        (2, 0x00, DeclarationMismatchError),
        (2, 0x05, DeclarationMismatchError),
        (2, 0x80, MalformedEnvelopeError),
        (3, 0x02, DeclarationMismatchError),
        (7, 0x02, MalformedEnvelopeError),
        (8, 0xFF, UnknownKeyError),
    ],
)
def test_an_altered_header_is_told_apart(ada, position, value, error):
    def alter(stored):
        return stored[:position] + bytes([value]) + stored[position + 1 :]

    overwrite(ada, "name", alter)
    refuses_to_open(ada, error, Patient.name)


@pytest.mark.parametrize("length", [1, 8, 23, 24, 36, 48, 63])
def test_a_value_shorter_than_any_envelope_is_malformed(ada, length):
    overwrite(ada, "name", lambda stored: stored[:length])
    refuses_to_open(ada, MalformedEnvelopeError, Patient.name)


@pytest.mark.parametrize("length", [64, 79])
def test_a_truncated_value_does_not_authenticate(ada, length):
    overwrite(ada, "name", lambda stored: stored[:length])
    refuses_to_open(ada, AuthenticationError, Patient.name)


def test_a_value_with_bytes_behind_it_does_not_authenticate(ada):
    overwrite(ada, "name", lambda stored: stored + b"\0")
    refuses_to_open(ada, AuthenticationError, Patient.name)


def test_an_empty_value_is_not_sealed(ada):
    overwrite(ada, "name", lambda _stored: b"")
    refuses_to_open(ada, NotSealedError, Patient.name)


@pytest.mark.parametrize(
    ("alter", "error"),
    [
        (lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"), DecryptionError),
        (lambda s: s[:-4], DecryptionError),
        (lambda s: s[:20], MalformedEnvelopeError),
        (lambda s: s + "=", MalformedEnvelopeError),
        (lambda s: s + "\n", MalformedEnvelopeError),
        (lambda s: s[:40] + "+" + s[41:], MalformedEnvelopeError),
        (lambda s: s[4:], NotSealedError),
        (lambda _s: "", NotSealedError),
        (lambda _s: "l", NotSealedError),
        (lambda _s: "sld:", DecryptionError),
        (lambda _s: "sld:A", MalformedEnvelopeError),
    ],
)
def test_an_altered_text_form_is_told_apart(ada, alter, error):
    overwrite(ada, "label", alter)
    refuses_to_open(ada, error, Patient.label)


def test_an_altered_deterministic_value_does_not_authenticate(ada):
    overwrite(ada, "tag", lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]))
    refuses_to_open(ada, AuthenticationError, Patient.tag)


def test_plaintext_in_a_sealed_column_is_not_returned(ada):
    overwrite(ada, "name", lambda _stored: b"ada")
    message = refuses_to_open(ada, NotSealedError, Patient.name)
    assert "not sealed" in message
    assert "sealed status" in message


def test_plaintext_in_a_sealed_text_column_is_not_returned(ada):
    overwrite(ada, "label", lambda _stored: "ada")
    refuses_to_open(ada, NotSealedError, Patient.label)


def test_a_text_form_in_a_binary_column_is_not_opened(ada, stored):
    form = stored(Patient.label)[0].encode()
    overwrite(ada, "name", lambda _stored: form)
    refuses_to_open(ada, NotSealedError, Patient.name)


# Stored values: places


def test_a_value_moved_from_another_column_does_not_open(ada):
    ada.execute(text("UPDATE patients SET name = nick"))
    ada.commit()
    message = refuses_to_open(ada, AuthenticationError, Patient.name)
    assert "sealed for another column" in message
    assert "context=" in message


def test_a_value_of_another_type_does_not_open(ada):
    ada.execute(text("UPDATE patients SET name = born"))
    ada.commit()
    message = refuses_to_open(ada, DeclarationMismatchError, Patient.name)
    assert "codec 0x07, declared 0x01" in message


def test_a_deterministic_value_in_a_randomized_column_does_not_open(ada):
    ada.execute(text("UPDATE patients SET name = tag"))
    ada.commit()
    message = refuses_to_open(ada, DeclarationMismatchError, Patient.name)
    assert "suite AES_256_SIV, declared XAES_256_GCM" in message


def test_a_value_of_another_row_opens(ada):
    """A column type binds to the field, not to the row: stated in the documentation."""
    ada.add(Patient(id=2, name="grace"))
    ada.commit()
    grace = select(RAW.c.name).where(RAW.c.id == 2)
    moved = ada.scalar(grace)
    raw = table("patients", column("id"), column("name", LargeBinary))
    ada.execute(update(raw).where(raw.c.id == 1).values(name=moved))
    assert ada.get(Patient, 1).name == "grace"


def test_the_good_rows_around_a_bad_one_can_be_read(ada):
    ada.add_all([Patient(id=2, name="grace"), Patient(id=3, name="joan")])
    ada.commit()
    raw = table("patients", column("id"), column("name", LargeBinary))
    ada.execute(update(raw).where(raw.c.id == 2).values(name=b"bad"))
    ada.commit()
    with pytest.raises(NotSealedError):
        ada.scalars(select(Patient.name)).all()
    query = select(Patient.name).where(Patient.id != 2).order_by(Patient.id)
    assert ada.scalars(query).all() == ["ada", "joan"]
    assert set(ada.scalars(select(Patient.id))) == {1, 2, 3}


def test_after_a_failed_read_the_transaction_goes_on(ada):
    overwrite(ada, "name", lambda _stored: b"bad")
    with pytest.raises(NotSealedError):
        ada.get(Patient, 1)
    ada.execute(update(Patient).values(name="mended"))
    ada.commit()
    assert ada.get(Patient, 1).name == "mended"


# Values that do not fit


class Colour(enum.Enum):
    red = 1


class Shade(enum.Enum):
    red = 1


class Strange:
    """Has what a careless codec might ask for, and is no value."""

    hour = minute = second = microsecond = 0
    tzinfo = None

    def __str__(self):
        return "1"

    def encode(self):
        return b"x"


NAIVE = dt.datetime(2026, 1, 1)
AWARE = dt.datetime(2026, 1, 1, tzinfo=UTC)
EAST, WEST = (dt.timezone(dt.timedelta(hours=h)) for h in (14, -12))
UNFIT = {
    "String": (sa.String, [1, 1.5, True, b"x", ["x"], {"x": 1}, Strange(), AWARE]),
    "surrogates": (sa.Text, ["\ud800", "a\udfffb", "\ud83d\udd11"]),
    "Integer": (sa.Integer, ["1", 1.0, 1.5, b"1", None.__class__, [1], 1j, Decimal(1)]),
    "int64": (sa.BigInteger, [2**63, -(2**63) - 1, 10**30]),
    "Numeric": (sa.Numeric, ["x", "", b"1", [1], object(), 1j]),
    "Numeric special": (
        sa.Numeric,
        [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), float("nan")],
    ),
    "Numeric scale": (sa.Numeric(9, 2), [Decimal("1.005"), 0.125, "0.001"]),
    "Numeric size": (sa.Numeric, [Decimal("1E+300000"), Decimal("1E-300000")]),
    "Float": (sa.Float, ["1.5", b"1.5", bytearray(b"1"), [1.5], 1j, 10**400]),
    "Boolean": (sa.Boolean, [2, -1, "yes", "", "true", b"\1", [True], 0.5]),
    "Date": (sa.Date, [NAIVE, AWARE, "2026-01-01", 20260101, dt.time.min, [1]]),
    "Time": (sa.Time, [NAIVE, AWARE, "12:00", 12, dt.time(1, tzinfo=UTC), Strange()]),
    "DateTime": (sa.DateTime, [AWARE, dt.date.min, dt.time.min, "2026-01-01", 0, 1.5]),
    "DateTime aware": (
        sa.DateTime(timezone=True),
        [NAIVE, dt.date.min, dt.time(1, tzinfo=UTC), "2026-01-01T00:00:00Z", 0],
    ),
    "DateTime beyond": (
        sa.DateTime(timezone=True),
        [dt.datetime.max.replace(tzinfo=WEST), dt.datetime.min.replace(tzinfo=EAST)],
    ),
    "Interval": (sa.Interval, [1, 1.5, "1 day", dt.time.min, NAIVE]),
    "Uuid": (sa.Uuid, [str(uuid.UUID(int=1)), 1, b"0" * 16, "", uuid.UUID(int=1).hex]),
    "Uuid text": (sa.Uuid(as_uuid=False), ["", "x", "0" * 31, 1, b"0" * 16]),
    "Enum": (sa.Enum(Colour), [1, "blue", Shade.red, Colour, "", b"red"]),
    "Enum strings": (sa.Enum("a", "b"), ["c", "A", "", 1, b"a", Colour.red]),
    "JSON": (sa.JSON, [{1, 2}, b"x", object(), Decimal(1), AWARE, float("nan"), 1j]),
    "JSON inside": (sa.JSON, [[float("inf")], {"a": {1}}, {(1,): 1}, ["\ud800"]]),
    "JSON null": (sa.JSON, [sa.JSON.NULL]),
    "LargeBinary": (sa.LargeBinary, ["x", 1, [1], {}, 1.5]),
    "ARRAY": (sa.ARRAY(sa.Integer), [1, "ab", b"ab", {1}, {1: 1}, [[1], 2], ["x"]]),
    "ARRAY text": (sa.ARRAY(sa.String), ["ab", ["a", 1], [["a"], "b"], [b"a"]]),
}


def endless():
    document = []
    document.append(document)
    return document


def deep():
    document = []
    for _ in range(100_000):
        document = [document]
    return document


UNFIT["JSON endless"] = (sa.JSON, [endless(), deep()])
UNFIT["ARRAY endless"] = (sa.ARRAY(sa.Integer), [endless(), deep()])


def sealed_table(inner, **options):
    return Table(
        "secrets",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("value", EncryptedType(inner, **options)),
    )


@pytest.mark.parametrize("name", UNFIT)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(
    engine, stored, name
):
    inner, values = UNFIT[name]
    secrets = sealed_table(inner)
    secrets.create(engine)
    accepted = []
    for value in values:
        with engine.begin() as connection:
            try:
                connection.execute(insert(secrets), {"value": value})
            except EncodingError as error:
                assert "secrets.value" in str(error)
                assert "Nothing was written" in str(error)
            else:
                accepted.append(type(value))
    assert accepted == []
    assert stored(secrets.c.value) == []


@pytest.mark.parametrize(
    ("inner", "value", "reason"),
    [
        (sa.DateTime(timezone=True), NAIVE, "attach a time zone"),
        (sa.DateTime, AWARE, "DateTime(timezone=True)"),
        (sa.Date, NAIVE, ".date()"),
        (sa.Time, dt.time(1, tzinfo=UTC), "time zone"),
        (sa.Numeric(9, 2), Decimal("1.005"), "round the value first"),
        (sa.Numeric, Decimal("NaN"), "NaN"),
        (sa.Enum("a"), "b", "not a member"),
        (sa.ARRAY(sa.Integer), 1, "expected a list"),
        (sa.Boolean, 2, "True or False"),
        (sa.Float, "1.5", "expected a number"),
        (sa.String, 1, "a Python int does not fit"),
        (sa.Integer, "1", "a Python str does not fit"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_error_says_what_to_do(engine, inner, value, reason):
    secrets = sealed_table(inner)
    with engine.connect() as connection, pytest.raises(EncodingError) as error:
        connection.execute(insert(secrets), {"value": value})
    assert reason in str(error.value)


@pytest.mark.parametrize("bad", [0, 1, 99], ids=["first", "second", "last"])
def test_one_bad_row_of_many_writes_none(engine, stored, bad):
    secrets = sealed_table(sa.String)
    secrets.create(engine)
    rows = [{"value": f"v{n}"} for n in range(100)]
    rows[bad] = {"value": 5}
    with pytest.raises(EncodingError), engine.begin() as connection:
        connection.execute(insert(secrets), rows)
    assert stored(secrets.c.value) == []


def test_one_bad_object_of_a_flush_writes_none(session, stored):
    session.add_all([Patient(id=1, name="ada"), Patient(id=2, name=5)])
    with pytest.raises(EncodingError, match=r"patients\.name"):
        session.commit()
    session.rollback()
    assert stored(Patient.name) == []


def test_a_bad_value_leaves_the_stored_one(ada, stored):
    before = stored(Patient.name)
    ada.get(Patient, 1).name = "\ud800"
    with pytest.raises(EncodingError):
        ada.commit()
    ada.rollback()
    assert stored(Patient.name) == before
    assert ada.get(Patient, 1).name == "ada"


def test_a_session_goes_on_after_a_bad_value(session, stored):
    session.add(patient := Patient(id=1, name=5))
    with pytest.raises(EncodingError):
        session.flush()
    session.rollback()
    patient.name = "ada"
    session.add(patient)
    session.commit()
    assert len(stored(Patient.name)) == 1


@pytest.mark.parametrize("suite", ["randomized", "deterministic"])
def test_a_deterministic_float_is_never_nan(engine, suite):
    secrets = sealed_table(sa.Float, suite=suite)
    secrets.create(engine)
    with engine.begin() as connection:
        if suite == "randomized":
            connection.execute(insert(secrets), {"value": float("nan")})
        else:
            with pytest.raises(EncodingError, match="NaN equals nothing"):
                connection.execute(insert(secrets), {"value": float("nan")})


def test_a_subclass_of_str_is_text(engine):
    class Name(str):
        __slots__ = ()

    secrets = sealed_table(sa.String)
    secrets.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(secrets), {"value": Name("ada")})
        assert connection.scalar(select(secrets.c.value)) == "ada"
