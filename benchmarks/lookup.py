"""Finding one object: ``session.scalars(select(M).where(M.email == value)).one()``.

Everything from the building of the statement to the object is in the time: the index
term of the value, the search, fetching the row, the new object; 2,000 present values in
random order, each once, in one fresh session, which forgets an object as soon as it is
dropped. Baseline: the same on a plaintext ``String`` column with an index. The sealed
attribute of the found object is not opened, except in the lines that say so.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from contenders import Model, values
from measure import Line, Spread, interleave, timed
from setting import Setting, sealed_engine, server_database
from sqlalchemy import Engine, Integer, String, select
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from table import fill

from sqlalchemy_sealed import BlindIndex, Keyring, encrypted

__all__ = ["run"]

_LOOKUPS = 2_000
_SEED = 20_000
_PLAIN, _INDEX, _ROTATION = "plaintext", "BlindIndex()", "BlindIndex of two versions"
_READ = ", attribute read"
_GOALS = {_INDEX: "<= 1.10", _ROTATION: "<= 1.3"}


class _Base(DeclarativeBase):
    """The models of every contender."""


def _model(name: str, attribute: Any) -> Model:
    body: dict[str, Any] = {
        "__tablename__": name,
        "id": mapped_column(Integer, primary_key=True),
        "email": attribute,
    }
    return type(name, (_Base,), body)


_MODELS = {
    _PLAIN: _model("plaintext", mapped_column(String, index=True)),
    _INDEX: _model("indexed", encrypted(String, index=BlindIndex())),
    _ROTATION: _model(
        "rotating", encrypted(String, index=BlindIndex(version=1, second_version=2))
    ),
}


def run(setting: Setting) -> list[Line]:
    """Return the ratios."""
    keyring = Keyring.generate()
    keyring.publish_index()
    with server_database(setting.url) as url:
        engine = sealed_engine(url, keyring)
        for model in _MODELS.values():
            fill(engine, model, setting.rows, lambda row: {"email": _email(row)})
        samples = interleave(_contenders(engine, setting.rows), setting.repeat)
        engine.dispose()
    title = f"PostgreSQL, {setting.rows:,} rows"
    lines = [
        Line(
            "lookup", f"{title}, {_PLAIN}", Spread.of(samples[_PLAIN]), "us per look-up"
        )
    ]
    for name, measured in samples.items():
        if not name.startswith(_PLAIN):
            base = samples[_PLAIN + _READ if name.endswith(_READ) else _PLAIN]
            ratio = Spread.ratio(measured, base)
            goal = _GOALS.get(name, "")
            lines.append(Line("lookup", f"{title}, {name}", ratio, "x plaintext", goal))
    return lines


def _email(row: int) -> str:
    return values(1, row)["c0"]


def _contenders(engine: Engine, rows: int) -> dict[str, Callable[[], float]]:
    found = random.Random(_SEED).sample(range(rows), min(rows, _LOOKUPS))
    emails = [_email(row) for row in found]
    contenders: dict[str, Callable[[], float]] = {}
    for name, model in _MODELS.items():
        contenders[name] = partial(_measure, engine, model, emails, _find)
        contenders[name + _READ] = partial(_measure, engine, model, emails, _read)
    return contenders


def _measure(
    engine: Engine,
    model: Any,
    emails: list[str],
    work: Callable[[Session, Any, str], object],
) -> float:
    with Session(engine) as session:
        session.connection()

        def look_up() -> None:
            for email in emails:
                work(session, model, email)

        return timed(look_up) / len(emails) * 1e6


def _find(session: Session, model: Any, email: str) -> Any:
    return session.scalars(select(model).where(model.email == email)).one()


def _read(session: Session, model: Any, email: str) -> object:
    return _find(session, model, email).email
