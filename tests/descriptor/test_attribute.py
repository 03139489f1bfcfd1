"""A sealed attribute through the ORM: assigned, flushed, loaded, changed, searched."""

from __future__ import annotations

import pickle
import uuid

import pytest
from sqlalchemy import String, event, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    defer,
    load_only,
    make_transient,
    mapped_column,
    validates,
)
from sqlalchemy_sealed import BlindIndex, Keyring, bind_keyring, encrypted, tenant
from sqlalchemy_sealed.envelope import has_shape
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationError,
    EncodingError,
    KeyringNotBoundError,
    NotSearchableError,
    NotSealedError,
    SecretHandlingError,
)


class Base(DeclarativeBase):
    pass


class SlackConnection(Base):
    """The first system of the seeds: a token over its ciphertext column (D1)."""

    __tablename__ = "slack_connections"
    id: Mapped[int] = mapped_column(primary_key=True)
    bot_token = encrypted(String, nullable=False)


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    number: Mapped[int | None] = mapped_column()
    clinic: Mapped[str | None] = mapped_column(String(20))
    email = encrypted(String, index=BlindIndex(normalize="email", unique=True))
    phone = encrypted(String, index=BlindIndex(normalize="digits"))
    name = encrypted(String)
    card = encrypted(String, column="card_sealed", bind="row")
    ward = encrypted(String, tenant="clinic", index=BlindIndex())
    note = encrypted(String, bind="row", tenant="clinic")

    @validates("name")
    def _check_name(self, key, value):
        if value == "":
            raise ValueError("no name")
        return value and value.strip()


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    ada = Patient(
        number=1,
        clinic="north",
        email="Ada@Example.org",
        phone="+49 30 1234",
        name="Ada",
        card="4111",
        ward="w1",
        note="n1",
    )
    session.add(ada)
    session.commit()
    return ada


SEALED = ("email", "phone", "name", "card", "ward", "note")


def values(patient):
    return tuple(getattr(patient, name) for name in SEALED)


# Reading and writing


def test_a_token_is_assigned_and_read_as_plaintext_and_stored_as_ciphertext(
    session, stored
):
    connection = SlackConnection(bot_token="xoxb-1")
    assert connection.bot_token == "xoxb-1"
    session.add(connection)
    session.commit()
    assert connection.bot_token == "xoxb-1"
    [found] = stored(SlackConnection.bot_token_encrypted)
    assert has_shape(bytes(found))
    assert b"xoxb" not in bytes(found)
    with pytest.raises(IntegrityError):
        session.add(SlackConnection())
        session.commit()


def test_every_attribute_comes_back(session, ada, stored):
    session.expire_all()
    expected = ("Ada@Example.org", "+49 30 1234", "Ada", "4111", "w1", "n1")
    assert values(ada) == expected
    session.expunge_all()
    assert values(session.scalars(select(Patient)).one()) == expected
    for attribute in (Patient.email_encrypted, Patient.card_sealed):
        [found] = stored(attribute)
        assert has_shape(bytes(found))


def test_none_is_null(session, ada, stored):
    for name in SEALED:
        setattr(ada, name, None)
    session.commit()
    assert values(ada) == (None,) * 6
    assert stored(Patient.email_encrypted) == [None]
    assert stored(Patient.email_bidx) == [None]
    assert session.scalars(select(Patient).where(Patient.email.is_(None))).one() is ada


def test_an_equal_value_emits_no_update(session, ada, statements):
    session.refresh(ada)
    statements.clear()
    for name, value in zip(SEALED, values(ada), strict=True):
        setattr(ada, name, value)
    assert not session.is_modified(ada)
    session.commit()
    assert not [s for s in statements if s.startswith("UPDATE")]


def test_a_change_writes_one_attribute_and_its_term(session, ada, stored, statements):
    before = stored(Patient.name_encrypted), stored(Patient.email_bidx)
    ada.phone = "555"
    session.commit()
    [update] = [s for s in statements if s.startswith("UPDATE")]
    assert "phone_encrypted" in update
    assert "phone_bidx" in update
    assert "email" not in update
    assert (stored(Patient.name_encrypted), stored(Patient.email_bidx)) == before
    assert session.scalars(select(Patient).where(Patient.phone == "5-5-5")).one() is ada


def test_a_value_that_was_assigned_is_read_before_the_flush(session):
    patient = Patient(name=" Grace ")
    assert patient.name == "Grace"
    patient.name = None
    assert patient.name is None
    patient.name = "Grace"
    session.add(patient)
    session.flush()
    patient.name = "Hopper"
    assert patient.name == "Hopper"
    session.refresh(patient)
    assert patient.name == "Grace"


def test_validates_sees_the_plaintext(session):
    with pytest.raises(ValueError, match="no name"):
        Patient(name="")


def test_expiring_and_refreshing_forget_what_was_opened(session, ada, engine):
    assert ada.name == "Ada"
    with Session(engine) as other:
        other.get(Patient, ada.id).name = "Lovelace"
        other.commit()
    session.commit()
    session.refresh(ada)
    assert ada.name == "Lovelace"
    session.expire(ada, ["name_encrypted"])
    assert ada.name == "Lovelace"
    query = select(Patient).execution_options(populate_existing=True)
    assert session.scalars(query).one().name == "Lovelace"


def test_nothing_is_opened_before_it_is_read(session, ada):
    session.expunge_all()
    session.execute(text("UPDATE patients SET name_encrypted = phone_encrypted"))
    session.commit()
    [patient] = session.scalars(select(Patient))
    assert patient.email == "Ada@Example.org"
    with pytest.raises(AuthenticationError):
        patient.name  # noqa: B018


@pytest.mark.parametrize(
    "option",
    [
        lambda: defer(Patient.name_encrypted),
        lambda: load_only(Patient.email_encrypted),
        lambda: defer(Patient.id, raiseload=False),
    ],
)
def test_deferred_columns_are_loaded_when_read(session, ada, option):
    session.expunge_all()
    patient = session.scalars(select(Patient).options(option())).one()
    assert values(patient) == (
        "Ada@Example.org",
        "+49 30 1234",
        "Ada",
        "4111",
        "w1",
        "n1",
    )


def test_rows_that_stream_are_opened(session, ada):
    for number in range(2, 30):
        session.add(Patient(number=number, name=f"p{number}"))
    session.commit()
    session.expunge_all()
    query = select(Patient).order_by(Patient.number).execution_options(yield_per=5)
    names = [patient.name for patient in session.scalars(query)]
    assert names == ["Ada", *(f"p{n}" for n in range(2, 30))]


def test_a_detached_instance_opens_with_the_key_that_it_names(session, ada):
    session.refresh(ada)
    session.expunge(ada)
    assert values(ada)[:4] == ("Ada@Example.org", "+49 30 1234", "Ada", "4111")


def test_a_detached_instance_of_an_unknown_key_says_so(session, engine):
    bind_keyring(engine, Keyring.generate())
    ada = Patient(name="Ada")
    session.add(ada)
    session.commit()
    session.refresh(ada)
    session.expunge(ada)
    bind_keyring(engine, Keyring.generate())
    with pytest.raises(KeyringNotBoundError, match="belongs to no session"):
        ada.name  # noqa: B018


def test_merging_writes_nothing_that_is_equal(session, ada, engine, statements):
    session.refresh(ada)
    session.expunge(ada)
    with Session(engine) as other:
        other.get(Patient, ada.id)
        statements.clear()
        merged = other.merge(ada)
        assert values(merged) == values(ada)
        other.commit()
        assert not [s for s in statements if s.startswith("UPDATE")]
        ada.name = "Lovelace"
        assert other.merge(ada).name == "Lovelace"
        other.commit()
        assert merged.name == "Lovelace"


def test_pickles_hold_ciphertext_and_open_again(session, ada):
    session.refresh(ada)
    assert ada.name == "Ada"
    assert values(ada)
    data = pickle.dumps(ada)
    assert b"Ada" not in data
    assert pickle.loads(data).name == "Ada"


def test_an_instance_that_was_not_flushed_is_not_pickled(session):
    with pytest.raises(SecretHandlingError, match="Flush it first"):
        pickle.dumps(Patient(name="Ada"))


def test_rollback_and_adding_again(session, ada):
    patient = Patient(name="Grace", card="42", clinic="south", note="n", email="g@x")
    session.add(patient)
    session.flush()
    session.rollback()
    session.add(patient)
    session.commit()
    session.expire_all()
    assert (patient.name, patient.card, patient.note) == ("Grace", "42", "n")
    assert (
        session.scalars(select(Patient).where(Patient.email == "G@X")).one() is patient
    )


def test_a_failed_flush_loses_nothing(session, ada):
    patient = Patient(email="ada@EXAMPLE.org", name="Grace")
    session.add(patient)
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()
    assert patient.name == "Grace"
    patient.email = "grace@example.org"
    session.add(patient)
    session.commit()
    assert patient.email == "grace@example.org"


def test_deleting_the_attribute_stores_null(session, ada, stored):
    del ada.name
    session.commit()
    assert ada.name is None
    assert stored(Patient.name_encrypted) == [None]


def test_plaintext_in_the_column_is_never_returned(session, ada, engine):
    kind = "bytea" if engine.name == "postgresql" else "BLOB"
    value = "'plain'::bytea" if kind == "bytea" else "x'706c61696e'"
    session.execute(text(f"UPDATE patients SET name_encrypted = {value}"))
    session.commit()
    with pytest.raises(NotSealedError) as caught:
        ada.name  # noqa: B018
    assert "plain'" not in str(caught.value)
    # What cannot be read may be replaced.
    ada.name = "Ada"
    session.commit()
    assert ada.name == "Ada"


@pytest.mark.parametrize("wrong", ["plaintext", b"plaintext", 5])
def test_nothing_but_envelopes_is_written_to_the_column(session, ada, wrong):
    ada.name_encrypted = wrong
    with pytest.raises(EncodingError, match="Assign the plaintext to the attribute"):
        session.flush()


def test_an_envelope_of_another_column_is_not_written(session, ada):
    # A value that is bound to its row has another shape than one that is not.
    ada.name_encrypted = ada.card_sealed
    with pytest.raises(EncodingError, match="no sealed value of this column"):
        session.flush()


# What values are bound to


def test_a_value_that_was_moved_to_another_row_does_not_open(session, ada):
    grace = Patient(name="Grace", card="42", number=2)
    session.add(grace)
    session.commit()
    moved = session.scalar(text("SELECT card_sealed FROM patients WHERE number = 1"))
    session.execute(
        text("UPDATE patients SET card_sealed = :c WHERE number = 2"), {"c": moved}
    )
    session.commit()
    with pytest.raises(AuthenticationError, match="card_sealed"):
        grace.card  # noqa: B018
    assert ada.card == "4111"


def test_a_row_whose_key_changes_is_sealed_anew(session, ada):
    ada.id = uuid.uuid4()
    session.commit()
    session.expire_all()
    assert (ada.card, ada.note) == ("4111", "n1")


def test_a_row_whose_tenant_changes_is_sealed_anew(session, ada, stored):
    before = stored(Patient.ward_bidx)
    ada.clinic = "south"
    session.commit()
    session.expire_all()
    assert (ada.ward, ada.note, ada.card) == ("w1", "n1", "4111")
    assert stored(Patient.ward_bidx) != before


def test_a_tenant_that_was_not_loaded_is_known_when_it_changes(session, ada):
    session.expunge_all()
    patient = session.scalars(select(Patient).options(defer(Patient.clinic))).one()
    patient.clinic = "south"
    session.commit()
    assert (patient.ward, patient.note) == ("w1", "n1")


def test_a_value_and_its_tenant_change_together(session, ada):
    ada.clinic, ada.note = "south", "n2"
    assert (ada.ward, ada.note) == ("w1", "n2")
    session.commit()
    session.expire_all()
    assert (ada.ward, ada.note) == ("w1", "n2")


def test_a_copy_of_an_instance_does_not_carry_values_to_another_row(session, ada):
    session.refresh(ada)
    session.expunge(ada)
    make_transient(ada)
    ada.id, ada.email = uuid.uuid4(), None
    session.add(ada)
    with pytest.raises(AuthenticationError, match="sealed for another row"):
        session.flush()


def test_the_tenant_comes_from_the_row_or_from_the_scope(session):
    with tenant("south"):
        session.add(Patient(name="Grace", ward="w2"))
        session.add(Patient(name="Ida", ward="w2", clinic="north"))
        session.commit()
        found = session.scalars(select(Patient).where(Patient.ward == "w2")).one()
        assert (found.name, found.ward) == ("Grace", "w2")
    with tenant("north"):
        found = session.scalars(select(Patient).where(Patient.ward == "w2")).one()
        assert (found.name, found.ward) == ("Ida", "w2")


def test_without_a_tenant_nothing_is_written_or_searched(session):
    with pytest.raises(EncodingError, match="with tenant"):
        session.scalars(select(Patient).where(Patient.ward == "w1")).all()
    session.add(Patient(ward="w1"))
    with pytest.raises(EncodingError, match="'clinic'"):
        session.flush()


# Searching


def test_search_by_the_normalised_value(session, ada):
    session.add(Patient(email="grace@example.org", phone="030 1234"))
    session.commit()
    for condition in (
        Patient.email == "ada@example.ORG ",
        Patient.email.in_(["x", "ADA@example.org"]),
        Patient.phone == "49301234",
        ~(Patient.email == "grace@example.org"),
        Patient.email != "grace@example.org",
        Patient.email.not_in(["grace@example.org", "x"]),
    ):
        assert session.scalars(select(Patient).where(condition)).all() == [ada]
    assert session.query(Patient).filter_by(email="ada@example.org").count() == 1
    assert not session.scalars(select(Patient).where(Patient.phone == "none")).all()


def test_aliases_joins_and_subqueries(session, ada):
    other = aliased(Patient)
    query = select(other.name).where(other.email == "ada@example.org")
    assert session.scalars(query).all() == ["Ada"]
    joined = select(Patient.id).join(other, Patient.email == other.email)
    assert session.scalars(joined).all() == [ada.id]
    inside = select(Patient.id).where(Patient.email == "ada@example.org")
    query = select(Patient).where(Patient.id.in_(inside))
    assert session.scalars(query).all() == [ada]
    sub = select(Patient).where(Patient.phone == "+49301234").subquery()
    assert session.scalars(select(aliased(Patient, sub))).one().name == "Ada"


def test_columns_are_opened_where_they_are_selected(session, ada):
    query = select(Patient.email, Patient.card, Patient.ward, Patient.note)
    assert session.execute(query).one() == ("Ada@Example.org", "4111", "w1", "n1")
    assert session.execute(select(Patient.name)).one().name == "Ada"
    assert session.scalars(select(Patient.name.label("n"))).all() == ["Ada"]
    both = select(Patient, Patient.card, Patient.name)
    assert session.execute(both).one() == (ada, "4111", "Ada")
    other = aliased(Patient)
    assert session.execute(
        select(other.card, Patient.name).join(other, Patient.id == other.id)
    ).one() == ("4111", "Ada")


def test_equal_values_are_refused_by_a_unique_index(session, ada):
    session.add(Patient(email="ADA@example.org"))
    with pytest.raises(IntegrityError):
        session.commit()


def test_one_statement_serves_two_engines(engine, ada, new_engine, tmp_path):
    query = select(Patient).where(Patient.email == "ada@example.org")
    from sqlalchemy import create_engine

    second = create_engine(f"sqlite:///{tmp_path / 'second.db'}")
    bind_keyring(second, Keyring.generate())
    Base.metadata.create_all(second)
    with Session(second) as other:
        other.add(Patient(email="ada@example.org", name="Other"))
        other.commit()
        assert other.scalars(query).one().name == "Other"
    with Session(engine) as first:
        assert first.scalars(query).one().name == "Ada"
    second.dispose()


def test_exchanged_index_terms_are_an_error_when_read(session, ada):
    session.add(Patient(email="grace@example.org", number=2))
    session.commit()
    terms = dict(session.execute(text("SELECT number, email_bidx FROM patients")).all())
    session.execute(text("UPDATE patients SET email_bidx = NULL"))
    for number, other in ((1, 2), (2, 1)):
        session.execute(
            text("UPDATE patients SET email_bidx = :t WHERE number = :n"),
            {"t": terms[other], "n": number},
        )
    session.commit()
    found = session.scalars(select(Patient).where(Patient.email == "ada@example.org"))
    with pytest.raises(AuthenticationError, match="index term"):
        found.one().email  # noqa: B018


@pytest.mark.parametrize(
    "build",
    [
        lambda: Patient.name == "Ada",
        lambda: Patient.name.in_(["Ada"]),
        lambda: Patient.email < "b",
        lambda: Patient.email.like("a%"),
        lambda: Patient.email.contains("a"),
        lambda: Patient.email.desc(),
        lambda: Patient.email + "x",
        lambda: "x" + Patient.email,
        lambda: Patient.email.between("a", "b"),
        lambda: Patient.email == Patient.name,
        lambda: Patient.email == Patient.phone,
        lambda: Patient.email.in_(["a", None]),
        lambda: Patient.email.in_(select(Patient.email_bidx)),
        lambda: Patient.email.is_distinct_from("a"),
    ],
)
def test_what_has_no_answer_is_refused_when_it_is_built(build):
    with pytest.raises(Exception) as caught:
        build()
    assert isinstance(caught.value, NotSearchableError | DeclarationError) or (
        type(caught.value).__name__ == "MixedFieldsError"
    )
    assert "Patient." in str(caught.value)


def test_ordering_is_refused(session, ada):
    for attribute in (Patient.email, Patient.card, Patient.name):
        with pytest.raises(NotSearchableError):
            session.scalars(select(Patient).order_by(attribute)).all()


# The class


def test_the_attribute_is_a_hybrid_property(session):
    descriptors = inspect(Patient).all_orm_descriptors
    assert descriptors["email"].extension_type.name == "HYBRID_PROPERTY"
    assert "email_encrypted" in inspect(Patient).columns
    indexes = {index.name: index.unique for index in Patient.__table__.indexes}
    assert indexes["ix_patients_phone_bidx"] is False
    assert Patient.__table__.c.email_bidx.unique
