"""Checked by type checkers, never run: what was there before, and how it is moved."""

from __future__ import annotations

from datetime import date
from typing import assert_type

from sqlalchemy import Date, String, create_engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

from sqlalchemy_sealed import (
    EncryptedType,
    Migration,
    PlaintextPolicy,
    auto_migrate,
    close_plaintext,
    dual_write,
    encrypted,
    plaintext_reads,
)
from sqlalchemy_sealed.legacy import AesCbc, FernetTokens, SqlalchemyUtilsAes


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    ssn: Mapped[str | None]
    ssn_encrypted: Mapped[str | None] = mapped_column(EncryptedType(String))
    name: Mapped[str] = mapped_column(
        EncryptedType(
            String, legacy=SqlalchemyUtilsAes.from_env("KEY", padding="pkcs5")
        )
    )
    born: Mapped[date] = mapped_column(
        EncryptedType(Date, storage="text", plaintext=PlaintextPolicy("read"))
    )
    token = encrypted(
        String, nullable=False, legacy=[FernetTokens(["a", b"b"]), AesCbc(lambda: b"")]
    )


assert_type(EncryptedType(Date(), optional=True), EncryptedType[date])
assert_type(EncryptedType(String, plaintext="read"), EncryptedType[str])
assert_type(Patient.name, InstrumentedAttribute[str])
assert_type(Patient().token, str)
dual_write(Patient, "ssn", "ssn_encrypted")
engine = create_engine("sqlite://")
finished: bool = auto_migrate(engine, Base, background=True).wait(1.0)
closed: list[bool] = [state.is_closed for state in close_plaintext(engine, Base)]
moved: int = sum(report.counts.moved for report in Migration(engine, Base).run())
counted: int = plaintext_reads(engine)["patients.name", "plaintext"]
