"""The bytes of SQLite's pages that belong to no row."""

from __future__ import annotations

import sqlite3

import pytest

from sqlalchemy_sealed.residue.sqlitepages import SqlitePages


@pytest.mark.parametrize("size", [512, 4096, 65536])
def test_bytes_in_every_kind_of_free_space_are_counted(tmp_path, size):
    path = tmp_path / "pages.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(f"PRAGMA page_size = {size}")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        root = connection.execute("SELECT rootpage FROM sqlite_master").fetchone()[0]
        insert = "INSERT INTO t (v) VALUES (?)"
        for n in range(2000):
            connection.execute(insert, [f"CANARY {n} " * (n % 40)])

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


def test_the_end_of_a_page_that_a_long_value_took_over(tmp_path):
    with sqlite3.connect(tmp_path / "slack.db", isolation_level=None) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("INSERT INTO t VALUES (1, ?)", ["CANARY" * 1290])
        connection.execute("UPDATE t SET v = ?", ["s" * 7200])
        pages = SqlitePages(connection.serialize())
        assert pages.remains(2) == 1
    connection.close()
