"""The field cipher's work as closures, for SQLAlchemy's processors and for jobs.

Each does the usual case with one dictionary look-up and one call of the primitive, and
hands whatever surprises it (a key or salt not seen yet, a wrong value, altered bytes)
to the strict :class:`~sqlalchemy_sealed.cipher.FieldCipher`, which copes or says why
not. The strict call stands outside the ``except`` block, so that the error it raises
has no ``__context__``, which could hold the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from sqlalchemy_sealed.cipher import FieldCipher, Stored
from sqlalchemy_sealed.envelope import BODY_MINIMUM, HEADER_LENGTH, SuiteId
from sqlalchemy_sealed.errors import CiphertextOnlyError
from sqlalchemy_sealed.padding import Blocks, unpad
from sqlalchemy_sealed.scope import BLOCKS, is_ciphertext_only
from sqlalchemy_sealed.suites import NONCE_LENGTH, SALT_LENGTH
from sqlalchemy_sealed.unreadable import Ciphertext

__all__ = ["opener", "resealer", "sealer"]

SALT_END: Final = HEADER_LENGTH + SALT_LENGTH
NONCE_END: Final = SALT_END + NONCE_LENGTH
# Made once: building slices anew would cost a tenth of the decryption.
PREFIX: Final = slice(0, SALT_END)
NONCE: Final = slice(SALT_END, NONCE_END)
BODY: Final = slice(NONCE_END, None)
_ALL_BUT_ONE: Final = slice(0, -1)
SHORTEST: Final = HEADER_LENGTH + BODY_MINIMUM[SuiteId.XAES_256_GCM]
MARK: Final = 0x80
#: ISO 7816-4 tails of the default 16-byte blocks, by length modulo 16.
_TAILS: Final = tuple(b"\x80".ljust(16 - n, b"\0") for n in range(16))

_Function = Callable[[Any], Any]


def opener(cipher: FieldCipher) -> _Function:
    """Return a function that opens a stored form; NULL is ``None``."""
    field = cipher.field
    if field.row_bound or field.text:
        return _null_safe(cipher.open, _unopened)
    if field.suite is not SuiteId.XAES_256_GCM:
        return _body_opener(cipher)
    return _padded_opener(cipher) if field.padding else _plain_opener(cipher)


def _unopened(value: Any, open_: _Function) -> Any:
    """Do the unusual: NULL, or a ``ciphertext_only()`` block somewhere."""
    if value is None:
        return None
    return Ciphertext(value) if is_ciphertext_only() else open_(value)


def _unsealed(value: Any, seal: _Function) -> Any:
    if value is None:
        return None
    if is_ciphertext_only():
        raise CiphertextOnlyError(
            "a value would be sealed inside ciphertext_only(); nothing was written. "
            "Write outside of the block"
        )
    return seal(value)


def _null_safe(
    function: _Function, blocked: Callable[[Any, _Function], Any]
) -> _Function:
    def checked(value: Any) -> Any:
        if value is None or BLOCKS[0]:
            return blocked(value, function)
        return function(value)

    return checked


def _padded_opener(cipher: FieldCipher) -> _Function:
    ready, decode, strict = cipher.ready, cipher.field.codec.decode, cipher.open
    prefix, nonce, body, all_but_one = PREFIX, NONCE, BODY, _ALL_BUT_ONE
    blocks = BLOCKS

    def open_padded(value: Any) -> Any:
        if value is None or blocks[0]:
            return _unopened(value, strict)
        try:
            decrypt, header = ready[value[prefix]]
            marked = decrypt(value[nonce], value[body], header).rstrip(b"\0")
            if marked[-1] == MARK:
                return decode(marked[all_but_one])
        except Exception:  # noqa: BLE001, S110 - the strict call explains it
            pass
        return strict(value)

    return open_padded


def _plain_opener(cipher: FieldCipher) -> _Function:
    ready, decode, strict = cipher.ready, cipher.field.codec.decode, cipher.open
    prefix, nonce, body, blocks = PREFIX, NONCE, BODY, BLOCKS

    def open_plain(value: Any) -> Any:
        if value is None or blocks[0]:
            return _unopened(value, strict)
        try:
            decrypt, header = ready[value[prefix]]
            return decode(decrypt(value[nonce], value[body], header))
        except Exception:  # noqa: BLE001, S110 - the strict call explains it
            pass
        return strict(value)

    return open_plain


def _body_opener(cipher: FieldCipher) -> _Function:
    ready, decode, strict = cipher.ready, cipher.field.codec.decode, cipher.open
    padded, blocks = cipher.field.padding is not None, BLOCKS

    def open_body(value: Any) -> Any:
        if value is None or blocks[0]:
            return _unopened(value, strict)
        try:
            decrypt, header = ready[value[:HEADER_LENGTH]]
            plain = decrypt(value[HEADER_LENGTH:], header)
            return decode(unpad(plain) if padded else plain)
        except Exception:  # noqa: BLE001, S110 - the strict call explains it
            pass
        return strict(value)

    return open_body


def sealer(cipher: FieldCipher) -> _Function:
    """Return a function that seals a value; ``None`` is NULL."""
    field = cipher.field
    policy = field.plaintext
    special = field.row_bound or field.text or (policy and policy.mode == "write")
    if special or field.suite is not SuiteId.XAES_256_GCM:
        return _null_safe(cipher.seal, _unsealed)
    return _fast_sealer(cipher)


def _fast_sealer(cipher: FieldCipher) -> _Function:
    slot, encode, strict = cipher.slot, cipher.field.codec.encode, cipher.seal_and_stock
    padding = cipher.field.padding
    blocks = padding is not None and padding.padded_length(0) == len(_TAILS)
    pad = padding.pad if padding is not None else None

    def seal(value: Any) -> Any:
        if value is None or BLOCKS[0]:
            return _unsealed(value, strict)
        try:
            prefix, header, encrypt, nonce_of, *_ = slot[0]
            plain = encode(value)
            if blocks:
                plain += _TAILS[len(plain) & 15]
            elif pad is not None:
                plain = pad(plain)
            nonce = nonce_of()
            return prefix + nonce + encrypt(nonce, plain, header)
        except Exception:  # noqa: BLE001, S110 - the strict call explains it
            pass
        return strict(value)

    return seal


def resealer(cipher: FieldCipher) -> Callable[[Any], Stored | None]:
    """Return a function that seals a stored form anew under the active key.

    It returns ``None`` for what the active key sealed already. Every new value is
    opened and compared before it is returned.
    """
    if cipher.field.text or cipher.field.suite is not SuiteId.XAES_256_GCM:
        return cipher.reseal
    return _fast_resealer(cipher)


def _fast_resealer(cipher: FieldCipher) -> Callable[[Any], Stored | None]:
    ready, slot, strict = cipher.ready, cipher.slot, cipher.reseal
    padding = cipher.field.padding
    salted, nonce_part, body_part = PREFIX, NONCE, BODY
    blocks = isinstance(padding, Blocks)

    def reseal(stored: Any) -> Stored | None:
        try:
            prefix, active, encrypt, nonce_of, check, _ = slot[0]
            decrypt, header = ready[stored[salted]]
            if header is active and len(stored) >= SHORTEST:
                return None
            plain = decrypt(stored[nonce_part], stored[body_part], header)
            if padding is not None:
                marked = plain.rstrip(b"\0")
                # What the default padding made is kept as it is.
                whole = blocks and len(plain) == (len(marked) + 15) & ~15
                if not whole or marked[-1] != MARK:
                    plain = padding.pad(unpad(plain))
            nonce = nonce_of()
            body = encrypt(nonce, plain, active)
            if check(nonce, body, active) == plain:
                return cast("bytes", prefix + nonce + body)
        except Exception:  # noqa: BLE001, S110 - the strict call explains it
            pass
        return strict(stored)

    return reseal
