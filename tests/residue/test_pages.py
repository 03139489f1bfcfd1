"""The bytes of SQLite's pages that belong to no row."""

from __future__ import annotations

import sqlite3

import pytest

from sqlalchemy_sealed.residue.sqlitepages import SqlitePages

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("size", [512, 4096, 65536])
def test_bytes_in_every_kind_of_free_space_are_counted(tmp_path, size):
    path = tmp_path / "pages.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(f"PRAGMA page_size = {size}")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        root = connection.execute("SELECT rootpage FROM sqlite_master").fetchone()[0]
        insert = "INSERT INTO t (v) VALUES (?)"
        rows = [(f"CANARY {n} " * (n % 40),) for n in range(2000)]
        connection.execute("BEGIN")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")

        def pages():
            return SqlitePages(connection.serialize())

        assert (pages().remains(root), pages().free_pages()) == (0, 0)
        connection.execute("UPDATE t SET v = 'short' WHERE id % 2")
        assert pages().remains(root) > 0
        connection.execute("DELETE FROM t WHERE id > 100")
        assert pages().free_pages() > 0
        connection.execute("VACUUM")
        assert (pages().remains(root), pages().free_pages()) == (0, 0)
    connection.close()


def one_row(path, first: str, then: str) -> int:
    """Replace a value by one whose part in the table's own page is as long."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("INSERT INTO t VALUES (1, ?)", [first])
        # The second time, it takes the pages that were freed the first time.
        for value in (then, then[:-1]):
            connection.execute("UPDATE t SET v = ?", [value])
        pages = SqlitePages(connection.serialize())
    connection.close()
    return pages.remains(2)


def test_the_end_of_a_page_that_another_long_value_took_over(tmp_path):
    assert one_row(tmp_path / "slack.db", "CANARY" * 760, "s" * 4080) == 1


@pytest.mark.parametrize("sealed", ["sld:9RE", "sld:9RI"])
def test_envelopes_are_no_remains_of_plaintext(tmp_path, sealed):
    text = sealed + "A" * 90
    assert one_row(tmp_path / "envelope.db", text, "s") == 0
    assert one_row(tmp_path / "plain.db", text.upper(), "s") == 1
