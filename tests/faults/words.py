"""Words that databases disagree about, and values that are never written twice."""

from __future__ import annotations

import random
import uuid

__all__ = ["MARKER", "Words"]

#: In every plaintext: it must not turn up in the tables of a run.
MARKER = "pLaInTeXt"
_WORDS = ("a A ä Ä ß ss ﬁ İ ı é é 日本 😀 z Z %s %% ' \\ \" _ {x} :n ￿ ` ~ 0 -").split()


class Words:
    """Draws keys and values; a number in each makes it the only one."""

    def __init__(self, chooser: random.Random) -> None:
        self._chooser = chooser
        self._number = 0

    def number(self) -> int:
        """Return the next number."""
        self._number += 1
        return self._number

    def value(self) -> str | None:
        """Return a plaintext, or ``None``."""
        if self._chooser.random() < 0.1:
            return None
        words = self._chooser.choices(_WORDS, k=self._chooser.randrange(3))
        end = self._chooser.choice(["", "", " ", "\n"])
        return f"{MARKER} {self.number()} {''.join(words)}{end}"

    def key(self, names: tuple[str, ...]) -> dict[str, object]:
        """Return a primary key."""
        number = self.number()
        found: dict[str, object] = {}
        for name in names:
            if name == "number":
                found[name] = self._chooser.choice([1, -1]) * number
            elif name == "group":
                found[name] = self._chooser.choice(_WORDS[:6])
            elif name == "key":
                end = self._chooser.choice(["", "", " "])
                word = self._chooser.choice(_WORDS)
                found[name] = f"{word}.{number}{end}"
            else:
                # In three bands, so that a new key may land before or among others.
                found[name] = number * 3 + self._chooser.choice([0, 10**6, -(10**6)])
        return found

    def uuid(self) -> uuid.UUID:
        """Return a UUID."""
        # MariaDB orders those with a time in them in another way.
        version = self._chooser.choice([1, 4, 4])
        return uuid.UUID(int=self._chooser.getrandbits(128), version=version)

    def key_of(self, names: tuple[str, ...], is_uuid: bool) -> dict[str, object]:
        """Return a primary key of a table that may have UUIDs."""
        return {names[0]: self.uuid()} if is_uuid else self.key(names)
