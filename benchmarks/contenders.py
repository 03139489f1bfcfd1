"""The same model with plaintext, sealed and SQLAlchemy-Utils columns.

Values have 20 characters. SQLAlchemy-Utils is several times slower, so it works on a
fifth of the rows; everything is measured in microseconds per row.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from measure import Line, Samples, Spread, interleave, timed
from setting import Setting, sealed_engine
from sqlalchemy import Engine, Integer, String, insert
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeEngine
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    AesEngine,
    AesGcmEngine,
    FernetEngine,
    StringEncryptedType,
)

from sqlalchemy_sealed import EncryptedType

__all__ = ["Model", "Task", "compare", "values"]

Model = type[DeclarativeBase]
#: Prepares one measurement with a model of so many columns and rows, yields what is to
#: be timed, and clears up.
Task = Callable[[Engine, Model, int, int], AbstractContextManager[Callable[[], object]]]

_SECRET = "a secret that is not one"
_UTILS_SHARE = 5
_CHUNK = 10_000
_TYPES: dict[str, Callable[[], TypeEngine[Any]]] = {
    "plaintext": String,
    "sealed": lambda: EncryptedType(String),
    "utils AES": lambda: StringEncryptedType(String, _SECRET, AesEngine, "pkcs5"),
    "utils GCM": lambda: StringEncryptedType(String, _SECRET, AesGcmEngine),
    "utils Fernet": lambda: StringEncryptedType(String, _SECRET, FernetEngine),
}


class _Base(DeclarativeBase):
    """The models of every contender."""


def _model(contender: str, columns: int) -> Model:
    name = f"{contender.lower().replace(' ', '_')}_{columns}"
    new: Callable[[], TypeEngine[Any]] = _TYPES[contender]
    body: dict[str, Any] = {
        "__tablename__": name,
        "id": mapped_column(Integer, primary_key=True),
        **{f"c{n}": mapped_column(new()) for n in range(columns)},
    }
    return type(name, (_Base,), body)


_MODELS = {(name, n): _model(name, n) for n in (1, 10) for name in _TYPES}


def values(columns: int, row: int) -> dict[str, str]:
    """Return the values of a row, by column."""
    return {f"c{n}": f"u{row * 10 + n:07}@example.com" for n in range(columns)}


def compare(
    setting: Setting, part: str, task: Task, rows: int, goals: dict[int, str]
) -> list[Line]:
    """Measure a task with every contender; return ratios to the plaintext model.

    Args:
        setting: the options.
        part: name of the part, for the table.
        task: prepares one measurement and yields what is to be timed.
        rows: rows for plaintext and sealed columns.
        goals: by number of columns, for the sealed model on every database.

    """
    lines: list[Line] = []
    with setting.databases() as databases:
        for database, url in databases.items():
            engine = sealed_engine(url)
            for columns in (1, 10):
                samples = _measure(engine, task, columns, rows, setting.repeat)
                _remember(setting, f"{part}, {database}", columns, samples)
                lines += _lines(part, database, columns, samples, goals.get(columns))
            engine.dispose()
    return lines


def _measure(
    engine: Engine, task: Task, columns: int, rows: int, repeat: int
) -> Samples:
    contenders: dict[str, Callable[[], float]] = {}
    for name in _TYPES:
        count = rows // _UTILS_SHARE if name.startswith("utils") else rows
        model = _MODELS[name, columns]
        _fill(engine, model, columns, count)

        def measure(model: Model = model, count: int = count) -> float:
            with task(engine, model, columns, count) as work:
                return timed(work) / count * 1e6

        contenders[name] = measure
    samples = interleave(contenders, repeat)
    _Base.metadata.drop_all(engine)
    return samples


def _fill(engine: Engine, model: Model, columns: int, rows: int) -> None:
    table: Any = model.__table__
    table.create(engine)
    with engine.begin() as connection:
        for start in range(0, rows, _CHUNK):
            chunk = range(start, min(rows, start + _CHUNK))
            connection.execute(insert(table), [values(columns, row) for row in chunk])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _remember(setting: Setting, where: str, columns: int, samples: Samples) -> None:
    extra = [
        (sealed - plain) / columns
        for sealed, plain in zip(samples["sealed"], samples["plaintext"], strict=True)
    ]
    setting.beyond_plaintext[f"{where}, {columns} col."] = Spread.of(extra)


def _lines(
    part: str, database: str, columns: int, samples: Samples, goal: str | None
) -> list[Line]:
    title = f"{database}, {columns} col."
    base = samples["plaintext"]
    absolute = Line(part, f"{title}, plaintext", Spread.of(base), "us per row")
    ratios = [
        Line(
            part,
            f"{title}, {name}",
            Spread.ratio(measured, base),
            "x plaintext",
            (goal or "") if name == "sealed" else "",
        )
        for name, measured in samples.items()
        if name != "plaintext"
    ]
    return [absolute, *ratios]
