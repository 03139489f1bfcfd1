"""The work: the job of a shape, as an operator's command makes it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from faults.shapes import Shape
from sqlalchemy_sealed import Reencryption
from sqlalchemy_sealed.jobs.decryption import Decryption
from sqlalchemy_sealed.jobs.encryption import Encryption
from sqlalchemy_sealed.jobs.indexfill import IndexFill
from sqlalchemy_sealed.jobs.pace import Pace

__all__ = ["make_job"]


def make_job(shape: Shape, engine: Engine, options: dict[str, Any]) -> Any:
    """Return a new job."""
    chosen = dict(options)
    polite, rows = chosen.pop("polite"), chosen.pop("batch_size")
    chosen["pace"] = Pace(rate=None, batch_rows=rows, polite=polite)
    if shape.kind == "reencrypt":
        return Reencryption(engine, shape.model, **chosen)
    if shape.kind == "fill":
        return IndexFill(engine, shape.model, **chosen)
    sealed = shape.values["a"]
    columns = {sealed if shape.in_place else "p": sealed}
    kind = Encryption if shape.kind == "encrypt" else Decryption
    return kind(engine, shape.model, columns, **chosen)
