"""``sealed migrate`` on what sqlalchemy-utils has written; adoption.py takes 100,000."""

from __future__ import annotations

import pytest

import json

from legacy.adoption import Person, check, fill, move
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import Key, Keyring

pytestmark = pytest.mark.thorough

ROWS = 300
KEY = Key(1, bytes(range(32)))
KEYS = f"active=1 {KEY.to_text()}"


def damage(url, change):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {Person.__tablename__} {change}"))
    engine.dispose()


def test_one_command_moves_what_sqlalchemy_utils_has_written(database_url):
    fill(database_url, ROWS)
    done = move(database_url, KEYS, "--full-speed", "--json")
    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)
    assert report["counts"]["dead"] == 0
    check(database_url, Keyring([KEY]), ROWS)


def test_what_does_not_open_is_told_by_the_exit_code(database_url):
    fill(database_url, ROWS)
    damage(database_url, "SET fernet = 'gAAAAA' WHERE id = 3")
    done = move(database_url, KEYS, "--full-speed")
    assert done.returncode == 3, done.stderr
    assert "could not be moved" in done.stderr


def test_the_plan_first(database_url):
    fill(database_url, ROWS)
    done = move(database_url, KEYS, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    [plan] = json.loads(done.stdout)
    assert (plan["rows"], plan["left"]) == (ROWS, ROWS * 9 // 10)


def test_a_plan_that_is_refused_is_told_by_the_exit_code(database_url):
    fill(database_url, ROWS)
    damage(database_url, "SET naive = 'eA==' WHERE id IN (3, 4)")
    done = move(database_url, KEYS, "--dry-run")
    assert done.returncode == 1, done.stdout
    assert "REFUSED" in done.stderr
    assert "sealed verify" not in done.stderr
