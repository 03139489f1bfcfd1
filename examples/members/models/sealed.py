"""After revision 0003: the address is sealed, under the name it always had."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedType


class Base(DeclarativeBase):
    pass


class Member(Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(
        "email_encrypted",
        EncryptedType(String(200), index=BlindIndex(normalize="email")),
    )
