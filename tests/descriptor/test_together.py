"""Keys that are fetched: one call for a flush, one for what was loaded together."""

from __future__ import annotations

import pytest
from sqlalchemy import String, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy_sealed import BlindIndex, IndexKey, Key, Keyring, bind_keyring
from sqlalchemy_sealed import encrypted, open_all
from sqlalchemy_sealed.errors import WouldBlockError


class FetchedKeyring(Keyring):
    """Knows its active key; others are fetched, and calls are counted."""

    def __init__(self, *keys, active, index_keys):
        held = [key for key in keys if key.version == active]
        super().__init__(held, active=active, index_keys=index_keys)
        self._elsewhere = {key.kid: key for key in keys}
        self.calls = []

    is_remote = True

    def prepare(self, kids):
        self.calls.append(len(kids))
        for kid in kids:
            self.publish(self._elsewhere[kid])


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    name = encrypted(String, index=BlindIndex())
    card = encrypted(String, bind="row")


ROOTS = [Key(n, bytes((n,)) * 32) for n in range(1, 6)]
INDEX = [IndexKey(1, bytes(range(64, 96)))]


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def fetched(active):
    return FetchedKeyring(*ROOTS, active=active, index_keys=INDEX)


def fill(engine):
    """Write a thousand rows under five keys."""
    for part, root in enumerate(ROOTS):
        bind_keyring(engine, Keyring(ROOTS, root.version, index_keys=INDEX))
        with Session(engine) as session:
            numbers = range(part * 200 + 1, part * 200 + 201)
            session.add_all(Patient(id=n, name=f"p{n}", card=f"c{n}") for n in numbers)
            session.commit()


def test_what_was_loaded_together_needs_one_call(engine):
    fill(engine)
    bind_keyring(engine, keyring := fetched(active=5))
    with Session(engine) as session:
        found = session.scalars(select(Patient).order_by(Patient.id)).all()
        assert keyring.calls == []
        assert [patient.name for patient in found] == [f"p{n}" for n in range(1, 1001)]
        assert keyring.calls == [4]
        assert [patient.card for patient in found] == [f"c{n}" for n in range(1, 1001)]
        assert keyring.calls == [4]


def test_a_flush_needs_one_call(engine):
    bind_keyring(engine, keyring := fetched(active=5))
    with Session(engine) as session:
        session.add_all(Patient(id=n, name=f"p{n}", card="c") for n in range(1, 101))
        session.flush()
        assert keyring.calls == [0]
        for patient in session.scalars(select(Patient)):
            patient.name += "x"
        session.flush()
        assert keyring.calls == [0, 0]
        session.commit()


def test_an_instance_without_a_session_fetches_for_itself(engine):
    fill(engine)
    bind_keyring(engine, fetched(active=5))
    with Session(engine) as session:
        [one] = session.scalars(select(Patient).where(Patient.id == 1))
        session.expunge(one)
        session.close()
        bind_keyring(engine, Keyring(ROOTS, 5, index_keys=INDEX))
        assert one.name == "p1"


async def test_reading_does_not_block_an_event_loop(async_engine):
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    bind_keyring(async_engine, Keyring(ROOTS, 1, index_keys=INDEX))
    async with AsyncSession(async_engine) as session:
        session.add_all(Patient(id=n, name=f"p{n}", card=f"c{n}") for n in range(1, 9))
        await session.commit()
    bind_keyring(async_engine, keyring := fetched(active=5))
    async with AsyncSession(async_engine) as session:
        found = (await session.scalars(select(Patient).order_by(Patient.id))).all()
        with pytest.raises(WouldBlockError, match=r"await open_all\(objects\)"):
            found[0].name  # noqa: B018
        assert keyring.calls == []
        await open_all(found)
        assert keyring.calls == [1]
        assert [one.name for one in found] == [f"p{n}" for n in range(1, 9)]
        assert [one.card for one in found] == [f"c{n}" for n in range(1, 9)]
        assert keyring.calls == [1]
