"""The code of the pages in docs/ runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy_sealed import Keyring, bind_keyring

DOCS = Path(__file__).parents[1] / "docs"
PREAMBLE = """
from datetime import date
from sqlalchemy import Date, String, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy_sealed import *
"""
EXTRA = """
class Device(Base):
    __tablename__ = "devices"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(EncryptedType(String, index=BlindIndex()))
"""


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_blind_indexes():
    models, queries, plan, both = blocks("BLIND_INDEXES.md")

    class Base(DeclarativeBase):
        pass

    page = ModuleType("page")
    sys.modules["page"] = page  # declarative looks annotations up by module
    engine = create_engine("sqlite://")
    try:
        page.__dict__["Base"] = Base
        exec(PREAMBLE + EXTRA + models, page.__dict__)
        bind_keyring(engine, Keyring.generate())
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            ada = {"name": "Ada LOVELACE", "born": page.date(1815, 12, 10)}
            email = "ada@example.org"
            session.add(page.Patient(email=email, phone="55 12 34", **ada))
            session.add(page.Device(id=1, number="A-1"))
            session.commit()
            for line in queries.splitlines():
                found = session.scalars(eval(line, page.__dict__)).all()
                assert [one.email for one in found] == [email], line
            exec(plan, page.__dict__)
            statement = both.replace("Patient", "Device")
            assert statement != both
            session.execute(eval(statement, page.__dict__))
            session.commit()
            assert session.get_one(page.Device, 1).number == "A-2"
            batch = session.query(page.Patient).all()
            change = [{"id": p.id, "email": p.email} for p in batch]
            session.execute(page.update(page.Patient), change)
    finally:
        del sys.modules["page"]
        engine.dispose()


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_link_leads_to_a_file(page):
    text = (DOCS / page).read_text()
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (DOCS / link).exists()
