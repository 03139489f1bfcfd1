"""A256CBC-HS512 for attributes: bound to row and tenant, searched, moved, refused."""

from __future__ import annotations

import pytest
from sqlalchemy import Boolean, String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedType,
    Reencryption,
    SuiteId,
    encrypted,
)
from sqlalchemy_sealed.envelope import Header, from_text
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    EncodingError,
)
from sqlalchemy_sealed.status import status

CBC = "a256cbc-hs512"


def model(**options):
    """Return the model whose four attributes have these options."""

    class Base(DeclarativeBase):
        pass

    class Patient(Base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        clinic: Mapped[str] = mapped_column(String(20))
        name = encrypted(String, **each(options))
        email = encrypted(String, index=BlindIndex(normalize="email"), **each(options))
        card = encrypted(String, bind="row", **each(options, bind="row"))
        note = encrypted(
            String,
            bind="row",
            tenant="clinic",
            storage="text",
            **each(options, bind="row", tenant="clinic", storage="text"),
        )

    return Patient


def each(options, **bound):
    """Return options of one attribute, whose former declarations are bound as it is."""
    accepts = [encrypted(String, suite=one, **bound) for one in options.get("was", ())]
    kept = {name: value for name, value in options.items() if name != "was"}
    return {**kept, "accepts": accepts}


ATTRIBUTES = ("name", "email", "card", "note")
SUITES = {"randomized": 0x11, CBC: 0x15}


@pytest.fixture
def patients(engine, session):
    """Return the model with CBC, and four rows of it."""
    patient = model(suite=CBC)
    patient.metadata.create_all(engine)
    session.add_all(patient(id=n, clinic=f"c{n % 2}", **texts(n)) for n in range(1, 5))
    session.commit()
    return patient


def texts(n):
    return {name: f"{name}{n}@x" for name in ATTRIBUTES}


def looks(engine, patient):
    """Return suite and flags of what is stored in each column."""
    found = {}
    for column in patient.__table__.columns:
        attribute = column.name.removesuffix("_encrypted")
        if attribute in ATTRIBUTES and column.name != attribute:
            query = text(f"SELECT {column.name} FROM patients")
            with engine.connect() as connection:
                raw = list(connection.scalars(query))
            data = [from_text(v) if isinstance(v, str) else bytes(v) for v in raw]
            headers = [Header.parse(one) for one in data]
            found[attribute] = {(int(h.suite), int(h.flags)) for h in headers}
    return found


def expected_looks(suite):
    flags = {"name": 1, "email": 1, "card": 5, "note": 13}
    return {name: {(suite, bits)} for name, bits in flags.items()}


def test_values_come_back_and_are_bound(session, engine, patients):
    assert looks(engine, patients) == expected_looks(0x15)
    session.expire_all()
    for one in session.scalars(select(patients)):
        assert {name: getattr(one, name) for name in ATTRIBUTES} == texts(one.id)


def test_a_single_attribute_is_selected_and_opened(session, patients):
    for name in ATTRIBUTES:
        query = select(getattr(patients, name)).order_by(patients.id)
        assert list(session.scalars(query)) == [texts(n)[name] for n in range(1, 5)]


def test_a_value_is_found_through_its_index(session, patients):
    query = select(patients).where(patients.email == "EMAIL3@x")
    assert session.scalars(query).one().id == 3


@pytest.mark.parametrize("name", ["card", "note"])
def test_a_value_that_was_copied_to_another_row_is_an_error(session, patients, name):
    column = f"{name}_encrypted"
    taken = session.scalar(text(f"SELECT {column} FROM patients WHERE id = 1"))
    change = text(f"UPDATE patients SET {column} = :v WHERE id = 3")
    session.execute(change, {"v": taken})
    session.expire_all()
    with pytest.raises(AuthenticationError):
        getattr(session.get_one(patients, 3), name)


def test_an_envelope_of_another_suite_is_not_written(session, patients):
    values = patients.__table__
    own = session.scalar(select(values.c.name_encrypted).where(values.c.id == 1))
    other = bytes((own[0], 0x11)) + own[2:]
    session.execute(values.update().values(name_encrypted=own))
    with pytest.raises(Exception, match="no sealed value of this column") as caught:
        session.execute(values.update().values(name_encrypted=other))
    assert isinstance(caught.value, EncodingError)


def test_a_rotation_moves_every_value(session, engine, keyring, patients):
    session.close()
    keyring.rotate()
    [report] = Reencryption(engine, patients).run()
    assert (report.counts.moved, report.counts.dead) == (4, 0)
    assert looks(engine, patients) == expected_looks(0x15)
    test_values_come_back_and_are_bound(session, engine, patients)


def test_all_values_move_to_the_default_suite_and_back(
    session, engine, keyring, patients
):
    for former, suite in ((CBC, "randomized"), ("randomized", CBC)):
        session.close()
        present = model(suite=suite, was=[former])
        found = session.scalars(select(present).order_by(present.id)).all()
        assert [one.note for one in found] == [texts(n)["note"] for n in range(1, 5)]
        test_a_single_attribute_is_selected_and_opened(session, present)
        session.close()
        before = status(engine, present, keyring)
        assert {one.keys[0].state for one in before} == {"former declaration"}
        [report] = Reencryption(engine, present).run()
        assert (report.counts.moved, report.counts.dead) == (4, 0)
        assert looks(engine, present) == expected_looks(SUITES[suite])
        test_a_single_attribute_is_selected_and_opened(session, model(suite=suite))


@pytest.mark.parametrize("inner", [String, Boolean])
@pytest.mark.parametrize("suite", ["deterministic", SuiteId.AES_256_SIV])
def test_an_attribute_is_never_deterministic(inner, suite):
    with pytest.raises(DeclarationError, match="index=BlindIndex"):
        encrypted(inner, suite=suite)


@pytest.mark.parametrize("suite", ["cbc", "aes-cbc", "A256CBC", "", None, 0x15])
def test_nothing_else_is_a_suite(suite):
    """Bare CBC is never offered."""
    for declare in (encrypted, EncryptedType):
        with pytest.raises(DeclarationError, match="suite= is"):
            declare(String, suite=suite)


@pytest.mark.parametrize("bound", [{"bind": "row"}, {"tenant": "clinic"}])
def test_a_former_declaration_is_not_bound_to_more(bound):
    with pytest.raises(DeclarationError, match="accepts=.*bound to a row or a tenant"):
        encrypted(String, accepts=encrypted(String, suite=CBC, **bound))
