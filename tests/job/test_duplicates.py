"""Equal values in a column that is to be unique: which rows they are in."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
)
from sqlalchemy_sealed import (
    BlindIndex,
    Decryption,
    EncryptedType,
    Encryption,
    IndexFill,
    Pace,
)
from sqlalchemy_sealed.errors import WriteRefusedError

PACES = pytest.mark.parametrize(
    "pace", [Pace(rate=None), Pace.full_speed()], ids=["polite", "fast"]
)
INDEXED = EncryptedType(String, index=BlindIndex(normalize="casefold", unique=True))


def people(kind):
    return Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("plain", String(50)),
        Column("name", kind),
    )


def fill(engine, table, **others):
    """Store 40 names, all different but for the others."""
    names = [f"name {n}" for n in range(1, 41)]
    for n, name in others.items():
        names[int(n[1:]) - 1] = name
    table.metadata.create_all(engine)
    rows = [{"id": n, "plain": name} for n, name in enumerate(names, 1)]
    with engine.begin() as connection:
        connection.execute(insert(table), rows)


@PACES
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_two_rows_with_one_value(engine, keyring, pace, batch_size):
    table = people(INDEXED)
    fill(engine, table, r3="CANARY", r30="canary", r31="Canary", r9=None, r10=None)
    job = Encryption(engine, table, {"plain": "name"}, pace=pace, batch_size=batch_size)
    with pytest.raises(WriteRefusedError) as caught:
        job.run()
    message = str(caught.value)
    assert "equal in name_bidx are the rows" in message
    assert "3 and 30" in message
    assert "and 31" in message
    assert "canary" not in "".join(traceback.format_exception(caught.value)).lower()
    with engine.begin() as connection:
        connection.execute(
            table.update().where(table.c.id >= 30).values(plain=table.c.id)
        )
    [report] = job.run()
    assert report.counts.dead == 0
    with engine.connect() as connection:
        names = list(connection.scalars(select(table.c.name).order_by(table.c.id)))
    assert names[2] == "CANARY"
    assert names[29:31] == ["30", "31"]
    assert names[8:10] == [None, None]


def test_many_pairs_are_counted(engine, keyring):
    table = people(INDEXED)
    fill(engine, table, **{f"r{n}": f"name {n - 20}" for n in range(21, 41)})
    with pytest.raises(WriteRefusedError, match=r"5 and 25 and 15 more"):
        Encryption(engine, table, {"plain": "name"}).run()


def test_an_index_that_is_added_later(engine, keyring):
    plain = people(EncryptedType(String))
    fill(engine, plain, r7="one", r8="One")
    Encryption(engine, plain, {"plain": "name"}).run()
    with engine.begin() as connection:
        kind = LargeBinary(32).compile(dialect=engine.dialect)
        connection.exec_driver_sql(f"ALTER TABLE people ADD COLUMN name_bidx {kind}")
        connection.exec_driver_sql("CREATE UNIQUE INDEX once ON people (name_bidx)")
    with pytest.raises(WriteRefusedError, match=r"7 and 8"):
        IndexFill(engine, people(INDEXED)).run()


def test_plaintext_that_is_to_be_unique_is_not_asked_for(engine, keyring, statements):
    key = Column("id", Integer, primary_key=True)
    sealed = Column("name", EncryptedType(String))
    plain = Column("plain", String(50), unique=True)
    table = Table("people", MetaData(), key, sealed, plain)
    table.create(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "name": f"CANARY{n % 3}"} for n in range(1, 7)]
        connection.execute(insert(table), rows)
    with pytest.raises(WriteRefusedError, match="refused a batch") as caught:
        Decryption(engine, table, {"plain": "name"}).run()
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    # Nor in what a crash reporter keeps of the calls.
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "sqlalchemy_sealed" in frame.f_code.co_filename:
            assert "CANARY" not in repr(frame.f_locals), frame
    assert not any("plain IN" in one for one in statements)
