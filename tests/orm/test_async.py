"""The asynchronous engines: the same types, through greenlets and other drivers."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import (
    JSON,
    Date,
    ForeignKey,
    LargeBinary,
    String,
    column,
    func,
    insert,
    select,
    table,
    text,
    type_coerce,
    update,
)
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    selectinload,
)
from sqlalchemy_sealed import EncryptedType, Keyring, bind_keyring
from sqlalchemy_sealed.envelope import has_shape
from sqlalchemy_sealed.errors import (
    DeclarationMismatchError,
    EncodingError,
    KeyringNotBoundError,
    NotSearchableError,
    UnknownKeyError,
)


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(EncryptedType(String))
    born: Mapped[dt.date | None] = mapped_column(EncryptedType(Date))
    notes: Mapped[dict | None] = mapped_column(EncryptedType(JSON, storage="text"))
    ssn: Mapped[str | None] = mapped_column(
        EncryptedType(String, suite="deterministic")
    )
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("patients.id"))
    children: Mapped[list[Patient]] = relationship(order_by="Patient.id")


BORN = dt.date(1906, 12, 9)


@pytest.fixture
async def async_engine(async_engine):
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return async_engine


@pytest.fixture
async def session(async_engine):
    async with AsyncSession(async_engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
async def people(session):
    session.add_all(
        [
            Patient(id=1, name="grace", born=BORN, notes={"a": [1]}, ssn="1"),
            Patient(id=2, name=None, ssn="2", parent_id=1),
            Patient(id=3, name="ada", ssn="3", parent_id=1),
        ]
    )
    await session.commit()
    session.expunge_all()


async def raw(engine, name):
    query = select(column(name)).select_from(table("patients")).order_by(column("id"))
    async with engine.connect() as connection:
        return list(await connection.scalars(query))


async def test_a_flushed_object_is_sealed_and_opens(session, people, async_engine):
    assert [v and v[:2] for v in await raw(async_engine, "name")] == [
        b"\xf5\x11",
        None,
        b"\xf5\x11",
    ]
    assert (await raw(async_engine, "notes"))[0].startswith("sld:")
    patient = await session.get(Patient, 1)
    assert (patient.name, patient.born, patient.notes) == ("grace", BORN, {"a": [1]})


async def test_many_rows_of_one_insert(session, async_engine):
    rows = [{"id": n, "name": f"p{n}"} for n in range(1, 1501)]
    await session.execute(insert(Patient), rows)
    await session.commit()
    assert all(has_shape(value) for value in await raw(async_engine, "name"))
    assert (await session.get(Patient, 1500)).name == "p1500"


async def test_returning_opens(session):
    statement = insert(Patient).returning(Patient.name, sort_by_parameter_order=True)
    names = [f"p{n}" for n in range(1200)]
    found = await session.scalars(statement, [{"name": name} for name in names])
    assert found.all() == names


async def test_an_update_is_sealed(session, people, async_engine):
    await session.execute(update(Patient).where(Patient.id == 2).values(name="new"))
    await session.commit()
    assert has_shape((await raw(async_engine, "name"))[1])
    assert (await session.get(Patient, 2)).name == "new"


async def test_streamed_rows_open(session):
    rows = [{"id": n, "name": f"p{n}"} for n in range(1, 301)]
    await session.execute(insert(Patient), rows)
    query = select(Patient.name).order_by(Patient.id).execution_options(yield_per=50)
    result = await session.stream_scalars(query)
    assert [name async for name in result] == [row["name"] for row in rows]


async def test_streamed_entities_open(session, people):
    result = await session.stream(select(Patient).order_by(Patient.id))
    assert [p.name async for p in result.scalars()] == ["grace", None, "ada"]


async def test_a_streaming_connection_opens(async_engine, people):
    async with async_engine.connect() as connection:
        query = select(Patient.__table__.c.name).order_by(Patient.__table__.c.id)
        async with connection.stream(query) as result:
            partitions = [list(part) async for part in result.partitions(2)]
    assert partitions == [[("grace",), (None,)], [("ada",)]]


async def test_refresh_and_awaited_attributes_open(session, people):
    patient = await session.get(Patient, 1)
    await session.refresh(patient, ["name"])
    assert patient.name == "grace"
    assert [child.name for child in await patient.awaitable_attrs.children] == [
        None,
        "ada",
    ]


async def test_eager_loading_opens(session, people):
    query = (
        select(Patient).options(selectinload(Patient.children)).where(Patient.id == 1)
    )
    patient = (await session.scalars(query)).one()
    assert [child.name for child in patient.children] == [None, "ada"]


async def test_a_deterministic_search_finds(session, people):
    query = select(Patient.name).where(Patient.ssn.in_(["1", "3"])).order_by(Patient.id)
    assert (await session.scalars(query)).all() == ["grace", "ada"]


async def test_a_search_finds_every_key_version(session, people, keyring):
    query = select(Patient.id).where(Patient.ssn == "1")
    assert (await session.scalars(query)).all() == [1]
    keyring.rotate()
    session.add(Patient(id=9, ssn="1"))
    await session.flush()
    assert set(await session.scalars(query)) == {1, 9}


async def test_run_sync_opens(session, people):
    def names(sync_session):
        return sync_session.scalars(select(Patient.name).order_by(Patient.id)).all()

    assert await session.run_sync(names) == ["grace", None, "ada"]


async def test_tasks_at_the_same_time_keep_their_values(async_engine):
    sessions = async_sessionmaker(async_engine)

    async def write_and_read(n):
        async with sessions() as session:
            session.add(Patient(id=n, name=f"p{n}", ssn=f"s{n}"))
            await session.commit()
            query = select(Patient.name).where(Patient.ssn == f"s{n}")
            return await session.scalar(query)

    numbers = range(1, 11)
    found = await asyncio.gather(*(write_and_read(n) for n in numbers))
    assert found == [f"p{n}" for n in numbers]


async def test_the_lint_looks_at_asynchronous_statements(session, people):
    with pytest.raises(NotSearchableError):
        await session.execute(select(Patient).order_by(Patient.name))
    with pytest.raises(NotSearchableError):
        await session.stream(select(func.lower(Patient.name)))


async def test_a_value_that_does_not_fit_is_named_and_not_shown(session):
    session.add(Patient(id=1, name=4111))
    with pytest.raises(EncodingError, match=r"patients\.name") as error:
        await session.commit()
    assert "4111" not in str(error.value)


async def test_the_error_of_another_column_shows_no_plaintext(session):
    statement = insert(Patient).values(name="TOPSECRET", parent_id=text(":missing"))
    with pytest.raises(StatementError) as error:
        await session.execute(statement)
    assert "TOPSECRET" not in str(error.value)
    assert error.value.params is None


async def test_a_moved_value_does_not_open(session, people):
    await session.execute(text("UPDATE patients SET ssn = name"))
    with pytest.raises(DeclarationMismatchError, match=r"patients\.ssn"):
        await session.scalars(select(Patient.ssn))


async def test_another_keyring_takes_effect_at_once(session, people, async_engine):
    assert await session.scalar(select(Patient.name).where(Patient.id == 1)) == "grace"
    bind_keyring(async_engine, Keyring.generate())
    with pytest.raises(UnknownKeyError):
        await session.scalar(select(Patient.name).where(Patient.id == 1))


async def test_a_clone_with_options_shares_the_keyring(async_engine, people):
    clone = async_engine.execution_options(sealed_test=True)
    async with clone.connect() as connection:
        query = select(Patient.__table__.c.name).where(Patient.__table__.c.id == 3)
        assert await connection.scalar(query) == "ada"


async def test_binding_a_clone_binds_its_engine(async_engine, people):
    other = Keyring.generate()
    bind_keyring(async_engine.execution_options(sealed_test=True), other)
    async with async_engine.connect() as connection:
        with pytest.raises(UnknownKeyError):
            await connection.scalar(select(Patient.__table__.c.name))


async def test_binding_the_synchronous_engine_is_the_same(async_engine, people):
    bind_keyring(async_engine.sync_engine, Keyring.generate())
    async with async_engine.connect() as connection:
        with pytest.raises(UnknownKeyError):
            await connection.scalar(select(Patient.__table__.c.name))


async def test_without_a_keyring_the_error_names_both_calls(async_engine, people):
    engine = create_async_engine(async_engine.url)
    async with engine.connect() as connection:
        with pytest.raises(KeyringNotBoundError, match="bind_keyring") as error:
            await connection.scalar(select(Patient.__table__.c.name))
    assert "set_default_keyring" in str(error.value)
    await engine.dispose()


async def test_the_driver_gives_bytes(session, people):
    raw_name = type_coerce(Patient.name, LargeBinary)
    assert isinstance(await session.scalar(select(raw_name)), bytes)
