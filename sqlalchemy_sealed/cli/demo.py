"""``sealed demo``: the whole life of a sealed column, on an embedded database."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, String, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed.cli.options import as_json
from sqlalchemy_sealed.cli.output import ProgressReport, print_json, talk
from sqlalchemy_sealed.cli.report import print_reports, print_status
from sqlalchemy_sealed.engine import bind_keyring
from sqlalchemy_sealed.jobs.job import Report
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.reencryption import Reencryption
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.status import ColumnStatus, status
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["demo"]

_CHUNK = 5_000
_MODEL = """\
class Patient(Base):
    __tablename__ = "patients"
    id:    Mapped[int] = mapped_column(primary_key=True)
    name:  Mapped[str] = mapped_column(EncryptedType(String))

bind_keyring(engine, Keyring.generate())
"""


class Base(DeclarativeBase):
    """The models of the demonstration."""


class Patient(Base):
    """A row with one sealed column."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(EncryptedType(String))


@click.command()
@click.option("--rows", type=click.IntRange(min=1), default=100_000, show_default=True)
@as_json
def demo(rows: int, as_json: bool) -> None:
    """Show a sealed column: the model, the stored row, a rotation, a re-encryption.

    Everything happens in an SQLite database in a temporary directory.
    """
    with tempfile.TemporaryDirectory(prefix="sealed-demo-") as directory:
        engine = create_engine(f"sqlite:///{Path(directory) / 'demo.db'}")
        try:
            _run(engine, rows, _Story(silent=as_json))
        finally:
            engine.dispose()


class _Story:
    """Tells the demonstration on stdout, or keeps it for one JSON document."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self.facts: dict[str, Any] = {}

    def step(self, title: str) -> None:
        """Begin a chapter."""
        if not self._silent:
            click.echo()
            click.secho(title, bold=True)

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._silent:
            click.echo(text)

    def census(self, name: str, columns: list[ColumnStatus]) -> None:
        """Show what is sealed with what."""
        self.facts[name] = [asdict(column) for column in columns]
        if not self._silent:
            print_status(columns, [], as_json=False)

    def reports(self, reports: list[Report]) -> None:
        """Show what the re-encryption did."""
        self.facts["reencryption"] = [asdict(report) for report in reports]
        if not self._silent:
            print_reports(reports, as_json=False)

    def end(self) -> None:
        """Print the document."""
        if self._silent:
            print_json(self.facts)


def _run(engine: Engine, rows: int, story: _Story) -> None:
    keyring = Keyring.generate()
    bind_keyring(engine, keyring)
    Base.metadata.create_all(engine)
    story.step("1. Declare a column, bind a keyring")
    story.say(_MODEL)
    _fill(engine, rows)
    story.step("2. Plaintext in Python, ciphertext in the database")
    _show_row(engine, story)
    story.step("3. Rotate: a new key version becomes active")
    keyring.rotate()
    story.census("before", status(engine, Base, keyring))
    story.step("4. Re-encrypt: old rows move to the active key")
    with ProgressReport() as progress:
        job = Reencryption(engine, Base, on_progress=progress, pace=Pace.full_speed())
        reports = job.run()
    story.reports(reports)
    story.step("5. Nothing is left under the old key")
    story.census("after", status(engine, Base, keyring))
    _show_row(engine, story)
    story.end()


def _fill(engine: Engine, rows: int) -> None:
    starts = range(0, rows, _CHUNK)
    talk(f"sealing {rows:,} rows")
    for start in starts:
        chunk = range(start, min(start + _CHUNK, rows))
        with engine.begin() as connection:
            connection.execute(
                insert(Patient), [{"name": f"Ada Lovelace the {n}th"} for n in chunk]
            )


def _show_row(engine: Engine, story: _Story) -> None:
    with Session(engine) as session:
        patient = session.scalars(select(Patient).limit(1)).one()
        stored = session.scalar(text("SELECT hex(name) FROM patients LIMIT 1"))
    story.say(f"patient.name       = {patient.name!r}")
    story.say(f"SELECT hex(name)   = {stored}")
