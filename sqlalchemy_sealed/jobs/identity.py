"""What makes two commands the same run: table, kind, columns and target."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass

__all__ = ["Kind", "RunIdentity"]


class Kind(enum.Enum):
    """What a run does to values."""

    REENCRYPT = "reencrypt"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    FILL_INDEX = "fill-index"


@dataclass(frozen=True)
class RunIdentity:
    """A command with the same identity joins an open run; another one is refused.

    Attributes:
        table: the table with its schema.
        kind: what becomes of the values.
        columns: the columns at work.
        target: hash of what values are moved to, such as the active key.

    """

    table: str
    kind: Kind
    columns: tuple[str, ...]
    target: str

    @property
    def column_names(self) -> str:
        """The columns, as the row of the run has them."""
        return json.dumps(self.columns)
