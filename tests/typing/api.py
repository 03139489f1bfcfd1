"""Checked by mypy, never run: what a user's type checker sees."""

from __future__ import annotations

from datetime import date
from typing import Any, assert_type

from sqlalchemy import JSON, Date, Integer, Select, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

from sqlalchemy_sealed import (
    Bucket,
    EncryptedType,
    Key,
    Keyring,
    Reencryption,
    bind_keyring,
    set_default_keyring,
)


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(EncryptedType(String))
    born: Mapped[date | None] = mapped_column(EncryptedType(Date()))
    notes: Mapped[dict[str, Any]] = mapped_column(EncryptedType(JSON))
    code: Mapped[int] = mapped_column(
        EncryptedType(Integer, context="patients.code", suite="deterministic")
    )
    memo: Mapped[str] = mapped_column(
        EncryptedType(String, storage="text", padding=Bucket(32))
    )
    fax: Mapped[str] = mapped_column(
        EncryptedType(String, suite="a256cbc-hs512", accepts=EncryptedType(String))
    )


assert_type(EncryptedType(String), EncryptedType[str])
assert_type(EncryptedType(Date()), EncryptedType[date])
assert_type(Patient.name, InstrumentedAttribute[str])
assert_type(Patient().born, date | None)
assert_type(Keyring.generate().active, Key)
assert_type(Keyring.from_env().rotate(), Key)

statement: Select[Any] = select(Patient).where(Patient.code == 5)
engine = create_engine("sqlite://")
bind_keyring(engine, Keyring.generate())
set_default_keyring(None)
moved: int = sum(report.counts.moved for report in Reencryption(engine, Base).run())
