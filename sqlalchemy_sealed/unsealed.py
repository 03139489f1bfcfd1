"""What a column may hold beside envelopes: legacy values, and plaintext.

Only what has not the shape of an envelope is looked at here: the shape without a known
key, or a failed tag, is an error in every column. Legacy formats come first, and what
one of them recognises is never plaintext.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.codec.plaintext import read_text, write_text
from sqlalchemy_sealed.envelope import SENTINEL, TEXT_PREFIX
from sqlalchemy_sealed.errors import LegacyFormatError, NotSealedError
from sqlalchemy_sealed.legacy.format import InvalidLegacyValue, LegacyFormat
from sqlalchemy_sealed.policy import PlaintextPolicy
from sqlalchemy_sealed.quiet import quietly

__all__ = ["PlaintextReads", "Unsealed", "is_unsealed"]


_PREFIX: Final = TEXT_PREFIX.encode()
#: A text form whose beginning was damaged: 0xF5 and a suite in base64, and the rest.
_DAMAGED: Final = re.compile(rb"9R[A-X][A-Za-z0-9_-]{60}")


def is_unsealed(stored: object, text: bool) -> bool:
    """Tell whether a stored value has not even the beginning of an envelope.

    Args:
        stored: as the driver gave it; SQLite gives bytes from a column of text, too.
        text: whether the column stores the text form.

    """
    if isinstance(stored, str):
        return not (text and stored.startswith(TEXT_PREFIX))
    if isinstance(stored, bytes | bytearray | memoryview):
        data = bytes(stored[:4])
        return data[:1] != bytes((SENTINEL,)) and not (text and data == _PREFIX)
    return False


class PlaintextReads:
    """What the processes of one engine have read that was not sealed.

    Attributes:
        counts: values by field id and ``"plaintext"`` or the name of a legacy format.
        closed: fields whose plaintext has come to an end, whatever their policy says.

    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.closed: set[str] = set()
        #: Fields whose values are stored as plaintext, and which were warned of.
        self.warned: set[str] = set()


@dataclass(frozen=True)
class Unsealed:
    """Reads what is not sealed in the column of one field.

    Args:
        context: the field id, for messages and counts.
        codec: of the values.
        legacy: formats that the column had before.
        policy: what becomes of plaintext; ``None`` accepts none.
        text: whether the column stores text.

    """

    context: str
    codec: Codec
    legacy: tuple[LegacyFormat[Any], ...]
    policy: PlaintextPolicy | None
    text: bool

    def read(self, stored: Any, reads: PlaintextReads) -> Any:
        """Return the value of a stored form, and count it.

        Raises:
            LegacyFormatError: a legacy value that does not open.
            NotSealedError: plaintext, where the policy accepts none.

        """
        if self.context in reads.closed:
            self._check_policy(reads)
        data = self._bytes(stored)
        # Raw bytes could be taken for an envelope: they are in other columns only.
        known = [one for one in self.legacy if one.is_ascii and one.recognizes(data)]
        if known:
            one, value = self._open(known, data, None)
            reads.counts[self.context, type(one).__name__] += 1
            return value
        self._check_policy(reads)
        value = self.plaintext(data)
        reads.counts[self.context, "plaintext"] += 1
        return value

    def migrate(self, stored: Any, beside: Any = None) -> Any:
        """Return the value of a stored form, whatever the policy says: for a job.

        Raises:
            LegacyFormatError: a value that no format opens, or that is none of the
                declared type.

        """
        data = self._bytes(stored)
        iv = None if beside is None else self._bytes(beside)
        known = [one for one in self.legacy if one.recognizes(data)]
        if known:
            return self._open(known, data, iv)[1]
        if self.legacy and self.policy is None:
            raise LegacyFormatError(
                f"{self.context}: a value has not the shape of "
                f"{', '.join(type(one).__name__ for one in self.legacy)}. If it is "
                'plaintext, declare plaintext="read" beside legacy='
            )
        return self.plaintext(data)

    def plaintext(self, data: bytes) -> Any:
        """Return the value of a plaintext.

        Raises:
            NotSealedError: it is none of the declared type.

        """
        value, failed = quietly(lambda: read_text(self.codec, data.decode()))
        if failed or _DAMAGED.search(data):
            raise NotSealedError(
                f"{self.context} holds a value that is neither sealed, as far as it is "
                "not damaged, nor the text of a "
                f"{type(self.codec).__name__.removesuffix('Codec')} value; it is left "
                "as it is"
            )
        return value

    def is_plaintext(self, form: str | bytes, plain: bytes) -> bool:
        """Tell whether a plaintext form reads as the value, and as nothing else."""
        data = self._bytes(form)
        if not is_unsealed(form, self.text) or _DAMAGED.search(data):
            return False
        if any(one.recognizes(data) for one in self.legacy):
            return False
        again, failed = quietly(
            lambda: self.codec.encode(read_text(self.codec, data.decode()))
        )
        return not failed and again == plain

    def writes(self, reads: PlaintextReads, has_keys: bool) -> bool:
        """Tell whether the next value is written as plaintext."""
        policy = self.policy
        if policy is None or policy.is_over or self.context in reads.closed:
            return False
        return policy.mode == "write" or (policy.mode == "optional" and not has_keys)

    def written(self, value: Any) -> str | bytes:
        """Return the plaintext form of a value that the codec accepts."""
        text = write_text(self.codec, value)
        return text if self.text else text.encode()

    def opens(self, stored: Any) -> bool:
        """Tell whether a stored form is a legacy value, and not only looks like one."""
        data = self._bytes(stored)
        known = [one for one in self.legacy if one.is_ascii and one.recognizes(data)]
        return bool(known) and not quietly(self._open, known, data, None)[1]

    def _bytes(self, stored: Any) -> bytes:
        if isinstance(stored, str):
            return stored.encode()
        if isinstance(stored, bytes | bytearray | memoryview):
            return bytes(stored)
        raise NotSealedError(
            f"{self.context} holds a value of another type of the database, which is "
            "neither sealed nor text; it is left as it is"
        )

    def _open(
        self,
        known: list[LegacyFormat[Any]],
        data: bytes,
        beside: bytes | None,
    ) -> tuple[LegacyFormat[Any], Any]:
        found: list[tuple[LegacyFormat[Any], Any]] = []
        for one in known:
            try:
                found.append((one, one.value(data, self.codec, beside)))
            except InvalidLegacyValue:
                continue
            if one.is_authenticated:
                return found[-1]
        if len(found) == 1:
            return found[0]
        several = bool(found)
        # A traceback may be kept with the variables of this call.
        found.clear()
        names = ", ".join(dict.fromkeys(type(one).__name__ for one in known))
        if several:
            raise LegacyFormatError(
                f"{self.context}: more than one key opens a value of {names}, which "
                "nothing authenticates; name one key, and move the others apart"
            )
        lost = next((one.beside for one in known if one.beside and not beside), None)
        if lost is not None:
            raise LegacyFormatError(
                f"{self.context}: the IV of a value of {names} is in the column "
                f"{lost}, which a column type does not see: move the values first, "
                "with `sealed migrate`"
            )
        raise LegacyFormatError(
            f"{self.context}: a value of {names} does not open. The key is another "
            "one, the value was altered, or its text is none of the declared type. "
            "It is left as it is"
        )

    def _check_policy(self, reads: PlaintextReads) -> None:
        policy = self.policy
        closed = self.context in reads.closed
        if policy is None or policy.is_over or closed:
            none = policy is None and not closed
            why = "accepts none" if none else "has come to its end"
            raise NotSealedError(
                f"{self.context} holds a value that is not sealed, and its plaintext "
                f"policy {why}. It is not returned and not changed. `sealed status` "
                "counts such rows, `sealed migrate` seals them"
            )
