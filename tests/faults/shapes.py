"""The tables of the schedules: every kind of key, of sealed column and of move.

Each of them has two columns beside its key and its sealed values: ``serial``, the
number by which the ledger knows a row whatever becomes of its primary key, and
``other``, which no job has any business with.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Engine, MetaData, String, Table, Text, Uuid, inspect
from sqlalchemy import column as any_column
from sqlalchemy import table as any_table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedType, encrypted

__all__ = ["SHAPES", "Shape", "create_tables"]


class Base(DeclarativeBase):
    pass


class _Row:
    serial: Mapped[int] = mapped_column()
    other: Mapped[str | None] = mapped_column(String(40))


class Numbered(_Row, Base):
    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    a: Mapped[str | None] = mapped_column(EncryptedType(String))


class Named(_Row, Base):
    __tablename__ = "named"
    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    a: Mapped[str | None] = mapped_column(EncryptedType(String))
    b: Mapped[str | None] = mapped_column(
        EncryptedType(String(90), suite="deterministic")
    )
    c: Mapped[str | None] = mapped_column(EncryptedType(String, storage="text"))


class Composite(_Row, Base):
    __tablename__ = "composite"
    group: Mapped[str] = mapped_column(String(30), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    a: Mapped[str | None] = mapped_column(EncryptedType(String))
    b: Mapped[str | None] = mapped_column(EncryptedType(String, storage="text"))


class Texts(_Row, Base):
    __tablename__ = "texts"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    a: Mapped[str | None] = mapped_column(EncryptedType(String, storage="text"))


class Equal(_Row, Base):
    __tablename__ = "equal"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    a: Mapped[str | None] = mapped_column(
        EncryptedType(String(90), suite="deterministic")
    )


class Bound(_Row, Base):
    __tablename__ = "bound"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ward: Mapped[str] = mapped_column(String(20))
    a = encrypted(String, column="a_sealed", bind="row")
    b = encrypted(String, column="b_sealed", bind="row", tenant="ward")


class Keyed(_Row, Base):
    __tablename__ = "keyed"
    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    a = encrypted(String, column="a_sealed", bind="row")


class Doubled(_Row, Base):
    __tablename__ = "doubled"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    p: Mapped[str | None] = mapped_column(String(90))
    a: Mapped[str | None] = mapped_column(EncryptedType(String))


class DoubledBound(_Row, Base):
    __tablename__ = "doubled_bound"
    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    p: Mapped[str | None] = mapped_column(String(90))
    a = encrypted(String, column="a_sealed", bind="row")


class InPlace(_Row, Base):
    __tablename__ = "in_place"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    a: Mapped[str | None] = mapped_column(EncryptedType(String, storage="text"))


class Indexed(_Row, Base):
    __tablename__ = "indexed"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    a = encrypted(String, column="a_sealed", index=BlindIndex())


@dataclass(frozen=True)
class Shape:
    """A table, and the kind of job that is run on it.

    Attributes:
        kind: of the job.
        values: mapped attribute of every sealed value to its column.
        source: the attribute that a two-column job reads, and
        target: the one that it fills.
        tenant: the attribute that names a tenant.
        in_place: whether the column holds plaintext and envelopes in turn.
        is_orm: whether values need their row, so that only the ORM can write them.

    """

    model: Any
    kind: str
    values: Mapping[str, str]
    source: str | None = None
    target: str | None = None
    tenant: str | None = None
    in_place: bool = False
    is_orm: bool = False
    row_bound: bool = False

    @property
    def table(self) -> Table:
        """The table, with the types of the library."""
        return self.model.__table__

    @property
    def name(self) -> str:
        """A name for traces."""
        return f"{self.kind} {self.table.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """The attributes of the primary key."""
        return tuple(column.key for column in inspect(self.model).primary_key)

    @property
    def terms(self) -> tuple[str, ...]:
        """The columns of a blind index."""
        return tuple(c.name for c in self.table.columns if "bidx" in c.name)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Everything the ledger knows of a row."""
        beside = [n for n in (self.source, self.target, self.tenant) if n]
        names = [*self.key, "serial", "other", *beside, *self.values]
        return tuple(dict.fromkeys(names))

    @property
    def untyped(self) -> Any:
        """The table without any type: what is stored is what comes back."""
        return _untyped(self.table)

    @property
    def legacy(self) -> Table:
        """The table of a process that has never heard of sealed values."""
        return _legacy(self.table)


def create_tables(engine: Engine) -> None:
    """Create all of them; what will hold both kinds is what it was before."""
    _legacy(Base.metadata.tables[InPlace.__tablename__]).create(engine)
    Base.metadata.create_all(engine)


@functools.cache
def _untyped(table: Table) -> Any:
    return any_table(table.name, *(any_column(c.name) for c in table.columns))


@functools.cache
def _legacy(table: Table) -> Table:
    columns = [
        Column(
            c.name,
            Text() if c.name == "a" else c.type,
            primary_key=c.primary_key,
            autoincrement=False,
        )
        for c in table.columns
    ]
    return Table(table.name, MetaData(), *columns)


def _shape(model: Any, kind: str, *names: str, **options: Any) -> Shape:
    known = {column.name for column in model.__table__.columns}
    stored = {n: n if n in known else f"{n}_sealed" for n in names}
    is_orm = any(column != name for name, column in stored.items())
    return Shape(model, kind, stored, is_orm=is_orm, **options)


_ENCRYPT: dict[str, Any] = {"source": "p", "target": "a"}
_DECRYPT: dict[str, Any] = {"source": "a", "target": "p"}
#: Most schedules re-encrypt; one kind of table is drawn per schedule.
SHAPES = (
    _shape(Numbered, "reencrypt", "a"),
    _shape(Numbered, "reencrypt", "a"),
    _shape(Named, "reencrypt", "a", "b", "c"),
    _shape(Named, "reencrypt", "a", "b", "c"),
    _shape(Composite, "reencrypt", "a", "b"),
    _shape(Composite, "reencrypt", "a", "b"),
    _shape(Texts, "reencrypt", "a"),
    _shape(Equal, "reencrypt", "a"),
    _shape(Bound, "reencrypt", "a", "b", tenant="ward", row_bound=True),
    _shape(Keyed, "reencrypt", "a", row_bound=True),
    _shape(Doubled, "encrypt", "a", **_ENCRYPT),
    _shape(DoubledBound, "encrypt", "a", row_bound=True, **_ENCRYPT),
    _shape(InPlace, "encrypt", "a", in_place=True),
    _shape(Doubled, "decrypt", "a", **_DECRYPT),
    _shape(DoubledBound, "decrypt", "a", row_bound=True, **_DECRYPT),
    _shape(InPlace, "decrypt", "a", in_place=True),
    _shape(Indexed, "fill", "a"),
)
