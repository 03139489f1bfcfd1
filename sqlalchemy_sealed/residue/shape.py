"""The first characters and bytes of every envelope, as SQL that looks for others."""

from __future__ import annotations

from typing import Final

from sqlalchemy_sealed.envelope import SENTINEL, SuiteId, to_text

__all__ = ["BYTES", "MARKS", "TEXTS", "is_sealed_bytes", "is_sealed_text"]

#: Sentinel and suite.
BYTES: Final = tuple(bytes((SENTINEL, suite)) for suite in SuiteId)
#: The same in the text form: two bytes are two characters and a part of a third,
#: whose rest is 0, since the two highest bits of the flags are.
TEXTS: Final = tuple(to_text(bytes((SENTINEL, suite, 0)))[:-1] for suite in SuiteId)
#: Both, for looking into bytes.
MARKS: Final = (*BYTES, *(text.encode() for text in TEXTS))


def is_sealed_text(value: str) -> str:
    """Return the condition that an SQL expression is the text form of an envelope."""
    listed = ", ".join(f"'{one}'" for one in TEXTS)
    return f"substr({value}, 1, {len(TEXTS[0])}) IN ({listed})"


def is_sealed_bytes(hexadecimal: str, before: str = "") -> str:
    """Return the condition that the hex digits of an expression are of an envelope.

    Args:
        hexadecimal: an SQL expression of lower-case digits.
        before: what stands in front of them.

    """
    listed = ", ".join(f"'{before}{one.hex()}'" for one in BYTES)
    return f"substr({hexadecimal}, 1, {len(before) + 4}) IN ({listed})"
