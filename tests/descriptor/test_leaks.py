"""A plaintext that must not be seen is hunted wherever an application may print it.

For a sealed attribute there are no exceptions to list: before and after the value has
been read, nothing that SQLAlchemy holds or prints shows it.
"""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest
from sqlalchemy import Integer, String, insert, select, text, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import BlindIndex, encrypted
from sqlalchemy_sealed.errors import SealedError, SecretHandlingError
from sqlalchemy.types import TypeDecorator

MARKER = "TOPSECRET-4111-1111"
FORMS = (MARKER, MARKER.encode().hex(), repr(MARKER.encode())[2:-1])


class Picky(TypeDecorator):
    """A plain column's type that does not take everything."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value, dialect):
        if value == -1:
            raise ValueError("a picky column")
        return value


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[int | None] = mapped_column(Picky, unique=True)
    name = encrypted(String, index=BlindIndex(unique=True))
    card = encrypted(String, bind="row")


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    ada = Patient(id=1, code=1, name=MARKER, card=MARKER)
    session.add(ada)
    session.commit()
    return ada


def clean(*texts):
    for one in texts:
        for form in FORMS:
            assert form not in str(one)


def everything_of(error):
    """Return what a crash reporter that collects local variables would send."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain = [error, error.__cause__, error.__context__]
    parts = [f"{e} {e!r} {e.args!r} {vars(e)!r}" for e in chain if e is not None]
    return "".join(told.format()) + " ".join(parts)


def fails(call, *errors):
    """Return the error; the marker is in no local variable of this module."""
    try:
        call()
    except errors as error:
        return error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("read", [False, True])
def test_an_instance_shows_nothing(session, ada, read):
    session.expire_all()
    assert ada.id == 1
    if read:
        assert ada.name == ada.card == MARKER
    clean(repr(ada), vars(ada), *vars(ada).values(), pickle.dumps(ada))
    for value in vars(ada).values():
        clean(repr(value), value)
    assert pickle.loads(pickle.dumps(ada)).name == MARKER


def test_an_instance_that_is_not_flushed_shows_nothing():
    patient = Patient(id=1, name=MARKER)
    clean(repr(patient), vars(patient))
    for value in vars(patient).values():
        clean(repr(value), value)
    with pytest.raises(SecretHandlingError) as caught:
        pickle.dumps(patient)
    clean(caught.value)


def failing_flush(session, read):
    ada = session.get(Patient, 1)
    if read:
        assert ada.name == MARKER
    ada.card = MARKER + "x"
    session.add(Patient(id=2, code=-1, name=MARKER + "y", card=MARKER))
    session.flush()


@pytest.mark.parametrize("read", [False, True])
def test_an_unrelated_flush_that_fails_shows_nothing(session, ada, read):
    session.expire_all()
    error = fails(lambda: failing_flush(session, read), StatementError)
    assert "picky" in str(error)
    clean(everything_of(error))


def test_an_error_of_the_database_shows_nothing(session, ada):
    def double():
        session.add(Patient(id=2, code=2, name=MARKER))
        session.flush()

    clean(everything_of(fails(double, DBAPIError)))
    session.rollback()

    def bulk():
        session.execute(insert(Patient), [{"id": 3, "code": 3, "name": MARKER}])

    # The mappings are the application's own, and in the frames of SQLAlchemy.
    error = fails(bulk, DBAPIError)
    clean(error, repr(error), error.args, vars(error))


def test_a_bulk_statement_that_fails_shows_nothing(session, ada):
    def bulk():
        rows = [{"id": n, "code": -1, "name": f"{MARKER}{n}"} for n in (2, 3)]
        session.execute(insert(Patient), rows)

    error = fails(bulk, StatementError)
    clean(str(error), error.args, vars(error))


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_the_log_of_the_engine_shows_nothing(session, ada, caplog, level, engine):
    with caplog.at_level(level, logger="sqlalchemy"):
        for name in ("sqlalchemy.engine", "sqlalchemy.orm"):
            logging.getLogger(name).setLevel(level)
        session.expire_all()
        assert ada.name == MARKER
        ada.card = MARKER + "z"
        session.add(Patient(id=2, name=MARKER + "2"))
        session.flush()
        found = session.scalars(select(Patient).where(Patient.name == MARKER)).one()
        assert found is ada
        session.execute(update(Patient).where(Patient.id == 2).values(name=None))
        for name in ("sqlalchemy.engine", "sqlalchemy.orm"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    clean(caplog.text)


def test_a_statement_shows_nothing(session, ada, engine):
    for build in (
        lambda: select(Patient).where(Patient.name == MARKER),
        lambda: select(Patient).where(Patient.name.in_([MARKER, "x"])),
        lambda: update(Patient).values(name=MARKER),
    ):
        statement = build()
        compiled = statement.compile(engine)
        clean(str(statement), compiled, compiled.params, repr(compiled.params))
        error = fails(
            lambda s=statement: s.compile(
                engine, compile_kwargs={"literal_binds": True}
            ),
            SealedError,
            Exception,
        )
        clean(str(error), repr(error))
        error = fails(lambda s=statement: pickle.dumps(s), Exception)
        clean(str(error), repr(error))


def test_the_cache_of_compiled_statements_shows_nothing(session, ada, engine):
    session.scalars(select(Patient).where(Patient.name == MARKER)).all()
    for compiled in engine._compiled_cache.values():
        clean(compiled.params, repr(compiled.params))


def test_an_error_while_reading_shows_nothing(session, ada):
    session.execute(text("UPDATE patients SET card_encrypted = name_encrypted"))
    session.commit()
    assert ada.name == MARKER
    error = fails(lambda: ada.card, SealedError)
    clean(everything_of(error))


@pytest.mark.parametrize("value", [5, [MARKER], {"x": MARKER}])
def test_an_error_while_sealing_shows_no_value_in_its_message(session, value):
    session.add(Patient(id=5, name=value))
    error = fails(session.flush, SealedError)
    clean(error, error.args, vars(error), error.__context__, error.__cause__)
