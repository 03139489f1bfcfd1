"""A clinic's registry: patients found by e-mail, and by the last digits of a number.

pip install 'sqlalchemy-sealed[cli]'
sealed keys generate --out keys.toml
SEALED_KEY_FILE=keys.toml python examples/clinic.py
"""

from __future__ import annotations

import os
from datetime import date

from sqlalchemy import Date, String, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    Keyring,
    bind_keyring,
    compound_index,
    encrypted,
)


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "registry"

    id: Mapped[int] = mapped_column(primary_key=True)

    # One patient for each address, however it is written.
    email = encrypted(String, index=BlindIndex(normalize="email", unique=True))

    # "Your number ends in ...?" Ten thousand endings: a truncated index, so that a
    # thief of the table does not learn who shares one.
    insurance = encrypted(
        String, index=BlindIndex(bits=9, normalize="last4", population=10_000)
    )

    # Found by name and date of birth together, and by neither alone.
    name = encrypted(String, nullable=False)
    born = encrypted(Date)
    name_and_born = compound_index("name", "born", normalize=("casefold", None))


def register(
    session: Session, name: str, born: date, email: str, insurance: str
) -> Patient:
    """Add a patient, unless the address is taken."""
    patient = Patient(name=name, born=born, email=email, insurance=insurance)
    session.add(patient)
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        raise ValueError("a patient with this address is registered already") from None
    return patient


def by_email(session: Session, email: str) -> Patient | None:
    """Find a patient by the address, in upper case or not."""
    return session.scalars(select(Patient).where(Patient.email == email)).one_or_none()


def by_last_digits(session: Session, digits: str) -> list[Patient]:
    """Find the patients whose insurance number ends in four digits."""
    query = select(Patient).where(Patient.insurance == digits).order_by(Patient.id)
    return list(session.scalars(query))


def by_name(session: Session, name: str, born: date) -> list[Patient]:
    """Find the patients of a name and a date of birth."""
    query = select(Patient).where(Patient.name_and_born == (name, born))
    return list(session.scalars(query.order_by(Patient.id)))


def main() -> None:
    path = os.environ.get("SEALED_KEY_FILE")
    keyring = Keyring.from_file(path) if path else Keyring.from_env()
    engine = create_engine(os.environ.get("DATABASE_URL", "sqlite://"))
    bind_keyring(engine, keyring)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        ada = date(1815, 12, 10), "Ada@Lovelace.example", "A-815 1210"
        register(session, "Ada Lovelace", *ada)
        mary = date(1780, 12, 26), "mary@somerville.example", "S-780 1226"
        register(session, "Mary Somerville", *mary)
        found = by_email(session, "ADA@lovelace.example")
        print("by e-mail:", found and found.name)
        print("by last digits:", [one.name for one in by_last_digits(session, "1226")])
        again = by_name(session, "ADA LOVELACE", date(1815, 12, 10))
        print("by name and birth:", [one.email for one in again])
        try:
            register(session, "Someone", date(1900, 1, 1), "ADA@LOVELACE.EXAMPLE", "1")
        except ValueError as refused:
            print("refused:", refused)


if __name__ == "__main__":
    main()
