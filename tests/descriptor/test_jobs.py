"""Re-encryption, status and verification of what is bound to rows and tenants."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import (
    CHAR,
    Date,
    DateTime,
    LargeBinary,
    Numeric,
    String,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import BlindIndex, Reencryption, encrypted
from sqlalchemy_sealed.envelope import Header
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.jobs.verification import verify
from sqlalchemy_sealed.status import status


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    number: Mapped[int] = mapped_column()
    clinic: Mapped[str] = mapped_column(String(20))
    email = encrypted(String, index=BlindIndex(normalize="email", unique=True))
    card = encrypted(String, bind="row")
    note = encrypted(String, bind="row", tenant="clinic")
    ward = encrypted(String, tenant="clinic", index=BlindIndex())


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def fill(session, count=40):
    session.add_all(
        Patient(
            number=n,
            clinic=f"c{n % 3}",
            email=f"p{n}@x",
            card=f"card {n}" if n % 4 else None,
            note=f"note {n}",
            ward="w",
        )
        for n in range(count)
    )
    session.commit()


def expected(n):
    return (f"p{n}@x", f"card {n}" if n % 4 else None, f"note {n}", "w")


def test_reencryption_moves_values_and_leaves_terms(session, engine, keyring, stored):
    fill(session)
    terms = stored(Patient.email_bidx), stored(Patient.ward_bidx)
    session.close()
    keyring.rotate()
    [result] = Reencryption(engine, Base, batch_size=7).run()
    assert result.counts.moved == 40
    assert result.counts.dead == 0
    for attribute in ("email_encrypted", "card_encrypted", "note_encrypted"):
        found = [v for v in stored(getattr(Patient, attribute)) if v is not None]
        assert {Header.parse(bytes(v)).version for v in found} == {2}
    assert (stored(Patient.email_bidx), stored(Patient.ward_bidx)) == terms
    for patient in session.scalars(select(Patient)):
        values = (patient.email, patient.card, patient.note, patient.ward)
        assert values == expected(patient.number)
    assert session.scalars(select(Patient).where(Patient.email == "P7@x")).one()


def test_a_value_of_another_row_is_a_dead_letter(session, engine, keyring, stored):
    fill(session, 6)
    moved = session.scalar(text("SELECT card_encrypted FROM patients WHERE number = 1"))
    session.execute(
        text("UPDATE patients SET card_encrypted = :c WHERE number = 2"), {"c": moved}
    )
    session.commit()
    keyring.rotate()
    results = {r.column: r for r in verify(engine, Base)}
    assert results["card_encrypted"].failures == {"AuthenticationError": 1}
    [result] = Reencryption(engine, Base, max_dead_letters=5).run()
    assert result.counts.dead == 1
    left = session.scalar(text("SELECT card_encrypted FROM patients WHERE number = 2"))
    assert bytes(left) == bytes(moved)


def test_verification_and_status_open_every_value(session, engine):
    fill(session)
    session.close()
    for result in verify(engine, Base):
        assert not result.failures
        assert result.readable + result.nulls == 40
    found = {column.column: column for column in status(engine, Base)}
    assert set(found) == {f"{n}_encrypted" for n in ("email", "card", "note", "ward")}


KEYS = [
    (CHAR(10), "ab"),
    (String(20), "key "),
    (Date(), dt.date(2024, 2, 29)),
    (DateTime(), dt.datetime(2024, 2, 29, 12, 30)),
    (Numeric(9, 2), Decimal("10.50")),
    (LargeBinary(16), b"\x00\xffkey"),
]


@pytest.mark.parametrize(("kind", "key"), KEYS, ids=lambda x: type(x).__name__)
def test_row_ids_of_the_orm_and_of_the_jobs_agree(engine, session, keyring, kind, key):
    if engine.name == "mysql" and isinstance(kind, LargeBinary):
        kind = LargeBinary(16).with_variant(mysql_binary(), "mysql")

    class Own(DeclarativeBase):
        pass

    class Row(Own):
        __tablename__ = "rows"
        key: Mapped[object] = mapped_column(kind, primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        card = encrypted(String, bind="row")

    Own.metadata.create_all(engine)
    session.add(Row(key=key, number=-5, card="4111"))
    session.commit()
    assert session.scalars(select(Row)).one().card == "4111"
    assert session.scalars(select(Row.card)).one() == "4111"
    session.close()
    keyring.rotate()
    if engine.name == "sqlite" and isinstance(kind, Numeric):
        # SQLite has no decimals: the driver's own key is a float.
        with pytest.raises(ConfigurationError, match="float"):
            Reencryption(engine, Own).run()
        return
    [result] = Reencryption(engine, Own).run()
    assert (result.counts.moved, result.counts.dead) == (1, 0)
    assert session.scalars(select(Row)).one().card == "4111"


def mysql_binary():
    from sqlalchemy.dialects.mysql import VARBINARY

    return VARBINARY(16)
