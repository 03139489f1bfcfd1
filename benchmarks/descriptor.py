"""Loading objects with sealed attributes: ``c0 = encrypted(String)``.

"untouched" is ``session.scalars(select(Model)).all()`` in a fresh session: attributes
are opened when they are read, and nobody reads them. "touched" reads every attribute of
every object after it. Baseline: the same with plaintext ``String`` columns, whose
attributes are read too. The attribute with an index costs an index term more, which is
loaded, and computed again from the value to be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from contenders import Model, values
from measure import Line, Samples, Spread, interleave, timed
from setting import Setting, sealed_engine, server_database
from sqlalchemy import Engine, Integer, String, select
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from table import fill

from sqlalchemy_sealed import BlindIndex, encrypted

__all__ = ["run"]

_GOALS = {
    ("untouched", 1): "<= 1.15",
    ("untouched", 4): "<= 1.35",
    ("touched", 1): "<= 1.7",
    ("touched", 4): "<= 2.6",
}
_PLAIN, _SEALED, _INDEXED = "plaintext", "sealed", "sealed with an index"
_ATTRIBUTES: dict[str, Callable[[], Any]] = {
    _PLAIN: lambda: mapped_column(String),
    _SEALED: lambda: encrypted(String),
    _INDEXED: lambda: encrypted(String, index=BlindIndex()),
}


class _Base(DeclarativeBase):
    """The models of every contender."""


def _model(contender: str, attributes: int) -> Model:
    name = f"{contender.replace(' ', '_')}_{attributes}"
    new = _ATTRIBUTES[contender]
    body: dict[str, Any] = {
        "__tablename__": name,
        "id": mapped_column(Integer, primary_key=True),
        **{f"c{n}": new() for n in range(attributes)},
    }
    return type(name, (_Base,), body)


_MODELS = {
    1: {name: _model(name, 1) for name in (_PLAIN, _SEALED, _INDEXED)},
    4: {name: _model(name, 4) for name in (_PLAIN, _SEALED)},
}


def run(setting: Setting) -> list[Line]:
    """Return the ratios."""
    lines: list[Line] = []
    with server_database(setting.url) as url:
        engine = sealed_engine(url)
        for attributes, models in _MODELS.items():
            for model in models.values():
                fill(engine, model, setting.loaded, partial(values, attributes))
            for what, load in (("untouched", _untouched), ("touched", _touched)):
                samples = _measure(engine, models, load, attributes, setting)
                lines += _lines(what, attributes, samples)
            _Base.metadata.drop_all(engine)
        engine.dispose()
    return lines


def _untouched(session: Session, model: Model, attributes: int) -> object:
    del attributes
    return session.scalars(select(model)).all()


def _touched(session: Session, model: Model, attributes: int) -> object:
    read = attrgetter(*(f"c{n}" for n in range(attributes)))
    objects = session.scalars(select(model)).all()
    for one in objects:
        read(one)
    return objects


def _measure(
    engine: Engine,
    models: dict[str, Model],
    load: Callable[[Session, Model, int], object],
    attributes: int,
    setting: Setting,
) -> Samples:
    def measure(model: Model) -> float:
        with Session(engine) as session:
            seconds = timed(lambda: load(session, model, attributes))
        return seconds / setting.loaded * 1e6

    contenders = {name: partial(measure, model) for name, model in models.items()}
    if load is _untouched:
        contenders.pop(_INDEXED, None)
    return interleave(contenders, setting.repeat)


def _lines(what: str, attributes: int, samples: Samples) -> list[Line]:
    title = f"PostgreSQL, {attributes} attr., {what}"
    base = samples[_PLAIN]
    absolute = Line("descriptor", f"{title}, plaintext", Spread.of(base), "us per row")
    ratios = [
        Line(
            "descriptor",
            f"{title}, {name}",
            Spread.ratio(measured, base),
            "x plaintext",
            _GOALS[what, attributes] if name == _SEALED else "",
        )
        for name, measured in samples.items()
        if name != _PLAIN
    ]
    return [absolute, *ratios]
