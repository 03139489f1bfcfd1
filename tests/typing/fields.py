"""Checked by mypy, pyright and ty, never run: sealed attributes and their indexes."""

from __future__ import annotations

from datetime import date
from typing import assert_type

from sqlalchemy import Date, Integer, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedType,
    compound_index,
    encrypted,
    plan_index,
)


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    email = encrypted(String, index=BlindIndex(normalize="email"))
    born = encrypted(Date, nullable=False)
    room = encrypted(Integer(), bind="row")
    card = encrypted(
        String,
        bind="row",
        suite="a256cbc-hs512",
        accepts=[EncryptedType(String), encrypted(String, bind="row")],
    )
    wing = encrypted(String, accepts=encrypted(String, suite="a256cbc-hs512"))
    who = compound_index("email", "born")


patient = Patient(email="ada@example.org", born=date(1815, 12, 10))
assert_type(patient.email, str | None)
assert_type(patient.born, date)
assert_type(patient.room, int | None)
assert_type(patient.card, str | None)
assert_type(patient.wing, str | None)
patient.email = "grace@example.org"
patient.email = None
patient.born = date(1906, 12, 9)
# Each line must be an error: mypy reports an ignore that is not needed.
patient.email = 5  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
patient.born = None  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
patient.room = "1"  # type: ignore[assignment]  # ty: ignore[invalid-assignment]

select(Patient).where(Patient.email == "ada@example.org")
select(Patient).where(Patient.email.in_(["ada@example.org"]), Patient.room.is_(None))
select(Patient).where(Patient.who == ("ada@example.org", date(1815, 12, 10)))
select(Patient).where(Patient.who.candidates(("x", None)))
select(Patient.email, Patient.born)
assert_type(plan_index(10_000).bits, int)
