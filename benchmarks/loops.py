"""The usual way to re-encrypt: an ORM loop.

It loads 1,000 objects, assigns, flushes and commits. Nothing is compared with what was
read, so what an application writes between load and commit is lost; that is not
measured here, but it is what the loops save.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from baselines import BATCH
from contenders import values
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import URL, BigInteger, String, Text, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    AesGcmEngine,
    StringEncryptedType,
)

__all__ = ["LOOPS", "Loop"]

_secret = "the former secret"


class _Base(DeclarativeBase):
    """The models of the loops."""


class _Customer(_Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(
        StringEncryptedType(String, lambda: _secret, AesGcmEngine)
    )


_FORMER, _NEW = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
#: Reads both keys and writes the new one.
_BOTH = MultiFernet([_NEW, _FORMER])


class _Connection(_Base):
    """A transparent property over a column of Fernet tokens."""

    __tablename__ = "connection"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    token_encrypted: Mapped[str] = mapped_column(Text)

    @property
    def token(self) -> str:
        return _BOTH.decrypt(self.token_encrypted.encode()).decode()

    @token.setter
    def token(self, plain: str) -> None:
        self.token_encrypted = _BOTH.encrypt(plain.encode()).decode()


class Loop(ABC):
    """One application's loop."""

    model: Any

    def fill(self, url: URL, rows: int) -> None:
        """Lay its table out anew, under the former key."""
        self.use_former_key()
        engine = create_engine(url)
        self.model.__table__.drop(engine, checkfirst=True)
        self.model.__table__.create(engine)
        with engine.begin() as connection:
            connection.execute(
                insert(self.model),
                [self.stored(n, values(1, n)["c0"]) for n in range(1, rows + 1)],
            )
        engine.dispose()

    def run(self, url: URL) -> None:
        """Load with the former key, write with the new one."""
        engine = create_engine(url)
        last = 0
        with Session(engine) as session:
            while True:
                self.use_former_key()
                page = select(self.model).where(self.model.id > last)
                page = page.order_by(self.model.id).limit(BATCH)
                objects = session.scalars(page).all()
                if not objects:
                    break
                last = objects[-1].id
                self.use_new_key()
                for one in objects:
                    self.rewrite(one)
                session.commit()
                session.expunge_all()
        engine.dispose()

    @abstractmethod
    def use_former_key(self) -> None:
        """Read with the former key from here on, if there is only one at a time."""

    @abstractmethod
    def use_new_key(self) -> None:
        """Write with the new key from here on."""

    @abstractmethod
    def stored(self, row: int, plain: str) -> dict[str, Any]:
        """Return a row under the former key."""

    @abstractmethod
    def rewrite(self, one: Any) -> None:
        """Have an object written under the new key."""


class _Utils(Loop):
    model = _Customer

    def use_former_key(self) -> None:
        global _secret  # noqa: PLW0603 - how SQLAlchemy-Utils is given another key
        _secret = "the former secret"

    def use_new_key(self) -> None:
        global _secret  # noqa: PLW0603
        _secret = "the new secret"

    def stored(self, row: int, plain: str) -> dict[str, Any]:
        return {"id": row, "email": plain}

    def rewrite(self, one: Any) -> None:
        flag_modified(one, "email")


class _Property(Loop):
    model = _Connection

    def use_former_key(self) -> None:
        """Both are in use."""

    def use_new_key(self) -> None:
        """Both are in use."""

    def stored(self, row: int, plain: str) -> dict[str, Any]:
        return {"id": row, "token_encrypted": _FORMER.encrypt(plain.encode()).decode()}

    def rewrite(self, one: Any) -> None:
        one.token = one.token


LOOPS: dict[str, Loop] = {
    "ORM loop, SQLAlchemy-Utils": _Utils(),
    "ORM loop, Fernet property": _Property(),
}
