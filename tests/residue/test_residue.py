"""Plaintext that was sealed is still in the files; it is found, cleaned, and gone.

The oracle does not ask the library: it reads the files of the database.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import String, Text, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import (
    EncryptedType,
    Encryption,
    Pace,
    bind_keyring,
    residue,
)
from sqlalchemy_sealed.cli.main import main
from sqlalchemy_sealed.residue.finding import How, Severity

NOTE, SSN = b"CANARY-note", b"CANARY-ssn"
ROWS = 400


class Base(DeclarativeBase):
    pass


class Patient(Base):
    """A column sealed in place, and one that was sealed into another and dropped."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None] = mapped_column(EncryptedType(Text, storage="text"))
    ssn_encrypted: Mapped[str | None] = mapped_column(EncryptedType(String))


class Before(DeclarativeBase):
    pass


class Former(Before):
    """The table before the contract step."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    ssn: Mapped[str | None] = mapped_column(String(80))
    note: Mapped[str | None] = mapped_column(EncryptedType(Text, storage="text"))
    ssn_encrypted: Mapped[str | None] = mapped_column(EncryptedType(String))


@pytest.fixture
def database(database_url, keyring):
    engine = create_engine(database_url)
    if engine.name == "sqlite":
        # As most builds have it. That of Debian overwrites what is deleted.
        @event.listens_for(engine, "connect")
        def connect(connection, _):
            connection.execute("PRAGMA secure_delete = OFF")

    bind_keyring(engine, keyring)
    Before.metadata.create_all(engine)
    run(engine, *INDEXED.get(engine.name, ()))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO patients (id, note, ssn) VALUES (:n, :note, :ssn)"),
            [
                {
                    "n": n,
                    "note": f"CANARY-note {n % 40:03} {'x' * (n % 80 * 100)}",
                    "ssn": f"CANARY-ssn {n % 50:03}",
                }
                for n in range(1, ROWS + 1)
            ],
        )
    run(engine, *ANALYZE[engine.name])
    yield engine
    engine.dispose()


INDEXED = {
    "postgresql": (
        "ALTER TABLE patients SET (autovacuum_enabled = off)",
        "CREATE STATISTICS two ON note, ssn FROM patients",
        "CREATE INDEX lower_note ON patients (lower(left(note, 40)))",
        "CREATE MATERIALIZED VIEW words AS SELECT left(note, 12) FROM patients",
    ),
    "sqlite": ("CREATE INDEX patients_note ON patients (note)",),
    "mysql": ("ALTER TABLE patients MODIFY note VARCHAR(12000) CHARACTER SET utf8mb4",),
}
ANALYZE = {
    "postgresql": ("ANALYZE patients", "REFRESH MATERIALIZED VIEW words"),
    "sqlite": (),
    "mysql": (
        "SET histogram_type = 'JSON_HB'",
        "ANALYZE TABLE patients PERSISTENT FOR ALL",
    ),
}


def run(engine, *statements: str) -> None:
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            connection.execute(text(statement))


def seal(engine) -> None:
    for pair in ({"note": "note"}, {"ssn": "ssn_encrypted"}):
        Encryption(engine, Former, pair, pace=Pace.full_speed()).run()


def contract(engine) -> None:
    run(engine, "ALTER TABLE patients DROP COLUMN ssn")


def files(engine) -> dict[str, bytes]:
    """Read what the database has on disk of the table and of its statistics."""
    if engine.name == "sqlite":
        path = Path(engine.url.database)
        return {p.name: p.read_bytes() for p in path.parent.glob(f"{path.name}*")}
    if engine.name == "postgresql":
        return _postgresql(engine)
    return _mariadb(engine)


def _postgresql(engine) -> dict[str, bytes]:
    names = text(
        "SELECT c.oid::regclass::text, pg_read_binary_file(pg_relation_filepath(c.oid))"
        " FROM pg_class c WHERE pg_relation_filepath(c.oid) IS NOT NULL AND "
        "(c.oid IN (:table, 'pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass)"
        " OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE oid IN "
        "(:table, 'pg_statistic'::regclass)))"
    )
    run(engine, "CHECKPOINT")
    with engine.connect() as connection:
        oid = connection.scalar(text("SELECT 'patients'::regclass::oid"))
        rows = connection.execute(names, {"table": oid})
        return {name: bytes(content) for name, content in rows}


def _mariadb(engine) -> dict[str, bytes]:
    with engine.connect() as connection:
        home = Path(connection.scalar(text("SELECT @@datadir")))
        paths = (
            home / engine.url.database / "patients.ibd",
            home / "mysql" / "column_stats.MAD",
        )
        if not os.access(paths[0], os.R_OK):
            pytest.skip("the files of the server cannot be read from here")
        connection.execute(text("SET GLOBAL innodb_max_purge_lag_wait = 0"))
        connection.execute(text("FLUSH TABLES patients FOR EXPORT"))
        try:
            return {path.name: path.read_bytes() for path in paths}
        finally:
            connection.execute(text("UNLOCK TABLES"))


def remains(engine) -> set[bytes]:
    content = files(engine).values()
    return {canary for canary in (NOTE, SSN) for one in content if canary in one}


def found(engine, target=Patient) -> set[str]:
    return {one.kind for one in residue(engine, target) if one.found}


def follow(engine, target=Patient) -> None:
    """Run what is printed, as a person would: in its order, once."""
    remedies = [r for one in residue(engine, target) for r in one.remedies]
    ordered = sorted(remedies, key=lambda r: r.how is How.LOCKING)
    run(engine, *dict.fromkeys(r.command for r in ordered if r.how is not How.HAND))


def wait_for_the_next_second() -> None:
    # The time of a definition has no fractions.
    time.sleep(1.05 - time.time() % 1)


EXPECTED = {
    "sqlite": {"rows", "free pages"},
    "postgresql": {"rows", "dropped columns", "statistics", "view"},
    "mysql": {"rows", "statistics"},
}


def test_plaintext_stays_in_the_files_is_found_and_cleaned(database):
    seal(database)
    contract(database)
    wait_for_the_next_second()
    assert remains(database) == {NOTE, SSN}
    assert found(database) == EXPECTED[database.name]
    follow(database)
    assert remains(database) == set()
    assert found(database) == set()


def test_the_search_itself_changes_nothing_and_shows_no_value(database):
    before = residue(database, Former)
    assert residue(database, Former) == before
    seal(database)
    assert "CANARY" not in repr(before) + repr(residue(database, Former))


def test_values_that_are_plaintext_now(database):
    findings = {f.kind: f for f in residue(database, Former) if f.found}
    assert findings["values"].place == "patients.note"
    assert f"{ROWS} values" in findings["values"].what
    assert "DROP COLUMN ssn" in findings["column"].remedies[0].command
    seal(database)
    contract(database)
    assert not {"values", "column"} & found(database)


def test_a_revision_that_has_not_ended(database):
    seal(database)
    run(database, "ALTER TABLE patients ADD COLUMN note_moving VARCHAR(80)")
    assert "moving" in found(database)
    run(database, "ALTER TABLE patients DROP COLUMN note_moving")
    assert "moving" not in found(database)


def test_backups_are_never_said_to_be_clean(database):
    [backups] = [f for f in residue(database, Patient) if f.place == "backups"]
    assert backups.severity is Severity.UNSEEN


def sealed(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sealed", "doctor", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_tells_cleans_and_tells_again(
    database, database_url, monkeypatch, capsys
):
    place = "residue.test_residue:Patient", "--url", database_url
    seal(database)
    contract(database)
    database.dispose()
    wait_for_the_next_second()
    code, out, err = sealed(monkeypatch, capsys, *place, "--residue")
    assert (code, "FOUND" in out, "CANARY" in out + err) == (3, True, False)
    code, out, err = sealed(monkeypatch, capsys, *place, "--clean", "--json")
    assert "ALTER TABLE" not in err
    assert "VACUUM" not in err
    left = [one for one in json.loads(out) if one["severity"] == "found"]
    assert (
        code,
        {one["how"] for f in left for one in f["remedies"]} >= {"locking"},
    ) == (
        3,
        True,
    )
    code, out, err = sealed(monkeypatch, capsys, *place, "--clean", "--rewrite")
    assert (code, "nothing was found" in out) == (0, True)
    assert "VACUUM" in err or "FORCE" in err
    assert remains(database) == set()
    code, _, err = sealed(monkeypatch, capsys, *place, "--rewrite")
    assert (code, "--clean" in err) == (2, True)
