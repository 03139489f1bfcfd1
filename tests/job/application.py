"""The models of the job tests, importable by a subprocess."""

from __future__ import annotations

from sqlalchemy import JSON, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import EncryptedType


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(EncryptedType(String))


class Wide(Base):
    """Several sealed columns of every kind, and a composite key."""

    __tablename__ = "wide"

    group: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plain: Mapped[str | None] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(EncryptedType(String))
    code: Mapped[str | None] = mapped_column(
        EncryptedType(String, suite="deterministic")
    )
    data: Mapped[dict | None] = mapped_column(EncryptedType(JSON, storage="text"))
