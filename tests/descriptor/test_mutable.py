"""Values that change in place, and composites, on both ways of declaring."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from sqlalchemy import JSON, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    composite,
    make_transient_to_detached,
    mapped_column,
)
from sqlalchemy_sealed import EncryptedType, encrypted
from sqlalchemy_sealed.errors import SecretHandlingError


@dataclasses.dataclass
class Place:
    street: str | None
    town: str | None


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    data = encrypted(JSON, mutable=MutableDict, bind="row")
    tags = encrypted(JSON, mutable=MutableList)
    notes: Mapped[dict | None] = mapped_column(
        MutableDict.as_mutable(EncryptedType(JSON))
    )
    home: Mapped[Place] = composite(
        mapped_column("street", EncryptedType(String)),
        mapped_column("town", EncryptedType(String)),
    )


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def ada(session):
    ada = Patient(
        id=1, data={"a": 1}, tags=["x"], notes={"n": 1}, home=Place("Main", "York")
    )
    session.add(ada)
    session.commit()
    return ada


def change(patient):
    patient.data["b"] = 2
    patient.tags.append("y")
    patient.notes["m"] = 2


def test_changes_in_place_are_written(session, ada):
    change(ada)
    assert ada in session.dirty
    assert (ada.data, ada.tags) == ({"a": 1, "b": 2}, ["x", "y"])
    session.commit()
    session.expunge_all()
    found = session.scalars(select(Patient)).one()
    assert found.data == {"a": 1, "b": 2}
    assert found.tags == ["x", "y"]
    assert found.notes == {"n": 1, "m": 2}
    found.data.pop("a")
    session.commit()
    session.expire_all()
    assert found.data == {"b": 2}


def test_a_change_before_and_after_the_flush(session):
    patient = Patient(id=2, data={}, tags=[], home=Place(None, None))
    patient.data["a"] = 1
    session.add(patient)
    session.flush()
    patient.data["b"] = 2
    session.flush()
    patient.data["c"] = 3
    session.commit()
    session.expire_all()
    assert patient.data == {"a": 1, "b": 2, "c": 3}


def test_reading_does_not_change(session, ada):
    assert ada.data == {"a": 1}
    assert ada.tags[0] == "x"
    assert not session.dirty


def test_a_rollback_forgets_the_change(session, ada):
    change(ada)
    session.rollback()
    assert (ada.data, ada.tags, ada.notes) == ({"a": 1}, ["x"], {"n": 1})


def test_a_change_that_is_not_flushed_is_not_pickled_away(session, ada):
    ada.data["b"] = 2
    with pytest.raises(SecretHandlingError):
        pickle.dumps(ada)
    session.flush()
    again = pickle.loads(pickle.dumps(ada))
    session.commit()
    session.expunge_all()
    merged = session.merge(again)
    merged.data["c"] = 3
    session.commit()
    assert merged.data == {"a": 1, "b": 2, "c": 3}


def test_a_wrong_kind_of_value_is_refused():
    with pytest.raises(ValueError, match="does not accept"):
        Patient(data=5)


def test_a_composite_of_sealed_columns(session, ada):
    ada.home = Place("High", "Leeds")
    session.commit()
    session.expire_all()
    assert ada.home == Place("High", "Leeds")
