"""Sealing a column of values anew in one loop, for jobs.

The values come in parts: slices that the loop needs anyway, and that cost least when
they are cut out of a whole array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, TypeAlias

from sqlalchemy_sealed.cipher import FieldCipher, Stored
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.fast import (
    BODY,
    MARK,
    NONCE,
    NONCE_END,
    PREFIX,
    SALT_END,
    SHORTEST,
)
from sqlalchemy_sealed.padding import Blocks, unpad
from sqlalchemy_sealed.suites import NONCE_LENGTH

__all__ = ["ColumnResealer", "Parts", "column_resealer", "parts_in", "parts_of"]

#: Header with salt, nonce, and the rest of a value.
Parts: TypeAlias = tuple[bytes, bytes, bytes]
ColumnResealer: TypeAlias = Callable[
    [Iterable[Parts], int, Callable[[int], Stored | None]], list[Stored | None]
]


def column_resealer(cipher: FieldCipher) -> ColumnResealer | None:
    """Return a function that seals a column of values anew, if there is a fast one.

    ``f(parts, count, strict)`` returns one item per value: the new one, or ``None``
    for what is current. ``strict(n)`` is called for a value that surprises it and
    returns the item. It is ``resealer`` with its body inside the loop: a call per
    value would cost a tenth of the time. Nonces are drawn for all of them at once.
    """
    if cipher.field.text or cipher.field.suite is not SuiteId.XAES_256_GCM:
        return None
    ready, slot = cipher.ready, cipher.slot
    padding = cipher.field.padding
    blocks, least, mark = isinstance(padding, Blocks), SHORTEST - NONCE_END, MARK

    def reseal_column(
        parts: Iterable[Parts], count: int, strict: Callable[[int], Stored | None]
    ) -> list[Stored | None]:
        new: list[Stored | None] = []
        keep = new.append
        prefix, active, encrypt, _, check, draw = slot[0]
        # As many as there are values: a call per value would be one too many.
        nonces = draw(count)
        for salted, nonce, body in parts:
            try:
                decrypt, header = ready[salted]
                if header is active and len(body) >= least:
                    keep(None)
                    continue
                plain = decrypt(nonce, body, header)
                if padding is not None:
                    marked = plain.rstrip(b"\0")
                    # What the default padding made is kept as it is.
                    whole = blocks and len(plain) == (len(marked) + 15) & ~15
                    if not whole or marked[-1] != mark:
                        plain = padding.pad(unpad(plain))
                own = nonces.pop()
                sealed = encrypt(own, plain, active)
                if check(own, sealed, active) == plain:
                    keep(prefix + own + sealed)
                    continue
            except Exception:  # noqa: BLE001, S110 - the strict call explains it
                pass
            keep(strict(len(new)))
            if slot[0][0] != prefix or not nonces:
                # There is another salt, or another key.
                prefix, active, encrypt, _, check, draw = slot[0]
                nonces = draw(count - len(new))
        return new

    return reseal_column


def parts_of(values: Sequence[Any]) -> Iterator[Parts]:
    """Take values apart; what is not of bytes has parts that nothing can open."""
    try:
        [length] = set(map(len, values))
        # Cut out of one piece, they cost half.
        found = parts_in(b"".join(values), length, between=0)
    except (TypeError, ValueError):
        found = None
    return found or _parts_one_by_one(values)


def _parts_one_by_one(values: Sequence[Any]) -> Iterator[Parts]:
    for value in values:
        stored = value if isinstance(value, bytes) else b""
        yield stored[PREFIX], stored[NONCE], stored[BODY]


def parts_in(packed: Any, length: int, between: int = 4) -> Iterator[Parts] | None:
    """Take values of one length apart that lie behind each other.

    Args:
        packed: the values.
        length: of each, in bytes.
        between: bytes before each value.

    """
    if length < SHORTEST:
        return None
    rest = length - NONCE_END
    return Struct(f"{between}x{SALT_END}s{NONCE_LENGTH}s{rest}s").iter_unpack(packed)
