"""Sealed attributes with asynchronous engines."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import String, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import BlindIndex, encrypted, tenant


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    clinic: Mapped[str | None] = mapped_column(String(20))
    email = encrypted(String, index=BlindIndex(normalize="email"))
    card = encrypted(String, bind="row")
    ward = encrypted(String, tenant="clinic", index=BlindIndex())


@pytest.fixture
async def async_engine(async_engine):
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return async_engine


async def test_flush_search_and_read(async_engine):
    async with AsyncSession(async_engine, expire_on_commit=False) as session:
        ada = Patient(id=1, email="Ada@x.org", card="4111", clinic="north", ward="w")
        session.add(ada)
        await session.commit()
        assert (ada.email, ada.card, ada.ward) == ("Ada@x.org", "4111", "w")
        session.expunge_all()
        query = select(Patient).where(Patient.email == "ada@X.org")
        found = (await session.scalars(query)).one()
        assert (found.email, found.card, found.ward) == ("Ada@x.org", "4111", "w")
        found.card = "42"
        await session.commit()
        rows = await session.execute(select(Patient.card, Patient.email))
        assert rows.one() == ("42", "Ada@x.org")
        mappings = [{"id": 2, "email": "b@x", "card": "2"}]
        await session.execute(insert(Patient), mappings)
        assert (await session.get(Patient, 2)).card == "2"


async def test_each_task_has_its_own_tenant(async_engine):
    async with AsyncSession(async_engine) as session:
        session.add_all(
            Patient(id=n, clinic=clinic, ward="w")
            for n, clinic in enumerate(("north", "south", "west"), 1)
        )
        await session.commit()

    async def find(clinic):
        with tenant(clinic):
            async with AsyncSession(async_engine) as session:
                await asyncio.sleep(0.01)
                query = select(Patient).where(Patient.ward == "w")
                return (await session.scalars(query)).one().clinic

    clinics = ["north", "south", "west"]
    assert await asyncio.gather(*map(find, clinics)) == clinics


async def test_streamed_rows_open(async_engine):
    async with AsyncSession(async_engine) as session:
        session.add_all(Patient(id=n, card=f"c{n}") for n in range(20))
        await session.commit()
        query = select(Patient).order_by(Patient.id).execution_options(yield_per=3)
        stream = await session.stream_scalars(query)
        assert [one.card async for one in stream] == [f"c{n}" for n in range(20)]
