"""The example of a clinic's registry, on every database."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy_sealed import Keyring

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import clinic  # noqa: E402

BORN = date(1815, 12, 10)


@pytest.fixture
def registry(session, engine):
    clinic.Base.metadata.create_all(engine)
    for number in range(40):
        # The numbers share nothing but, for some, the last four digits.
        insurance = f"{number:03} {number % 8:04}"
        email = f"Person.{number}@Clinic.example"
        clinic.register(session, f"Person {number % 20}", BORN, email, insurance)
    return session


def test_by_email(registry):
    found = clinic.by_email(registry, " PERSON.7@clinic.EXAMPLE ")
    assert found is not None
    assert found.email == "Person.7@Clinic.example"
    assert clinic.by_email(registry, "person.99@clinic.example") is None


def test_by_last_digits(registry):
    for digits in ("0003", "12 0003"):
        found = clinic.by_last_digits(registry, digits)
        assert [one.insurance[-4:] for one in found] == ["0003"] * 5
    assert clinic.by_last_digits(registry, "9999") == []


def test_by_name_and_birth(registry):
    found = clinic.by_name(registry, "PERSON 7", BORN)
    assert [one.name for one in found] == ["Person 7"] * 2
    assert clinic.by_name(registry, "Person 7", date(1815, 12, 11)) == []


def test_an_address_is_registered_once(registry):
    with pytest.raises(ValueError, match="registered already"):
        clinic.register(registry, "x", BORN, "PERSON.1@clinic.example", "1")
    assert registry.scalar(text("SELECT count(*) FROM registry")) == 40


def test_the_table_shows_nothing(registry):
    rows = registry.execute(text("SELECT * FROM registry")).all()
    shown = repr([bytes(v) for row in rows for v in row if not isinstance(v, int)])
    for value in ("Person", "Clinic", "clinic", "1815", "0003"):
        assert value not in shown


def test_it_runs_as_a_program(tmp_path):
    found = subprocess.run(
        [sys.executable, EXAMPLES / "clinic.py"],
        env={**os.environ, "SEALED_KEYS": environment(), "DATABASE_URL": "sqlite://"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert found.stdout.splitlines() == [
        "by e-mail: Ada Lovelace",
        "by last digits: ['Mary Somerville']",
        "by name and birth: ['Ada@Lovelace.example']",
        "refused: a patient with this address is registered already",
    ]
    assert found.stderr == ""


def environment() -> str:
    keyring = Keyring.generate()
    texts = [keyring.active.to_text(), keyring.index_key(1).to_text()]
    return " ".join(["active=1", *texts])
