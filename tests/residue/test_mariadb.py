"""MariaDB: dropped instantly, kept by a transaction, indexed word by word."""

from __future__ import annotations

import secrets
import time

import pytest
from residue.patients import (
    SSN,
    Former,
    Patient,
    contract,
    follow,
    found,
    remains,
    run,
    seal,
    settle,
)
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import find_residue
from sqlalchemy_sealed.residue.finding import Severity

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.parametrize("database_url", ["mariadb"], indirect=True),
]


def rows(engine, target=Patient) -> list[Severity]:
    return [f.severity for f in find_residue(engine, target) if f.kind == "rows"]


def test_a_column_that_was_dropped_instantly_is_no_rebuild(database):
    seal(database)
    settle(database)
    contract(database)
    assert SSN in remains(database)
    assert rows(database) == [Severity.FOUND]


def test_a_table_younger_than_the_runs_is_not_said_to_be_clean(database):
    """Of one that was altered since, only a rebuild beside a mark tells."""
    seal(database)
    run(
        database, "ALTER TABLE patients FORCE", "UPDATE patients SET note = 'plaintext'"
    )
    seal(database)
    settle(database)
    assert rows(database, Former) == [Severity.FOUND]
    contract(database)
    assert SSN in remains(database)
    assert rows(database) == [Severity.UNSEEN]
    follow(database)
    assert SSN not in remains(database)
    assert rows(database) == []
    run(database, "ALTER TABLE sealed_runs FORCE")
    assert rows(database) == [Severity.UNSEEN]


def test_samples_of_now_and_those_that_were_replaced(database):
    seal(database)
    settle(database)
    places = lambda: [
        f.place for f in find_residue(database, Former) if f.kind == "statistics"
    ]
    assert places() == ["patients.note", "mysql.column_stats"]
    ends = "UPDATE mysql.column_stats SET min_value = NULL, max_value = NULL"
    run(database, f"{ends} WHERE db_name = database()", "FLUSH TABLES")
    assert places() == ["patients.note", "mysql.column_stats"]  # the histogram
    run(database, "ANALYZE TABLE patients PERSISTENT FOR ALL")
    # Another test may have rewritten it by now.
    assert set(places()) <= {"mysql.column_stats"}
    run(database, "OPTIMIZE TABLE mysql.column_stats")
    assert places() == []


def killed(engine) -> list[str]:
    held = [f for f in find_residue(engine, Former) if f.kind == "undo"]
    return [f.remedies[0].command for f in held]


def test_a_transaction_from_before_is_named(database):
    with database.connect() as other:
        thread = other.scalar(text("SELECT connection_id()"))
        other.execute(text("SELECT count(*) FROM patients")).all()
        seal(database)
        settle(database)
        assert f"KILL {thread};" in killed(database)
    time.sleep(0.2)  # the list of transactions is kept for a tenth of a second
    assert f"KILL {thread};" not in killed(database)


def test_a_full_text_index(database):
    seal(database)
    run(database, "CREATE FULLTEXT INDEX words ON patients (note)")
    [index] = [
        f for f in find_residue(database, Patient) if f.kind == "full-text index"
    ]
    run(database, index.remedies[0].command)
    assert "full-text index" not in found(database)


@pytest.fixture
def visitor(database):
    """Return an engine of a user who may read the tables, and nothing else."""
    user = f"visitor_{secrets.token_hex(4)}"
    name = database.url.database
    # Anonymous users of a fresh server come first for '%'.
    hosts = [f"{user}@'{host}'" for host in ("%", "localhost", "127.0.0.1")]
    password = secrets.token_hex(16)
    for one in hosts:
        run(database, f"CREATE USER {one} IDENTIFIED BY '{password}'")
        run(database, f"GRANT SELECT ON {name}.* TO {one}")
    engine = create_engine(database.url.set(username=user, password=password))
    yield engine
    engine.dispose()
    run(database, *(f"DROP USER {one}" for one in hosts))


def test_what_a_user_may_not_see_is_said(database, visitor):
    seal(database)
    settle(database)
    run(database, "ALTER TABLE patients FORCE")
    places = {"patients.note", "patients", "undo log", "mysql.general_log"}
    assert places <= hidden(visitor)
    assert places & hidden(database) == {"patients"}


def hidden(engine) -> set[str]:
    findings = find_residue(engine, Former)
    return {f.place for f in findings if f.severity is Severity.UNSEEN}
