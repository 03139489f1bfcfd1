"""PostgreSQL: what does not clean, what keeps a rewrite from cleaning, who may look."""

from __future__ import annotations

import secrets
import time

import pytest
from residue.patients import (
    NOTE,
    SSN,
    Base,
    Former,
    Patient,
    canary,
    contract,
    follow,
    found,
    remains,
    run,
    scalar,
    seal,
    settle,
)
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, text

from sqlalchemy_sealed import EncryptedType, Encryption, bind_keyring, find_residue
from sqlalchemy_sealed.residue.finding import Severity

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]

REWRITE = "VACUUM (FULL, ANALYZE) patients"
FENCE = "ALTER TABLE patients ADD CONSTRAINT fence CHECK (id > 0)"


def kinds(engine, severity: Severity, target=Patient) -> list[str]:
    return [f.kind for f in find_residue(engine, target) if f.severity is severity]


@pytest.mark.parametrize(
    "statements",
    [["VACUUM patients"], ["ANALYZE patients"], [FENCE, "VACUUM (FREEZE) patients"]],
    ids=["vacuum", "analyze", "freeze"],
)
def test_what_rewrites_nothing_cleans_nothing(database, statements):
    seal(database)
    contract(database)
    run(database, *statements)
    assert remains(database) == {NOTE, SSN}
    assert {"rows", "dropped columns"} <= found(database)


def test_a_rewrite_before_the_sealing_is_none_after(database):
    run(database, REWRITE)
    seal(database)
    run(database, FENCE, "VACUUM (FREEZE) patients")
    assert NOTE in remains(database)
    assert "rows" in found(database, Former)


def test_a_second_sealing_needs_a_second_rewrite(database):
    seal(database)
    settle(database)
    run(database, REWRITE)
    assert "rows" not in found(database, Former)
    with database.begin() as connection:
        plain = {"note": canary(database, NOTE) + " again"}
        connection.execute(text("UPDATE patients SET note = :note"), plain)
    seal(database)
    settle(database)
    run(database, "VACUUM (FREEZE) patients")
    assert NOTE in remains(database)
    assert "rows" in found(database, Former)


def test_a_rewrite_between_sealing_and_contract_leaves_the_dropped_column(database):
    seal(database)
    run(database, REWRITE)
    contract(database)
    assert SSN in remains(database)
    assert "dropped columns" in found(database)
    settle(database)
    run(database, REWRITE)
    assert "dropped columns" not in found(database)


def test_a_transaction_from_before_keeps_the_rows_and_is_named(database):
    with database.connect() as other:
        other.execution_options(isolation_level="REPEATABLE READ")
        pid = other.scalar(text("SELECT pg_backend_pid()"))
        seal(database)
        run(database, REWRITE)
        assert NOTE in remains(database)
        [rows] = [f for f in find_residue(database, Former) if f.kind == "rows"]
        assert f"pid {pid}" in rows.what
    settle(database)
    run(database, REWRITE)
    assert "rows" not in found(database, Former)


def test_samples_of_now_and_those_that_were_replaced(database):
    seal(database)
    places = lambda: [
        f.place
        for f in find_residue(database, Former)
        if f.kind == "statistics" and f.severity is Severity.FOUND
    ]
    behind = ["pg_statistic", "pg_statistic_ext_data"]
    assert places() == ["patients.note", "patients.note", "patients", *behind]
    run(database, "ANALYZE patients")
    assert places() == behind
    run(database, *(f"VACUUM (FULL) {name}" for name in behind))
    assert places() == []


def test_where_no_job_is_recorded_nothing_is_certain(database):
    run(database, "DELETE FROM patients WHERE id > 100")
    # Sessions hand in their counts about once in a second.
    deadline = time.monotonic() + 30
    while not scalar(database, "SELECT pg_stat_get_dead_tuples('patients'::regclass)"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "rows" in kinds(database, Severity.POSSIBLE)
    contract(database)
    assert "dropped columns" in kinds(database, Severity.POSSIBLE)
    follow(database)
    assert not {"rows", "dropped columns"} & set(kinds(database, Severity.POSSIBLE))


def test_partitions_are_named_one_by_one(database, keyring):
    run(
        database,
        "CREATE TABLE visits (id int PRIMARY KEY, why varchar(40), sealed bytea)"
        " PARTITION BY RANGE (id)",
        "CREATE TABLE visits_a PARTITION OF visits FOR VALUES FROM (0) TO (50)",
        'CREATE TABLE "visits B" PARTITION OF visits FOR VALUES FROM (50) TO (100)',
        "INSERT INTO visits SELECT n, 'CANARY' FROM generate_series(0, 99) AS n",
    )
    kind = EncryptedType(String, context="visits.why")
    columns = [Column("why", String), Column("sealed", kind)]
    key = Column("id", Integer, primary_key=True)
    visits = Table("visits", MetaData(), key, *columns)
    Encryption(database, visits, {"why": "sealed"}).run()
    found = [f.place for f in find_residue(database, visits) if f.kind == "rows"]
    assert found == ['"visits B"', "visits_a"]
    settle(database)
    run(database, 'VACUUM (FULL, ANALYZE) "visits B"')
    found = [f.place for f in find_residue(database, visits) if f.kind == "rows"]
    assert found == ["visits_a"]


@pytest.fixture
def visitor(database):
    """Return an engine of a user who may read the tables, and nothing else."""
    role = f"visitor_{secrets.token_hex(4)}"
    run(
        database,
        f"CREATE ROLE {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    options = {"options": f"-c role={role}"}
    engine = create_engine(database.url, connect_args=options)
    yield engine
    engine.dispose()
    run(database, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_what_a_user_may_not_see_is_said(database, visitor):
    assert "statistics" not in kinds(visitor, Severity.UNSEEN)
    run(
        database,
        "ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY everybody ON patients USING (true)",
    )
    hidden = kinds(visitor, Severity.UNSEEN)
    assert (
        hidden.count("statistics") == len(Base.metadata.tables["patients"].columns) - 1
    )


def test_a_user_without_rights_is_told_of_the_log_and_cleans_nothing(database, visitor):
    seal(database)
    run(database, "GRANT SELECT ON sealed_runs, sealed_ranges TO PUBLIC")
    assert "wal" in kinds(visitor, Severity.UNSEEN)
    assert {"rows", "statistics"} <= set(kinds(visitor, Severity.FOUND))


def test_slots_triggers_and_publications(database):
    name = f"slot_{secrets.token_hex(4)}"
    seal(database)
    run(
        database,
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER audit AFTER UPDATE ON patients FOR EACH ROW "
        "EXECUTE FUNCTION audit()",
        "CREATE PUBLICATION feed FOR TABLE patients",
        f"SELECT pg_create_physical_replication_slot('{name}', true)",
    )
    try:
        findings = {f.place: f for f in find_residue(database, Patient)}
        slot = findings[f"replication slot {name}"]
        assert {"patients, trigger audit", "patients, publication feed"} <= set(
            findings
        )
    finally:
        run(database, slot.remedies[0].command)
    assert slot.place not in {f.place for f in find_residue(database, Patient)}
