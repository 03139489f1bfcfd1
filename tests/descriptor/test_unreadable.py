"""Values that cannot be opened, or must not be."""

from __future__ import annotations

import pickle

import pytest
from sqlalchemy import String, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, load_only, mapped_column
from sqlalchemy_sealed import (
    BlindIndex,
    Ciphertext,
    EncryptedType,
    Keyring,
    Unreadable,
    bind_keyring,
    ciphertext_only,
    encrypted,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    CiphertextOnlyError,
    DeclarationError,
    EncodingError,
    UnknownKeyError,
)


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    name = encrypted(String, on_error="mark", index=BlindIndex())
    card = encrypted(String, bind="row", on_error="mark")
    plain: Mapped[str | None] = mapped_column(EncryptedType(String))
    tag: Mapped[str | None] = mapped_column(
        EncryptedType(String, suite="deterministic")
    )


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def patients(session):
    patients = [
        Patient(id=n, name=f"p{n}", card=f"c{n}", plain=f"x{n}", tag=f"t{n}")
        for n in range(1, 41)
    ]
    session.add_all(patients)
    session.commit()
    return patients


def damage(session, *ids):
    for number in ids:
        session.execute(
            text(
                "UPDATE patients SET card_encrypted = (SELECT card_encrypted FROM "
                "(SELECT * FROM patients) AS p WHERE p.id = :o) WHERE id = :n"
            ),
            {"n": number, "o": number + 1},
        )
    session.commit()


def test_one_bad_row_does_not_kill_a_listing(session, patients):
    damage(session, 7)
    cards = [p.card for p in session.scalars(select(Patient).order_by(Patient.id))]
    assert [c for c in cards if not isinstance(c, Unreadable)] == [
        f"c{n}" for n in range(1, 41) if n != 7
    ]
    bad = cards[6]
    assert bad.error == "AuthenticationError"
    assert "card_encrypted" in bad.reason
    assert f"{bad}" == str(bad) == repr(bad) == "<unreadable: AuthenticationError>"
    assert bad == bad  # noqa: PLR0124
    assert isinstance(pickle.loads(pickle.dumps(bad)), Unreadable)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x == "c7",
        lambda x: x != "c7",
        lambda x: bool(x),
        lambda x: len(x),
        lambda x: x + "1",
        lambda x: "1" + x,
        lambda x: x[0],
        lambda x: list(x),
        lambda x: x < "a",
        lambda x: int(x),
    ],
)
def test_a_marker_raises_when_it_is_used(use):
    marker = Unreadable(AuthenticationError("moved"))
    with pytest.raises(AuthenticationError, match="moved"):
        use(marker)


def test_a_marker_is_never_written(session, patients, stored):
    damage(session, 7)
    before = stored(Patient.card_encrypted)
    bad, good = patients[6], patients[0]
    marker = bad.card
    with pytest.raises(EncodingError, match="is not written"):
        good.card = marker
    with pytest.raises(EncodingError):
        session.execute(insert(Patient), [{"id": 99, "name": marker}])
    session.rollback()
    bad.name = "another"
    session.commit()
    assert stored(Patient.card_encrypted) == before
    # An explicit new value replaces what cannot be read.
    bad.card = "new"
    session.commit()
    session.expire_all()
    assert bad.card == "new"


def test_a_failure_of_everything_is_raised(session, patients, engine):
    bind_keyring(engine, Keyring.generate())
    session.expunge_all()
    query = select(Patient).options(load_only(Patient.name_encrypted))
    found = session.scalars(query).all()
    with pytest.raises(UnknownKeyError, match="no single bad row"):
        [patient.name for patient in found]


def test_the_policy_has_two_names():
    with pytest.raises(DeclarationError, match="on_error="):
        encrypted(String, on_error="ignore")


# Ciphertext only


def test_a_worker_that_must_not_read_gets_ciphertext(session, patients, stored, engine):
    bind_keyring(engine, Keyring.generate())
    session.expunge_all()
    stored_names = stored(Patient.name_encrypted)
    with ciphertext_only():
        found = session.scalars(select(Patient).order_by(Patient.id)).all()
        for attribute in ("name", "card", "plain", "tag"):
            assert isinstance(getattr(found[0], attribute), Ciphertext)
        assert found[0].name.stored == bytes(stored_names[0])
        query = select(Patient.name, Patient.card, Patient.plain).limit(1)
        assert all(isinstance(v, Ciphertext) for v in session.execute(query).one())
        assert "f5" not in repr(found[0].name)


def test_what_was_opened_before_is_not_shown_either(session, patients):
    assert patients[0].name == "p1"
    with ciphertext_only():
        assert isinstance(patients[0].name, Ciphertext)
    assert patients[0].name == "p1"


def test_nothing_is_sealed_there(session, patients, engine):
    with ciphertext_only():
        patients[0].name = "new"
        with pytest.raises(CiphertextOnlyError, match="nothing was written"):
            session.flush()
        session.rollback()
        patients[0].plain = "new"
        with pytest.raises(CiphertextOnlyError, match="nothing was written"):
            session.flush()
        session.rollback()
        with pytest.raises(CiphertextOnlyError):
            session.execute(insert(Patient), [{"id": 99, "name": "n"}])
        session.rollback()
    assert patients[0].name == "p1"
