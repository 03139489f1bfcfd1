"""What a codec is (docs/FORMAT.md, "Codecs").

One class per row of the table, in the modules beside this one. Codecs are immutable
and hashable, know no database and no dialect, and decode strictly: one byte string per
value. An :class:`~sqlalchemy_sealed.errors.EncodingError` names a reason, never the
value; any other exception is turned into one by the field cipher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

__all__ = ["BaseCodec", "Codec", "need"]


class Codec(Protocol):
    """A way to write one kind of value as bytes."""

    @property
    def id(self) -> int:
        """Number in the header."""

    @property
    def padded(self) -> bool:
        """Whether values are padded to 16-byte blocks by default."""

    @property
    def deterministic(self) -> bool:
        """Whether the deterministic suite may be used."""

    def encode(self, value: Any) -> bytes:
        """Return the canonical bytes of ``value``."""
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value; ``ValueError`` when ``data`` is not canonical."""
        ...


@dataclass(frozen=True)
class BaseCodec:
    """Defaults of the attributes."""

    id: ClassVar[int]
    padded: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True


def need(condition: bool) -> None:
    """Refuse bytes that are not the canonical ones."""
    if not condition:
        raise ValueError("not canonical")
