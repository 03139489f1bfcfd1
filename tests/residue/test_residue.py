"""Plaintext that was sealed is still in the files; it is found, cleaned, and gone.

The oracle does not ask the library: it reads the files of the database.
"""

from __future__ import annotations

import json
import sys

import pytest
from residue.patients import (
    NOTE,
    ROWS,
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

from sqlalchemy_sealed import find_residue
from sqlalchemy_sealed.cli.main import main
from sqlalchemy_sealed.residue.finding import Severity

pytestmark = pytest.mark.thorough

EXPECTED = {
    "sqlite": {"rows", "free pages"},
    "postgresql": {"rows", "dropped columns", "statistics", "view"},
    "mysql": {"rows", "statistics"},
}


def test_plaintext_stays_in_the_files_is_found_and_cleaned(database):
    seal(database)
    contract(database)
    settle(database)
    assert remains(database) == {NOTE, SSN}
    assert found(database) == EXPECTED[database.name]
    follow(database)
    assert remains(database) == set()
    assert found(database) == set()


def test_the_search_itself_changes_nothing_and_shows_no_value(database):
    before = find_residue(database, Former)
    assert find_residue(database, Former) == before
    seal(database)
    assert "CANARY" not in repr(before) + repr(find_residue(database, Former))


def test_values_that_are_plaintext_now(database):
    findings = {f.kind: f for f in find_residue(database, Former) if f.found}
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
    [backups] = [f for f in find_residue(database, Patient) if f.place == "backups"]
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
    place = "residue.patients:Patient", "--url", database_url
    seal(database)
    contract(database)
    database.dispose()
    settle(database)
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
