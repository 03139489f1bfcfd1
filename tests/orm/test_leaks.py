"""A plaintext that must not be seen is hunted wherever an application may print it.

What a column type cannot hide, because SQLAlchemy holds the application's own value
(documented leaks, asserted below where that is cheap):

- the local variables of the frames of a traceback, which Sentry collects;
- ``echo="debug"`` or a logger at DEBUG, which print the rows that were loaded;
- ``instance.__dict__``, and the repr of a mapped dataclass without ``repr=False``;
- ``compiled.params``, ``before_execute`` and the session's own state, before binding;
- the pickle of a mapped object, or of an INSERT statement with values.
"""

from __future__ import annotations

import logging
import pickle
import traceback
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    Date,
    Enum,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    bindparam,
    delete,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.errors import (
    DecryptionError,
    EncodingError,
    KeyringNotBoundError,
    NotSearchableError,
    SealedError,
    SecretHandlingError,
)

#: Not written out anywhere else, so that no line of source code in a traceback has it.
MARKER = "TOPSECRET-4111-1111"
FORMS = (
    MARKER,
    MARKER.encode().hex(),
    str(NUMBER := int.from_bytes(MARKER.encode())),
    str(AMOUNT := Decimal("4111.1111")),
)


class Picky(TypeDecorator):
    """A plain column's type that does not take everything."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        if value == "bad":
            raise ValueError("a picky column")
        return value


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(EncryptedType(String))
    ssn: Mapped[str | None] = mapped_column(
        EncryptedType(String, suite="deterministic")
    )
    picky: Mapped[str | None] = mapped_column(Picky)
    short: Mapped[str | None] = mapped_column(String(5), unique=True)


patients = Patient.__table__
GOOD = {"id": 1, "name": MARKER, "ssn": MARKER, "picky": "fine"}
BAD = {"id": 2, "name": MARKER, "ssn": MARKER, "picky": "bad"}


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def chain(error):
    """Yield an error and everything it was raised from or during."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def places(error):
    """Yield every text about an error that an application might log or send."""
    yield from traceback.format_exception(error)
    for one in chain(error):
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        yield from getattr(one, "__notes__", ())
        for name in ("object", "doc", "params", "statement", "orig", "detail"):
            yield repr(getattr(one, name, None))
    try:
        yield repr(pickle.dumps(error))
    except Exception as unpicklable:
        yield str(unpicklable)


def assert_silent(error):
    shown = [place for place in places(error) if any(form in place for form in FORMS)]
    assert shown == []


def sealed_table(inner, **options):
    return Table(
        "secrets",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("value", EncryptedType(inner, **options)),
    )


# Our own errors while binding


class Shouting:
    """An object that has the plaintext in its repr, like many objects."""

    def __repr__(self):
        return MARKER


class Blabbing(TypeDecorator):
    impl = String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        try:
            return {}[value]
        except KeyError as error:
            raise ValueError(f"no such value: {value}") from error

    def process_result_value(self, value, dialect):
        raise ValueError(f"cannot load {value}")


WRONG = {
    "surrogate": (String, MARKER + "\ud800"),
    "bytes": (String, MARKER.encode()),
    "integer": (Integer, MARKER),
    "too large": (Integer, NUMBER),
    "date": (Date, MARKER),
    "numeric": (Numeric, MARKER),
    "numeric scale": (Numeric(9, 2), AMOUNT),
    "uuid": (Uuid, MARKER),
    "uuid text": (Uuid(as_uuid=False), MARKER),
    "enum": (Enum("a", "b"), MARKER),
    "json": (JSON, {"a": Shouting()}),
    "json key": (JSON, {(MARKER,): 1}),
    "json surrogate": (JSON, [MARKER + "\ud800"]),
    "binary": (LargeBinary, MARKER),
    "array": (ARRAY(Integer), [1, MARKER]),
    "array text": (ARRAY(String), MARKER),
    "decorator": (Blabbing, MARKER),
    "object": (Date, Shouting()),
}


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("name", WRONG)
def test_an_encoding_error_is_silent(engine, name, many):
    inner, value = WRONG[name]
    secrets = sealed_table(inner)
    secrets.create(engine)
    rows = [{"id": 1, "value": value}, {"id": 2, "value": value}]
    with engine.begin() as connection, pytest.raises(EncodingError) as error:
        connection.execute(insert(secrets), rows if many else rows[0])
    assert "secrets.value" in str(error.value)
    assert_silent(error.value)


@pytest.mark.parametrize("storage", ["binary", "text"])
@pytest.mark.parametrize("suite", ["randomized", "deterministic", "a256cbc-hs512"])
def test_an_encoding_error_has_no_context(engine, suite, storage):
    """UnicodeEncodeError.object is the value itself."""
    secrets = sealed_table(String, suite=suite, storage=storage)
    secrets.create(engine)
    with engine.begin() as connection, pytest.raises(EncodingError) as error:
        connection.execute(insert(secrets), {"value": MARKER + "\ud800"})
    assert error.value.__context__ is None
    # SQLAlchemy raises an exception that it must not wrap "from" itself.
    assert error.value.__cause__ in {None, error.value}


def test_an_encoding_error_of_a_flush_is_silent(session):
    session.add(Patient(id=1, name=MARKER, ssn=MARKER + "\ud800"))
    with pytest.raises(EncodingError) as error:
        session.flush()
    assert_silent(error.value)


def test_an_encoding_error_of_a_search_is_silent(session):
    with pytest.raises(EncodingError) as error:
        session.execute(select(Patient).where(Patient.ssn == MARKER.encode()))
    assert_silent(error.value)


def test_a_missing_keyring_is_silent(engine, new_engine):
    with new_engine().connect() as connection:
        with pytest.raises(KeyringNotBoundError) as error:
            connection.execute(insert(patients), GOOD)
    assert_silent(error.value)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Patient.name == MARKER,
        lambda: Patient.name.in_([MARKER]),
        lambda: Patient.ssn > MARKER,
        lambda: MARKER + Patient.name,
        lambda: Patient.ssn.in_([MARKER, None]),
        lambda: Patient.ssn == bindparam("q", MARKER),
        lambda: Patient.ssn == literal(MARKER),
        lambda: Patient.name.contains(MARKER),
    ],
)
def test_a_refused_comparison_is_silent(ask):
    with pytest.raises(NotSearchableError) as error:
        ask()
    assert_silent(error.value)


def test_a_refused_statement_is_silent(session):
    statement = update(Patient).values(name=literal(MARKER))
    with pytest.raises(NotSearchableError) as error:
        session.execute(statement)
    assert_silent(error.value)


# Our own errors while loading


def test_a_value_that_does_not_fit_the_declared_type_is_silent(engine):
    """Authentic, but not what the declaration says: an enum that has changed."""
    old, new = sealed_table(Enum(MARKER, "b")), sealed_table(Enum("b", "c"))
    old.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(old), {"id": 1, "value": MARKER})
        with pytest.raises(DecryptionError) as error:
            connection.execute(select(new)).all()
    assert_silent(error.value)


def test_a_decorator_that_fails_while_loading_is_silent(engine):
    old, new = sealed_table(String), sealed_table(Blabbing)
    old.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(old), {"id": 1, "value": MARKER})
        with pytest.raises(SealedError) as error:
            connection.execute(select(new)).all()
    assert_silent(error.value)


@pytest.mark.parametrize("storage", [LargeBinary, String(200)], ids=["bytes", "text"])
def test_plaintext_in_a_sealed_column_is_not_repeated(engine, storage):
    """What another program wrote may be secret all the same."""
    raw = Table("secrets", MetaData(), Column("id", Integer), Column("value", storage))
    raw.create(engine)
    is_text = isinstance(raw.c.value.type, String)
    secrets = sealed_table(String, storage="text" if is_text else "binary")
    with engine.begin() as connection:
        value = MARKER if is_text else MARKER.encode()
        connection.execute(insert(raw), {"id": 1, "value": value})
        with pytest.raises(DecryptionError) as error:
            connection.execute(select(secrets)).all()
    assert_silent(error.value)


def test_an_altered_value_is_silent(engine, session):
    session.execute(insert(Patient), [GOOD])
    session.commit()
    raw = sa.table("patients", sa.column("name", LargeBinary))
    stored = session.scalar(select(raw.c.name))
    session.execute(update(raw).values(name=stored[:-1] + bytes([stored[-1] ^ 1])))
    with pytest.raises(DecryptionError) as error:
        session.scalars(select(Patient.name)).all()
    assert_silent(error.value)


# Errors of other columns

OTHERS = {
    "one row": lambda c: c.execute(insert(patients), BAD),
    "values": lambda c: c.execute(insert(patients).values(**BAD)),
    "many rows": lambda c: c.execute(insert(patients), [GOOD, BAD]),
    "several values": lambda c: c.execute(insert(patients).values([GOOD, BAD])),
    "returning": lambda c: c.execute(
        insert(patients).returning(patients.c.id), [GOOD, BAD]
    ),
    "missing in one": lambda c: c.execute(
        insert(patients), [GOOD, {"id": 2, "name": MARKER}]
    ),
    "missing parameter": lambda c: c.execute(
        insert(patients).values(name=MARKER, picky=bindparam("absent"))
    ),
    "update": lambda c: c.execute(update(patients).values(name=MARKER, picky="bad")),
    "update many": lambda c: c.execute(
        update(patients).where(patients.c.id == bindparam("k")),
        [{"k": 1, "name": MARKER, "picky": "bad"}],
    ),
    "search": lambda c: c.execute(
        select(patients).where(patients.c.ssn == MARKER, patients.c.picky == "bad")
    ),
    "delete": lambda c: c.execute(
        delete(patients).where(patients.c.ssn.in_([MARKER]), patients.c.picky == "bad")
    ),
    "text": lambda c: c.execute(
        text("UPDATE patients SET name = :name, picky = :picky").bindparams(
            bindparam("name", type_=patients.c.name.type),
            bindparam("picky", type_=patients.c.picky.type),
        ),
        {"name": MARKER, "picky": "bad"},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_bind_error_of_another_column_is_silent(engine, name):
    with engine.connect() as connection, pytest.raises(StatementError) as error:
        OTHERS[name](connection)
    assert error.value.params is None
    assert error.value.hide_parameters
    assert_silent(error.value)


def test_the_error_of_another_column_still_says_what_went_wrong(engine):
    with engine.connect() as connection, pytest.raises(StatementError) as error:
        connection.execute(insert(patients), BAD)
    assert "a picky column" in str(error.value)
    assert "INSERT INTO patients" in str(error.value)


@pytest.mark.parametrize("count", [1, 3])
def test_the_error_of_another_column_in_a_flush_is_silent(session, count):
    for n in range(count):
        session.add(Patient(**{**GOOD, "id": 10 + n}))
    session.add(Patient(**BAD))
    with pytest.raises(StatementError) as error:
        session.flush()
    assert_silent(error.value)


def test_the_error_of_another_column_in_an_orm_update_is_silent(session):
    session.add(patient := Patient(**GOOD))
    session.commit()
    patient.name, patient.picky = MARKER * 2, "bad"
    with pytest.raises(StatementError) as error:
        session.flush()
    assert_silent(error.value)


@pytest.mark.parametrize("statement", [insert(Patient), update(Patient)])
def test_the_error_of_another_column_in_an_orm_bulk_is_silent(session, statement):
    with pytest.raises(StatementError) as error:
        session.execute(statement, [GOOD, BAD])
    assert_silent(error.value)


def test_the_error_on_a_clone_of_the_engine_is_silent(engine):
    with engine.execution_options(sealed_test=True).connect() as connection:
        with pytest.raises(StatementError) as error:
            connection.execute(insert(patients), BAD)
    assert_silent(error.value)


def test_without_a_keyring_the_error_is_not_scrubbed(new_engine):
    """Documented: bind_keyring() and set_default_keyring() install the scrubber.

    Until one of them was called, no sealed value can be bound; but the values of a
    statement that fails before are the application's own.
    """
    with new_engine().connect() as connection, pytest.raises(StatementError) as error:
        connection.execute(insert(patients), [{"id": 1, "name": MARKER}, {"id": 2}])
    assert MARKER in str(error.value)


# Errors of the database


def test_an_integrity_error_shows_ciphertext(session):
    session.execute(insert(Patient), [GOOD])
    with pytest.raises(IntegrityError) as error:
        session.execute(insert(Patient), [GOOD])
    assert error.value.params is not None
    assert_silent(error.value)


def test_a_data_error_shows_ciphertext(session, backend):
    if backend == "sqlite":
        session.execute(insert(Patient), [{**GOOD, "short": "x"}])
    rows = [{**GOOD, "id": 2, "short": "x" if backend == "sqlite" else "too long"}]
    with pytest.raises(DBAPIError) as error:
        session.execute(insert(Patient), rows)
    assert_silent(error.value)


def test_a_missing_table_shows_ciphertext(engine):
    secrets = sealed_table(String)
    with engine.connect() as connection, pytest.raises(DBAPIError) as error:
        connection.execute(insert(secrets), {"value": MARKER})
    assert_silent(error.value)


# Logs


@pytest.fixture
def logged(caplog):
    """Return a function that joins what was logged, with the arguments."""
    caplog.set_level(logging.INFO)

    def logged():
        return "\n".join(
            f"{record.getMessage()} {record.args!r}" for record in caplog.records
        )

    return logged


def test_the_echo_of_an_engine_shows_ciphertext(new_engine, keyring, logged):
    engine = new_engine(keyring, echo=True)
    with Session(engine) as session:
        session.add(Patient(**GOOD))
        session.commit()
        query = select(Patient).where(Patient.ssn == MARKER)
        assert session.scalars(query).one().name == MARKER
        session.execute(update(Patient).values(name=MARKER * 2))
        session.execute(delete(Patient).where(Patient.ssn.in_([MARKER])))
    assert "INSERT INTO patients" in logged()
    assert not any(form in logged() for form in FORMS)


def test_the_echo_of_a_failing_statement_shows_ciphertext(new_engine, keyring, logged):
    engine = new_engine(keyring, echo=True)
    with engine.connect() as connection:
        connection.execute(insert(patients), GOOD)
        with pytest.raises(IntegrityError):
            connection.execute(insert(patients), GOOD)
        with pytest.raises(StatementError):
            connection.execute(insert(patients), BAD)
    assert not any(form in logged() for form in FORMS)


# Statements


def search():
    return select(patients.c.id).where(
        patients.c.ssn == MARKER, patients.c.ssn.in_([MARKER])
    )


def test_a_search_term_is_not_shown_by_its_statement(engine):
    statement = search()
    compiled = statement.compile(engine)
    shown = [str(statement), repr(statement), str(compiled), repr(compiled.params)]
    shown += [repr(compiled.binds), repr(list(compiled.binds.values()))]
    shown += [repr(vars(bind)) for bind in compiled.binds.values()]
    assert not any(form in text for text in shown for form in FORMS)


def test_a_search_term_is_not_shown_by_the_compiled_cache(engine):
    with engine.connect() as connection:
        connection.execute(search())
    key = search()._generate_cache_key()
    shown = [repr(key), repr(key.bindparams), repr(engine._compiled_cache)]
    shown += [repr(vars(bind)) for bind in key.bindparams]
    for compiled in engine._compiled_cache.values():
        shown += [repr(vars(bind)) for bind in compiled.cache_key.bindparams]
    assert not any(form in text for text in shown for form in FORMS)


def test_a_search_term_is_not_pickled():
    with pytest.raises(SecretHandlingError, match="not pickled"):
        pickle.dumps(search())


def test_a_search_term_has_a_silent_representation(engine):
    (params,) = [search().compile(engine).params]
    terms = [term for value in params.values() for term in value]
    assert {repr(term) for term in terms} == {"<sealed search term>"}
    with pytest.raises(SecretHandlingError):
        pickle.dumps(terms[0])


@pytest.mark.parametrize(
    "statement",
    [
        lambda: insert(patients).values(name=MARKER),
        lambda: update(patients).values(name=MARKER),
        lambda: search(),
        lambda: select(bindparam("n", MARKER, patients.c.name.type)),
        lambda: select(literal(MARKER, patients.c.name.type, literal_execute=True)),
    ],
    ids=["insert", "update", "search", "parameter", "literal_execute"],
)
@pytest.mark.parametrize("how", ["literal_binds", "render_postcompile"])
def test_rendering_literals_is_refused_in_silence(engine, statement, how):
    options = {"literal_binds": True, "render_postcompile": how != "literal_binds"}
    with pytest.raises(NotSearchableError, match="never rendered") as error:
        statement().compile(engine, compile_kwargs=options)
    assert_silent(error.value)


def test_a_literal_at_execution_is_refused_in_silence(engine):
    kind = patients.c.name.type
    statement = select(literal(MARKER, kind, literal_execute=True))
    with engine.connect() as connection, pytest.raises(NotSearchableError) as error:
        connection.execute(statement)
    assert_silent(error.value)


def test_null_may_be_rendered(engine):
    statement = insert(patients).values(id=1, name=None)
    options = {"literal_binds": True}
    assert "NULL" in str(statement.compile(engine, compile_kwargs=options))
    query = select(patients.c.id).where(patients.c.name.is_(None))
    assert "IS NULL" in str(query.compile(engine, compile_kwargs=options))


# Documented leaks


def test_documented_leak_the_parameters_of_an_insert(engine):
    assert insert(patients).values(name=MARKER).compile(engine).params["name"] == MARKER


def test_documented_leak_the_instance(session):
    assert Patient(name=MARKER).__dict__["name"] == MARKER
    assert MARKER.encode() in pickle.dumps(Patient(name=MARKER))


def test_documented_leak_the_local_variables_of_a_traceback(session):
    with pytest.raises(EncodingError) as error:
        session.execute(insert(Patient), [{"id": 1, "name": MARKER + "\ud800"}])
    lines = traceback.TracebackException.from_exception(
        error.value, capture_locals=True
    ).format()
    assert MARKER in "".join(lines)


def test_documented_leak_the_debug_log(new_engine, keyring, caplog):
    caplog.set_level(logging.DEBUG)
    engine = new_engine(keyring, echo="debug")
    with engine.begin() as connection:
        connection.execute(insert(patients), GOOD)
        connection.execute(select(patients.c.name)).all()
    assert MARKER in caplog.text
