"""The revisions of docs/MIGRATIONS.md are applied, and taken back."""

from __future__ import annotations

import re
from pathlib import Path

from migrations.test_operations import CREATE, PLAIN, names, plaintext, sealed_values
from sqlalchemy import String, select
from sqlalchemy.orm import Session

from sqlalchemy_sealed import EncryptedType, Pace

PAGE = Path(__file__).parents[2] / "docs" / "MIGRATIONS.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
KIND = EncryptedType(String(20))


HEAD = """
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import EncryptedType

class Base(DeclarativeBase):
    type_annotation_map = {str: String(60)}

"""


def begin(project):
    project.config.attributes["configure"] = {"sealed_pace": Pace.full_speed()}
    project.revision("r1", CREATE, 'op.drop_table("patients")')


def test_expand_move_and_contract(project):
    expand, move, contract = BLOCKS[3:6]
    begin(project)
    for name, block in (("r2", expand), ("r3", move), ("r4", contract)):
        project.write(name, block)
    project.upgrade()
    assert sorted(names(project)) == ["id", "note", "ssn_encrypted"]
    assert sealed_values(project, kind=KIND) == {n: ssn for n, ssn, _ in PLAIN}
    project.downgrade("r2")
    assert plaintext(project) == PLAIN


def test_one_revision(project):
    begin(project)
    project.write("r2", BLOCKS[6])
    project.upgrade()
    assert sealed_values(project, "ssn", KIND) == {n: ssn for n, ssn, _ in PLAIN}
    project.downgrade("r1")
    assert plaintext(project) == PLAIN


def test_another_name(project):
    begin(project)
    project.write("r2", BLOCKS[6])
    project.write("r3", BLOCKS[2])
    project.upgrade()
    names = {}
    exec(compile(HEAD + BLOCKS[1], "page", "exec", dont_inherit=True), names)
    engine = project.engine()
    with Session(engine) as session:
        found = session.scalars(select(names["Patient"])).all()
        values = [(one.id, one.social, one.note) for one in found]
    engine.dispose()
    assert sorted(values) == PLAIN
    project.check(names["Base"].metadata)
    project.downgrade("r1")
    assert plaintext(project) == PLAIN
