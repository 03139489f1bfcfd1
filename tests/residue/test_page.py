"""docs/RESIDUE.md: its code runs, and its commands are those that are printed."""

from __future__ import annotations

import pytest

import re
from pathlib import Path

from residue.patients import Base, Patient, contract, follow, seal

from sqlalchemy_sealed import find_residue
from sqlalchemy_sealed.residue.finding import How

pytestmark = pytest.mark.thorough

PAGE = (Path(__file__).parents[2] / "docs" / "RESIDUE.md").read_text()
[CODE] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.S | re.M)


def test_every_statement_that_is_printed_is_on_the_page(database):
    if database.name == "sqlite":
        with database.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL").close()
    seal(database)
    contract(database)
    remedies = [r for one in find_residue(database, Patient) for r in one.remedies]
    printed = {r.command for r in remedies if r.how is not How.HAND}
    assert len(printed) > 1
    assert {command for command in printed if f"`{command}`" not in PAGE} == set()


def test_the_code(database, capsys):
    seal(database)
    contract(database)
    exec(CODE, {"engine": database, "Base": Base})
    assert "patients" in capsys.readouterr().out
    follow(database)
    exec(CODE, {"engine": database, "Base": Base})
    assert capsys.readouterr().out == ""
