"""A clinic's patients: sealed columns in an SQLite file.

sealed keys generate --out keys.toml
SEALED_KEY_FILE=keys.toml python quickstart.py
"""

from __future__ import annotations

import os
from datetime import date
from typing import Any

from sqlalchemy import JSON, Date, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import EncryptedType, Keyring, bind_keyring


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: EncryptedType(JSON)}


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    clinic: Mapped[str]
    name: Mapped[str] = mapped_column(EncryptedType(String))
    born: Mapped[date | None] = mapped_column(EncryptedType(Date))
    notes: Mapped[dict[str, Any]]


def load_keys() -> Keyring:
    """Read the keys when the program starts, never at import."""
    path = os.environ.get("SEALED_KEY_FILE")
    return Keyring.from_file(path) if path else Keyring.from_env()


def main() -> None:
    engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///clinic.db"))
    bind_keyring(engine, load_keys())
    Base.metadata.create_all(engine)
    patients = [
        Patient(clinic="north", name="Ada", born=date(1815, 12, 10), notes={"a": 1}),
        Patient(clinic="north", name="Grace", born=date(1906, 12, 9), notes={}),
        Patient(clinic="south", name="Emmy", born=date(1882, 3, 23), notes={}),
    ]
    with Session(engine) as session:
        session.add_all(patients)
        session.commit()
        print(f"added {len(patients)} patients")
        northern = session.scalars(select(Patient).where(Patient.clinic == "north"))
        ada = next(patient for patient in northern if patient.name == "Ada")
        print(f"{ada.name} was born on {ada.born}")


if __name__ == "__main__":
    main()
