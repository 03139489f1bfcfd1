"""``from alembic_ext import op``: what type checkers see is what there is."""

from __future__ import annotations

import ast

import alembic.op
from migrations.stub import PATH, operations, stub
from migrations.test_operations import CREATE, PLAIN, SSN, sealed_values
from sqlalchemy_sealed import Pace

from alembic_ext import op


def tree(text):
    """Return what a stub says, in whichever order and shape."""
    parts = ast.parse(text).body
    imports = [part for part in parts if isinstance(part, ast.ImportFrom)]
    names = {(part.module, alias.name) for part in imports for alias in part.names}
    rest = [ast.dump(part) for part in parts if part not in imports]
    return names, rest


def test_the_stub_is_up_to_date():
    """Otherwise: python tests/migrations/stub.py."""
    assert tree(PATH.read_text()) == tree(stub())


def test_every_operation_is_there():
    names = [name for name, _ in operations()]
    assert {"encrypt_column", "rename_sealed_table"} < set(names)
    for name in (*names, "add_column", "get_bind"):
        assert getattr(op, name) is getattr(alembic.op, name)
        assert name in dir(op)


def test_a_revision_may_use_it(project):
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')
    change = f'op.encrypt_column("patients", "ssn", {SSN})'
    project.write("r2", f"from alembic_ext import op\n\ndef upgrade():\n    {change}\n")
    project.upgrade()
    assert sealed_values(project, "ssn") == {n: ssn for n, ssn, _ in PLAIN}
