"""Models of the tests of every kind of move; importable by other processes."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal

from sqlalchemy import JSON, Date, DateTime, Engine, Integer, Numeric, String, Text
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedType,
    Keyring,
    bind_keyring,
    compound_index,
    encrypted,
)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    """Plaintext columns with a sealed one beside each, and one that holds both."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    ssn: Mapped[str | None] = mapped_column(String(40))
    born: Mapped[dt.date | None] = mapped_column(Date)
    seen: Mapped[dt.datetime | None] = mapped_column(DateTime)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    points: Mapped[int | None] = mapped_column(Integer)
    data: Mapped[dict | None] = mapped_column(JSON(none_as_null=True))
    ssn_encrypted: Mapped[str | None] = mapped_column(
        EncryptedType(String, index=BlindIndex(normalize="casefold"))
    )
    born_encrypted: Mapped[dt.date | None] = mapped_column(EncryptedType(Date))
    seen_encrypted: Mapped[dt.datetime | None] = mapped_column(EncryptedType(DateTime))
    amount_encrypted: Mapped[Decimal | None] = mapped_column(
        EncryptedType(Numeric(10, 2))
    )
    points_encrypted: Mapped[int | None] = mapped_column(EncryptedType(Integer))
    data_encrypted: Mapped[dict | None] = mapped_column(
        EncryptedType(JSON(none_as_null=True))
    )
    note: Mapped[str | None] = mapped_column(EncryptedType(Text, storage="text"))


PLAIN = ("ssn", "born", "seen", "amount", "points", "data")
PAIRS = {name: f"{name}_encrypted" for name in PLAIN}


class Member(Base):
    """Attributes with every kind of index, bound to rows and tenants."""

    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    club: Mapped[str] = mapped_column(String(20))
    email = encrypted(String, index=BlindIndex(normalize="email"), bind="row")
    badge = encrypted(String, tenant="club", index=BlindIndex())
    name = encrypted(String)
    born = encrypted(Date)
    name_and_born = compound_index("name", "born", normalize=("casefold", None))


def connect() -> Engine:
    """Return an engine as another process makes it: keys from the environment."""
    engine = create_engine(os.environ["SHOP_URL"], poolclass=NullPool)
    bind_keyring(engine, Keyring.from_env())
    return engine
