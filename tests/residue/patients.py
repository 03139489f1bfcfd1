"""A table whose plaintext is sealed, and an oracle that reads the files of the database."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import EncryptedType, Encryption, Pace, find_residue
from sqlalchemy_sealed.residue.finding import How

NOTE, SSN = "note", "ssn"
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


def canary(engine, of: str) -> str:
    """Return what every value begins with; other tests share the server."""
    database = hashlib.sha256(engine.url.database.encode()).hexdigest()
    return f"CANARY-{of}-{database[:8]}"


def fill(engine) -> None:
    """Insert plaintext, and have the database take samples of it."""
    Before.metadata.create_all(engine)
    run(engine, *INDEXED[engine.name])
    rows = [
        {
            "n": n,
            "note": f"{canary(engine, NOTE)} {n % 40:03} {'x' * (n % 80 * 100)}",
            "ssn": f"{canary(engine, SSN)} {n % 50:03}",
        }
        for n in range(1, ROWS + 1)
    ]
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO patients (id, note, ssn) VALUES (:n, :note, :ssn)"), rows
        )
    run(engine, *ANALYZE[engine.name])


INDEXED = {
    "postgresql": (
        "ALTER TABLE patients SET (autovacuum_enabled = off)",
        "CREATE STATISTICS two ON note, ssn FROM patients",
        "CREATE INDEX lower_note ON patients (lower(left(note, 40)))",
        "CREATE MATERIALIZED VIEW words AS SELECT left(note, 30) FROM patients",
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
            connection.execute(text(statement)).close()


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


def remains(engine) -> set[str]:
    """Return of which columns plaintext is in the files."""
    content = b"".join(files(engine).values())
    return {of for of in (NOTE, SSN) if canary(engine, of).encode() in content}


def found(engine, target=Patient) -> set[str]:
    return {one.kind for one in find_residue(engine, target) if one.found}


def follow(engine, target=Patient) -> None:
    """Run what is printed, in its order."""
    settle(engine)
    remedies = [r for one in find_residue(engine, target) for r in one.remedies]
    run(engine, *(r.command for r in remedies if r.how is not How.HAND))


def settle(engine) -> None:
    """Wait until what happened before can be told from what happens after."""
    if engine.name == "mysql":
        # The time of a definition has no fractions.
        time.sleep(1.05 - time.time() % 1)
    if engine.name == "postgresql":
        # Transactions of other tests, on the same server, keep what they may see.
        with engine.connect() as connection:
            mine = connection.scalar(text("SELECT pg_current_xact_id()::text::bigint"))
        oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        deadline = time.monotonic() + 60
        while scalar(engine, oldest) <= mine:
            assert time.monotonic() < deadline
            run(engine, "SELECT pg_current_xact_id()")
            time.sleep(0.02)


def scalar(engine, statement: str):
    with engine.connect() as connection:
        return connection.scalar(text(statement))
