"""SQLite: pages, the files beside the database, and a setting that keeps it clean."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from residue.patients import (
    NOTE,
    SSN,
    Former,
    Patient,
    canary,
    contract,
    files,
    follow,
    found,
    remains,
    run,
    seal,
)
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from sqlalchemy_sealed import bind_keyring, find_residue
from sqlalchemy_sealed.residue import sqlite
from sqlalchemy_sealed.residue.finding import Severity

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


def test_the_log_holds_what_the_file_has_not_got_yet(database):
    run(database, "PRAGMA journal_mode = WAL")
    with database.connect() as other:
        other.execute(text("SELECT count(*) FROM patients")).all()
        seal(database)
        assert "wal" in found(database, Former)
    follow(database, Former)
    assert "wal" not in {f.kind for f in find_residue(database, Former)}
    contract(database)
    run(database, "VACUUM")
    # The old pages are in the file until a checkpoint.
    assert remains(database) != set()
    assert any(f.kind == "wal" for f in find_residue(database, Patient))
    follow(database)
    assert remains(database) == set()


def test_a_vacuum_beside_an_empty_log_ends_with_a_checkpoint(database):
    run(database, "PRAGMA journal_mode = WAL")
    seal(database)
    contract(database)
    run(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert remains(database) == {NOTE, SSN}
    follow(database)
    assert remains(database) == set()
    assert "wal" not in {f.kind for f in find_residue(database, Patient)}


def test_a_journal_that_is_kept(database):
    database.dispose()
    engine = create_engine(database.url)
    with sqlite3.connect(database.url.database, isolation_level=None) as application:
        application.execute("PRAGMA journal_mode = PERSIST")
        application.execute("PRAGMA secure_delete = OFF")
        application.execute("UPDATE patients SET ssn = NULL")
    application.close()
    [journal] = [f for f in find_residue(engine, Former) if f.kind == "journal"]
    content = files(database)[journal.place]
    assert canary(database, NOTE).encode() in content
    run(engine, *(remedy.command for remedy in journal.remedies))
    assert not Path(f"{database.url.database}-journal").exists()
    assert "journal" not in {f.kind for f in find_residue(engine, Former)}
    engine.dispose()


def test_samples_of_stat4(database):
    """Debian's build takes none; others leave them in the file."""
    seal(database)
    content = ("plain", "CANARY-note"), ("sealed", "sld:9RE" + "A" * 90)
    with sqlite3.connect(database.url.database) as other:
        other.execute("CREATE TABLE s (tbl, idx, neq, nlt, ndlt, sample)")
        for name, value in content:
            row = ("patients", "patients_note", name, value.encode())
            other.execute("INSERT INTO s VALUES (?, ?, ?, '0', '0', ?)", row)
        other.execute("PRAGMA writable_schema = ON")
        other.execute(
            "UPDATE sqlite_master SET name = 'sqlite_stat4', tbl_name = 'sqlite_stat4',"
            " sql = replace(sql, 'TABLE s ', 'TABLE sqlite_stat4 ') WHERE name = 's'"
        )
    other.close()
    database.dispose()
    [samples] = [f for f in find_residue(database, Former) if f.kind == "statistics"]
    assert samples.what.startswith("1 samples")
    run(database, samples.remedies[0].command)
    assert "statistics" not in found(database, Former)


def test_what_is_deleted_after_a_vacuum_is_ciphertext(database):
    seal(database)
    contract(database)
    follow(database)
    with Session(database) as session, session.begin():
        for patient in session.query(Patient):
            patient.note = "another"
            if patient.id % 3 == 0:
                session.delete(patient)
    assert found(database) == set()
    left = {f.kind: f.severity for f in find_residue(database, Patient)}
    assert left["free pages"] is Severity.POSSIBLE


def test_a_second_sealing_needs_a_second_vacuum(database):
    seal(database)
    follow(database, Former)
    with database.begin() as connection:
        plain = {"note": canary(database, NOTE) + " again"}
        connection.execute(text("UPDATE patients SET note = :note"), plain)
    seal(database)
    assert NOTE in remains(database)
    assert "rows" in found(database, Former)


def test_a_database_that_is_too_large_is_not_said_to_be_clean(database, monkeypatch):
    seal(database)
    monkeypatch.setattr(sqlite, "_LARGEST", 1000)
    [rows] = [f for f in find_residue(database, Former) if f.kind == "rows"]
    assert rows.severity is Severity.UNSEEN
