"""The four kinds of move, and the way back, on every database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from job.shop import PAIRS, PLAIN, Base, Customer, Member
from sqlalchemy import (
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from sqlalchemy_sealed import (
    ConfigurationError,
    Decryption,
    EncryptedType,
    Encryption,
    IndexFill,
    Reencryption,
    index_term,
    tenant,
)
from sqlalchemy_sealed.jobs import steps
from sqlalchemy_sealed.jobs.control import letters, states
from sqlalchemy_sealed.jobs.leftovers import Leftovers
from sqlalchemy_sealed.jobs.steps import Step

COUNT = 60
NOTES = ["", "plain", "Ünï", "sld", "x" * 500]


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    if engine.name == "mysql":
        # What it was before: the model says what it becomes.
        with engine.begin() as connection:
            connection.execute(
                text("ALTER TABLE customers MODIFY note TEXT CHARACTER SET utf8mb4")
            )
    return engine


def plain(n: int) -> dict:
    if n % 10 == 0:
        return dict.fromkeys(PLAIN)
    return {
        "ssn": f"Ssn {n}",
        "born": dt.date(1990, 1, n % 28 + 1),
        "seen": dt.datetime(2026, 1, 1, n % 24, 5),
        "amount": Decimal(n) / 4,
        "points": n - 30,
        "data": {"n": n},
    }


def add_customers(engine, with_notes: bool = True) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(Customer(id=n, **plain(n)) for n in range(1, COUNT + 1))
    if with_notes:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE customers SET note = :t WHERE id = :n"),
                [{"t": NOTES[n % 5] + str(n), "n": n} for n in range(1, COUNT + 1)],
            )


def small(kind, engine, *arguments, **options):
    return kind(engine, *arguments, batch_size=7, range_size=20, **options)


def stored(engine, column: str) -> dict:
    with engine.connect() as connection:
        return dict(
            connection.execute(text(f"SELECT id, {column} FROM customers")).all()
        )


def customers(engine) -> dict:
    # Column by column: others may still hold plaintext.
    names = [*PLAIN, *PAIRS.values()]
    columns = [getattr(Customer, name) for name in names]
    with Session(engine) as session:
        return {row.id: row for row in session.execute(select(Customer.id, *columns))}


def notes(engine) -> dict:
    with Session(engine) as session:
        return dict(session.execute(select(Customer.id, Customer.note)).all())


def test_plaintext_of_every_type_is_sealed_beside_itself(engine):
    add_customers(engine, with_notes=False)
    [report] = small(Encryption, engine, Customer, PAIRS).run()
    assert (report.status, report.counts.moved) == ("caught-up", 54)
    for n, found in customers(engine).items():
        assert {p: getattr(found, PAIRS[p]) for p in PLAIN} == plain(n)
        assert {p: getattr(found, p) for p in PLAIN} == plain(n)
    with Session(engine) as session:
        found = select(Customer.id).where(Customer.ssn_encrypted == "SSN 7")
        assert session.scalars(found).one() == 7


def test_the_way_back_gives_every_value_as_it_was(engine):
    add_customers(engine)
    small(Encryption, engine, Customer, {**PAIRS, "note": "note"}).run()
    assert all(v.startswith("sld:") for v in stored(engine, "note").values())
    with engine.begin() as connection:
        nothing = ", ".join(f"{name} = NULL" for name in PLAIN)
        connection.execute(text(f"UPDATE customers SET {nothing}"))
    [report] = small(Decryption, engine, Customer, {**PAIRS, "note": "note"}).run()
    assert (report.status, report.counts.dead) == ("caught-up", 0)
    assert stored(engine, "note") == {
        n: NOTES[n % 5] + str(n) for n in range(1, COUNT + 1)
    }
    with Session(engine) as session:
        columns = [getattr(Customer, name) for name in PLAIN]
        for n, *values in session.execute(select(Customer.id, *columns)):
            assert dict(zip(PLAIN, values, strict=True)) == plain(n)


def test_text_is_sealed_where_it_is_and_keeps_its_row(engine):
    add_customers(engine)
    [report] = small(Encryption, engine, Customer, {"note": "note"}).run()
    assert report.counts.moved == COUNT
    assert notes(engine) == {n: NOTES[n % 5] + str(n) for n in range(1, COUNT + 1)}


def test_text_that_only_looks_like_an_envelope_is_listed_and_left(engine):
    """Rule 1: the shape without a known key is an error, never plaintext."""
    add_customers(engine)
    forged = "sld:" + "A" * 120
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE customers SET note = :t WHERE id = 3"), {"t": forged}
        )
    [report] = small(Encryption, engine, Customer, {"note": "note"}).run()
    assert (report.counts.moved, report.counts.dead) == (COUNT - 1, 1)
    assert stored(engine, "note")[3] == forged


@pytest.mark.parametrize("kind", ["beside", "in place"])
def test_a_change_of_case_between_read_and_swap_wins(engine, monkeypatch, kind):
    """Byte by byte: under a case-insensitive collation ada equals Ada."""
    add_customers(engine)
    column = "ssn" if kind == "beside" else "note"
    pairs = {"ssn": "ssn_encrypted"} if kind == "beside" else {"note": "note"}
    before = {n: v for n, v in stored(engine, column).items() if n in {4, 11}}

    def reached(step):
        if step is Step.SEALED and before:
            n, value = before.popitem()
            with engine.begin() as application:
                statement = f"UPDATE customers SET {column} = :v WHERE id = :n"
                application.execute(text(statement), {"v": value.swapcase(), "n": n})

    # The last pair first: row 11 is in the second batch, row 4 in the first.
    before = dict(sorted(before.items(), reverse=True))
    expected = {n: v.swapcase() for n, v in before.items()}
    monkeypatch.setattr(steps, "reached", reached)
    small(Encryption, engine, Customer, pairs).run()
    if kind == "beside":
        now = {n: c.ssn_encrypted for n, c in customers(engine).items()}
    else:
        now = notes(engine)
    assert {n: now[n] for n in expected} == expected


def test_two_columns_that_disagree_are_listed_and_left_alone(engine):
    add_customers(engine)
    with engine.begin() as connection:
        for n, value in ((5, "another"), (6, "Ssn 6")):
            one = update(Customer.__table__).where(Customer.__table__.c.id == n)
            term = index_term(value)
            connection.execute(one.values(ssn_encrypted=value, ssn_encrypted_bidx=term))
    [report] = small(Encryption, engine, Customer, {"ssn": "ssn_encrypted"}).run()
    assert report.counts.dead == 1
    found = customers(engine)
    assert (found[5].ssn, found[5].ssn_encrypted) == ("Ssn 5", "another")
    assert found[6].ssn_encrypted == "Ssn 6"
    [state] = states(engine, ["customers"])
    [letter] = letters(engine, state)
    assert (letter.row_key, letter.error) == ('[["i",5]]', "MismatchError")


def test_a_value_that_does_not_fit_is_listed(engine):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO customers (id, ssn) VALUES (1, 'x')"))
    table = Table(
        "customers",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("ssn", String(40)),
        Column("points_encrypted", EncryptedType(Integer)),
    )
    [report] = small(Encryption, engine, table, {"ssn": "points_encrypted"}).run()
    assert (report.counts.moved, report.counts.dead) == (0, 1)
    assert stored(engine, "ssn") == {1: "x"}


def test_a_new_index_is_filled_and_a_wrong_term_corrected(engine):
    add_customers(engine, with_notes=False)
    small(Encryption, engine, Customer, PAIRS).run()
    with engine.begin() as connection:
        for change in ("NULL WHERE id < 30", "NULL WHERE id = 31"):
            connection.execute(
                text(f"UPDATE customers SET ssn_encrypted_bidx = {change}")
            )
        connection.execute(
            text("UPDATE customers SET ssn_encrypted_bidx = :wrong WHERE id = 40"),
            {"wrong": bytes(16)},
        )
    [report] = small(IndexFill, engine, Customer).run()
    assert report.counts.moved == 29
    assert report.status == "caught-up"
    with Session(engine) as session:
        for n in range(1, COUNT):
            found = select(Customer.id).where(Customer.ssn_encrypted == f"ssn {n}")
            assert session.scalars(found).all() == ([n] if n % 10 else [])


def test_indexes_of_rows_tenants_and_several_attributes_are_filled(engine):
    with Session(engine) as session, session.begin():
        for n in range(1, 21):
            session.add(
                Member(
                    id=n,
                    club=f"c{n % 2}",
                    email=f"M{n}@x",
                    badge=f"b{n}",
                    name=f"Name {n}",
                    born=dt.date(2000, 1, n),
                )
            )
    columns = ("email_bidx", "badge_bidx", "name_and_born")
    before = _terms(engine, columns)
    with engine.begin() as connection:
        empty = ", ".join(f"{name} = NULL" for name in _names(columns))
        connection.execute(text(f"UPDATE members SET {empty}"))
    [report] = small(IndexFill, engine, Member).run()
    assert report.counts.moved == 20
    assert _terms(engine, columns) == before
    with Session(engine) as session, tenant("c1"):
        assert session.scalars(select(Member.id).where(Member.badge == "b7")).one() == 7
        both = Member.name_and_born == ("NAME 7", dt.date(2000, 1, 7))
        assert session.scalars(select(Member.id).where(both)).one() == 7


def _names(columns):
    return [c if c.endswith("_bidx") else f"{c}_bidx" for c in columns]


def _terms(engine, columns):
    names = ", ".join(_names(columns))
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT id, {names} FROM members ORDER BY id"))
        return [[n, *map(bytes, terms)] for n, *terms in rows]


def test_a_rotation_in_the_middle_of_the_backfill_moves_on(engine, keyring):
    """What the first run sealed under the former key is re-sealed by the second."""
    add_customers(engine)
    small(Encryption, engine, Customer, PAIRS).run()
    active = keyring.rotate()
    [report] = small(Encryption, engine, Customer, PAIRS).run()
    assert report.counts.moved == 54
    kids = {bytes(v)[8:24] for v in stored(engine, "ssn_encrypted").values() if v}
    assert kids == {active.kid}


@pytest.mark.parametrize("wrong", [{}, {"ssn": "born"}, {"nothing": "ssn_encrypted"}])
def test_pairs_that_do_not_exist_are_refused_by_name(engine, wrong):
    with pytest.raises(ConfigurationError, match="column|name one"):
        Encryption(engine, Customer, wrong).run()


def test_a_binary_column_is_never_sealed_in_place(engine):
    with pytest.raises(ConfigurationError, match='storage="text"'):
        Encryption(engine, Customer, {"ssn_encrypted": "ssn_encrypted"}).run()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_column_that_cannot_be_compared_exactly_is_refused(engine):
    table = Table(
        "floats",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("n", Float),
        Column("n_encrypted", EncryptedType(Float)),
    )
    table.create(engine)
    with pytest.raises(ConfigurationError, match="DOUBLE"):
        Encryption(engine, table, {"n": "n_encrypted"}).run()


def test_no_plaintext_is_left_in_the_tables_of_a_run(engine):
    add_customers(engine)
    small(Encryption, engine, Customer, {**PAIRS, "note": "note"}).run()
    with engine.connect() as connection:
        for table in ("sealed_runs", "sealed_ranges", "sealed_dead_letters"):
            content = repr(connection.execute(text(f"SELECT * FROM {table}")).all())
            assert "Ssn" not in content
            assert "plain" not in content


def test_moving_back_and_forth_ends_where_it_began(engine, keyring):
    add_customers(engine)
    before = stored(engine, "note")
    for _ in range(2):
        small(Encryption, engine, Customer, {"note": "note"}).run()
        keyring.rotate()
        small(Reencryption, engine, Customer).run()
        [report] = small(Decryption, engine, Customer, {"note": "note"}).run()
        assert report.counts.moved == COUNT
    assert stored(engine, "note") == before


def test_what_is_left_is_counted_for_every_kind_that_sql_can_tell(engine):
    add_customers(engine)
    job = small(Encryption, engine, Customer, {**PAIRS, "note": "note"})
    [mover] = job.movers()
    assert mover.leftovers.count() == COUNT
    job.run()
    assert mover.leftovers.count() == 0
    [back] = small(Decryption, engine, Customer, {"note": "note"}).movers()
    assert back.leftovers.count() == COUNT
    [index] = small(IndexFill, engine, Customer).movers()
    assert isinstance(index.leftovers, Leftovers)
    assert not index.leftovers.can_tell
    with pytest.raises(ConfigurationError, match="index term"):
        index.leftovers.count()
