"""FORMAT.md by other roads, with no code of the package; by rule under 200 lines."""
# fmt: off

from __future__ import annotations

import base64
import functools
import hmac
import io
import json
import os
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from independent_suites import cbc_hmac, siv, xaes

JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
I64, F64, BI = struct.Struct(">q").pack, struct.Struct(">d"), struct.Struct(">BI").pack
N, EPOCH = functools.partial(int.from_bytes, signed=True), datetime(1970, 1, 1)
US, D0, NAN = timedelta(microseconds=1), 719_163, b"\x7f\xf8" + bytes(6)

def _check(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)
def _sized(data: bytes | None) -> bytes:
    return b"\xff" * 4 if data is None else len(data).to_bytes(4) + data
def _tlv(*items: tuple[int, bytes | None]) -> bytes:
    return b"".join(bytes((tag,)) + _sized(v) for tag, v in items if v is not None)

def kcv(root: bytes) -> bytes:
    """Return the check value of 32 bytes; its first 16 are the kid."""
    _check(len(root) == 32, "a root key has 32 bytes")
    return hmac.digest(root, b"sealed/v1/kid\1", "sha256")  # Expand, one block (Keys)

def scope(field: str, tenant: str | None = None) -> bytes:
    """Return the SCOPE of a data key: field id and, if there is one, tenant id."""
    return _tlv((1, field.encode()), (2, None if tenant is None else tenant.encode()))

def subkey(root: bytes, purpose: str, scope: bytes, length: int) -> bytes:
    """Return K_p for one purpose and one SCOPE; no key is longer than 64 bytes."""
    info = b"sealed/v1/" + purpose.encode() + b"\0" + scope
    first = hmac.digest(root, info + b"\1", "sha256")
    return (first + hmac.digest(root, first + info + b"\2", "sha256"))[:length]

def row_id(columns: list[tuple[str, bytes]]) -> bytes:
    """Return the row id of key columns: type letter, encoded bytes."""
    _check(columns and {kind for kind, _ in columns} <= set("isbudtn"), "key columns")
    return bytes((len(columns),)) + b"".join(k.encode() + _sized(v) for k, v in columns)

def rowctx(row: bytes | None, app: bytes | None) -> bytes:
    """Return the ROWCTX, empty for a value that is not bound to its row."""
    _check(app is None or row is not None, "a context that nothing authenticates")
    return _tlv((3, row), (5, app))

def header(suite: int, flags: int, codec: int, version: int, kid: bytes) -> bytes:
    """Return the 24 bytes that start every envelope; flag bits 5-7 are zero."""
    _check(flags < 32 and 0 <= version < 1 << 32 and len(kid) == 16, "header")
    return bytes((0xF5, suite, flags, codec)) + version.to_bytes(4) + kid

def pad(data: bytes, block: int = 16) -> bytes:
    """Pad by ISO 7816-4, at least one byte (rule 6)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block)

def unpad(data: bytes) -> bytes:
    """Remove the padding, whatever the length: Bucket(n) and Padme() differ."""
    _check((text := data.rstrip(b"\0")).endswith(b"\x80"), "padding")
    return text[:-1]

def _parts(rest: io.BytesIO) -> list[bytes | None]:
    sizes = iter(functools.partial(rest.read, 4), b"")
    return [None if n == b"\xff" * 4 else rest.read(int.from_bytes(n)) for n in sizes]

# Type, writer, reader. A reader may be lax, because its value is written again.
CODECS: dict[int, tuple[Any, Any, Any]] = {
    1: (str, str.encode, bytes.decode),
    2: (bytes, bytes, bytes),
    3: (int, I64, N),
    4: (int, lambda v: bytes((v < 0,)) + abs(v).to_bytes((v.bit_length() + 7) // 8),
        lambda b: int.from_bytes(b[1:]) * (1 - 2 * b[0])),
    5: (bool, lambda v: bytes((v,)), lambda b: b != b"\0"),
    6: (Decimal, lambda v: format(v or v.copy_abs(), "f").encode(),  # no exponent, -0
        lambda b: Decimal(b.translate(None, b"EeNI").decode())),  # nor NaN, Infinity
    7: (date, lambda v: (v.toordinal() - D0).to_bytes(4, signed=True),
        lambda b: date.fromordinal(N(b) + D0)),
    8: (datetime, lambda v: bytes((v.tzinfo is not None,)) + I64(
            (v - EPOCH.replace(tzinfo=v.tzinfo and UTC)) // US),
        lambda b: EPOCH.replace(tzinfo=UTC if b[0] else None) + N(b[1:]) * US),
    9: (UUID, lambda v: v.bytes, lambda b: UUID(bytes=b)),
    10: (object, lambda v: JSON.encode(v).encode(), json.loads),
    11: (float, lambda v: F64.pack(v) if v == v else NAN, lambda b: F64.unpack(b)[0]),
    12: (str, str.encode, bytes.decode),
    13: (time, lambda v: I64((datetime.combine(EPOCH, v) - EPOCH) // US),
         lambda b: (EPOCH + N(b) * US).time()),
    14: (timedelta, lambda v: (v // US).to_bytes(16, signed=True), lambda b: N(b) * US),
    15: (tuple, lambda v: BI(v[0], len(v[1])) + b"".join(map(_sized, v[1])),
         lambda b: (b[0], _parts(io.BytesIO(b[5:])))),
}

def _convert(codec: int, value: Any, data: bytes | None, scale: int | None) -> Any:
    try:
        kind, write, read = CODECS[codec]
        if data is None:
            _check(kind in (type(value), object), "not a value of the codec")
            if codec == 6:  # the declared scale; without one, no trailing zeros
                whole, _, places = format(value, "f").partition(".")
                value = Decimal(f"{whole}.{places.rstrip('0').ljust(scale or 0, '0')}")
                _check(scale in (None, -value.as_tuple().exponent), "loses digits")
            elif codec == 15:
                each = functools.partial(encode, value[0], scale=scale)
                value = value[0], [v if v is None else each(v) for v in value[1]]
            data = write(value)
        value = read(data)
        _check(write(value) == data, "not canonical")
        if codec == 15:  # a null item is FFFFFFFF, so that of JSON cannot be one
            item, parts = value
            value = item, [v if v is None else decode(item, v) for v in parts]
            _check(item in CODECS and (item != 10 or b"null" not in parts), "item")
    except (ArithmeticError, LookupError, TypeError, RecursionError, struct.error) as e:
        raise ValueError(f"codec {codec}: {e!r}") from e
    return value, data

def encode(codec: int, value: Any, *, scale: int | None = None) -> bytes:
    """Return the canonical bytes of a value."""
    return _convert(codec, value, None, scale)[1]

def decode(codec: int, data: bytes) -> Any:
    """Return the value of its canonical bytes, and of no others."""
    return _convert(codec, None, data, None)[0]

def _run(opens: bool, root: bytes, field: str, body: bytes, suite: int, flags: int,
         codec: int, version: int, tenant: str | None = None,
         row: bytes | None = None, app: bytes | None = None) -> tuple[bytes, bytes]:
    flags |= sum(4 << i for i, v in enumerate((row, tenant, app)) if v is not None)
    rule7 = suite == 0x12 and not flags & 0b10110 and codec not in (10, 15)
    _check((rule7 or suite in (0x11, 0x15)) and (codec in CODECS or codec > 127), "refused")
    head = header(suite, flags, codec, version, kcv(root)[:16])
    aad, where = head + rowctx(row, app), scope(field, tenant)
    if suite == 0x11:
        data, sealed = xaes(opens, subkey(root, "aead", where, 32), aad, body)
    elif suite == 0x15:
        data, sealed = cbc_hmac(opens, subkey(root, "cbc", where, 64), aad, body)
    else:
        data, sealed = siv(opens, subkey(root, "siv", where, 64), aad, body)
        _check(codec != 11 or data not in (NAN, F64.pack(-0.0)), "rule 7")
    return data, head + sealed

def seal(root: bytes, version: int, field: str, codec: int, plaintext: bytes, *,
         suite: int = 0x11, padded: bool = False, salt: bytes | None = None,
         nonce: bytes | None = None, **bound: Any) -> bytes:
    """Return the envelope of codec bytes; bound: tenant, row, app."""
    sizes = {0x11: (12, 12), 0x12: (0, 0), 0x15: (0, 16)}[suite]  # nonce is also IV
    salt, nonce = salt or os.urandom(sizes[0]), nonce or os.urandom(sizes[1])
    _check((len(salt), len(nonce)) == sizes, "salt and nonce")
    body = salt + nonce + (pad(plaintext) if padded else plaintext)
    return _run(False, root, field, body, suite, padded, codec, version, **bound)[1]

def open_(root: bytes, field: str, envelope: bytes, **bound: Any) -> tuple[int, bytes]:
    """Return codec id and unpadded codec bytes; bound: tenant, row, app."""
    suite, flags, *rest = struct.unpack(">x3BI", envelope[:8].ljust(8))
    got, back = _run(True, root, field, envelope[24:], suite, flags & 1, *rest, **bound)
    # Whatever differs - kid, flags, length, tag - differs here; then unpad (rule 6).
    _check(hmac.compare_digest(back, envelope), "not what is sealed here")
    return rest[0], unpad(got) if flags & 1 else got

def to_text(envelope: bytes) -> str:
    """Return the text form."""
    return "sld:" + base64.urlsafe_b64encode(envelope).decode().rstrip("=")

def from_text(text: str) -> bytes:
    """Return the envelope of its one text form, and of no other text."""
    envelope = base64.urlsafe_b64decode(text[4:] + "=" * (-len(text) % 4))
    _check(to_text(envelope) == text, "not the text form of an envelope")
    return envelope
