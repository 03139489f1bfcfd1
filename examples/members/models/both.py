"""Between revisions 0002 and 0004: both columns are written, the old one is read."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedType, dual_write


class Base(DeclarativeBase):
    pass


class Member(Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(200))
    email_encrypted: Mapped[str | None] = mapped_column(
        EncryptedType(String(200), index=BlindIndex(normalize="email"))
    )


dual_write(Member, "email", "email_encrypted")
