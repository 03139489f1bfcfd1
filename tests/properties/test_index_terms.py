"""Index terms by another road: computed from docs/FORMAT.md, with no code of the package.

The functions before the tests are a second implementation of "blind index" in the
section on keys; values become bytes in ``tests/independent.py``.
"""

from __future__ import annotations

import datetime as dt
import functools
import hmac
import random
import re
import unicodedata
import uuid
from typing import Any

import independent
import pytest
from sqlalchemy import Date, Integer, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_sealed import BlindIndex, IndexKey, Key, Keyring, Normalizer, encrypted
from sqlalchemy_sealed.codec.moment import DateCodec
from sqlalchemy_sealed.codec.number import Int64Codec
from sqlalchemy_sealed.codec.scalar import Utf8Codec
from sqlalchemy_sealed.indexer import Indexer, IndexField, IndexPart
from sqlalchemy_sealed.normalize import NORMALIZERS
from sqlalchemy_sealed.scope import Binding

pytestmark = pytest.mark.thorough

SEED = 20_261_124
SHARDS, CASES = 4, 1000
NULL = b"\xff\xff\xff\xff"

# The second implementation


def expanded(root: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-Expand-SHA256: its first block (RFC 5869)."""
    return hmac.digest(root, info + b"\1", "sha256")


def item(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + len(value).to_bytes(4) + value


def index_key(
    root: bytes,
    field: str,
    name: str,
    tenant: str | None = None,
    normaliser: tuple[str, int] | None = None,
) -> bytes:
    """Return K_bidx: SCOPE names field, tenant, index and normaliser, in this order."""
    scope = item(1, field.encode())
    if tenant is not None:
        scope += item(2, tenant.encode())
    scope += item(4, name.encode())
    if normaliser is not None:
        scope += item(6, normaliser[0].encode()) + item(7, normaliser[1].to_bytes(4))
    return expanded(root, b"sealed/v1/bidx\0" + scope)


def compound(parts: list[bytes | None]) -> bytes | None:
    """Return the input of a compound index; there is none if every part is null."""
    if all(part is None for part in parts):
        return None
    sized = [NULL if p is None else len(p).to_bytes(4) + p for p in parts]
    return bytes((len(parts),)) + b"".join(sized)


def term(key: bytes, message: bytes | None, bits: int = 128) -> bytes | None:
    """Return the first bits of HMAC-SHA256, filled up with zeros to whole bytes."""
    if message is None:
        return None
    digest = int.from_bytes(hmac.digest(key, message, "sha256"))
    length = -(-bits // 8)
    return (digest >> 256 - bits << length * 8 - bits).to_bytes(length)


# Normalisers, in words of their own


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    return composed(composed(text).casefold())


def digits(text: str) -> str:
    old = unicodedata.ucd_3_2_0
    return "".join(str(int(c)) for c in text if old.category(c) == "Nd")


NORMALISED: dict[str, Any] = {
    "lower": lambda text: composed(composed(text).lower()),
    "casefold": folded,
    "email": lambda text: folded(re.sub(r"\A[ \t-\r]+|[ \t-\r]+\Z", "", text)),
    "digits": lambda text: digits(text),
    "last4": lambda text: digits(text)[-4:],
    "reversed": lambda text: text[::-1] or None,
    "caf+e:2": lambda text: text.replace("a", ""),
}
#: Normalisers of an application, of other versions than the first.
OWN = [
    Normalizer("reversed", 7, NORMALISED["reversed"]),
    Normalizer("reversed", 2**32 - 1, NORMALISED["reversed"]),
    Normalizer("caf+e:2", 1, NORMALISED["caf+e:2"]),
]
NORMALISERS = [*NORMALIZERS.values(), *OWN]

# Random cases

ROOTS = {
    version: hmac.digest(b"roots of the tests", str(version).encode(), "sha256")
    for version in (1, 2, 77, 2**32 - 1)
}
TEXTS = ["", " ", "Ada", "ADA@Example.org ", "+49 (30) 12 34", "12\u0663", "caf\xe9"]
LETTERS = "aAzZ019 \t.@+\0\n\x1c\xa0\xe9\u0301\xdf\u0130\u0663\u05e9\u4e2d\U0001f511"
FIELDS = ["users.email", "users.name", "\xfcsers.n\xe4me", "u", "a.b+c.d", ""]
TENANTS = ["acme", "acm", "", "0", "-7", "\u05e9", str(uuid.UUID(int=2**127 + 5))]
BITS = [*range(1, 33), 128]


def text(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(TEXTS)
    return "".join(rng.choices(LETTERS, k=rng.randrange(12)))


def integer(rng: random.Random) -> int:
    return rng.getrandbits(rng.randrange(64)) * rng.choice((1, -1))


def date(rng: random.Random) -> dt.date:
    return dt.date.fromordinal(rng.randint(1, dt.date.max.toordinal()))


#: By codec id: codec of the package, random value.
KINDS = {1: (Utf8Codec(), text), 3: (Int64Codec(), integer), 7: (DateCodec(), date)}


@functools.cache
def binding() -> Binding:
    keys = [IndexKey(version, root) for version, root in ROOTS.items()]
    return Binding(Keyring([Key(1, bytes(32))], index_keys=keys))


def one_part(rng: random.Random) -> tuple[int, Normalizer | None]:
    """Return the codec and the normaliser of one value; only text has normalisers."""
    codec = rng.choice((1, 1, 1, 3, 7))
    normal = rng.choice((None, *NORMALISERS)) if codec == 1 else None
    return codec, normal


def draw(rng: random.Random) -> tuple[IndexField, list[int], list[Any], str | None]:
    """Return what an index declares, the codecs and values of its parts, the tenant."""
    count = 1 if rng.random() < 0.5 else rng.randint(2, 5)
    parts = [one_part(rng) for _ in range(count)]
    tenant = rng.choice(TENANTS) if rng.random() < 0.5 else None
    field = IndexField(
        context="+".join(rng.choices(FIELDS, k=count)),
        name=rng.choice(("bidx", "by_domain", "\xefndex")),
        parts=tuple(IndexPart(KINDS[codec][0], normal) for codec, normal in parts),
        bits=rng.choice(BITS),
        version=rng.choice(list(ROOTS)),
        tenant_scoped=tenant is not None,
    )
    values = [
        None if rng.random() < 0.2 else KINDS[codec][1](rng) for codec, _ in parts
    ]
    return field, [codec for codec, _ in parts], values, tenant


def expected(
    field: IndexField, codecs: list[int], values: list[Any], tenant: str | None
) -> bytes | None:
    used = [part.normalizer for part in field.parts]
    encoded = []
    for codec, normal, value in zip(codecs, used, values, strict=True):
        normalised = value
        if normal is not None and value is not None:
            normalised = NORMALISED[normal.id](value)
        encoded.append(
            None if normalised is None else independent.encode(codec, normalised)
        )
    named = None
    if used == [used[0]] and used[0] is not None:
        named = used[0].id, used[0].version
    elif any(used):
        named = "+".join(f"{n.id}:{n.version}" if n else "" for n in used), 1
    key = index_key(ROOTS[field.version], field.context, field.name, tenant, named)
    message = encoded[0] if len(encoded) == 1 else compound(encoded)
    return term(key, message, field.bits)


def computed(field: IndexField, values: list[Any], tenant: str | None) -> bytes | None:
    value = values[0] if len(field.parts) == 1 else tuple(values)
    return Indexer(field, binding()).term(value, tenant)


@pytest.mark.parametrize("seed", range(SEED, SEED + SHARDS))
def test_the_two_implementations_agree_on_every_term(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(CASES):
        field, codecs, values, tenant = draw(rng)
        found = computed(field, values, tenant)
        assert found == expected(field, codecs, values, tenant), (field, values)


def test_the_random_cases_are_of_every_kind():
    rng = random.Random(SEED)
    drawn = [draw(rng) for _ in range(CASES)]
    fields = [field for field, *_ in drawn]
    single = [part for f in fields if len(f.parts) == 1 for part in f.parts]
    several = [part for f in fields if len(f.parts) > 1 for part in f.parts]
    for parts in (single, several):
        assert {part.normalizer for part in parts} == {None, *NORMALISERS}
        assert {type(part.codec) for part in parts} == {
            type(codec) for codec, _ in KINDS.values()
        }
    assert {field.bits for field in fields} == set(BITS)
    assert {field.version for field in fields} == set(ROOTS)
    assert {tenant for *_, tenant in drawn} == {None, *TENANTS}
    terms = [computed(field, values, tenant) for field, _, values, tenant in drawn]
    without = {len(f.parts) for f, t in zip(fields, terms, strict=True) if t is None}
    assert {1, 2} <= without
    assert sum(found is not None for found in terms) > CASES / 2


def test_a_truncated_term_is_the_first_bits_of_the_full_one():
    def of(bits):
        parts = (IndexPart(Utf8Codec()),)
        return computed(IndexField("users.email", "bidx", parts, bits, 1), ["x"], None)

    full = f"{int.from_bytes(of(128)):0128b}"
    for bits in BITS:
        found = "".join(f"{byte:08b}" for byte in of(bits))
        assert len(found) == -(-bits // 8) * 8
        assert found == full[:bits].ljust(len(found), "0")


# Frozen: what was written once is found for ever. The index root is 40..5f.

UTF8, INT64, DATE = (IndexPart(KINDS[codec][0]) for codec in (1, 3, 7))
LOWER, EMAIL, LAST4 = (
    IndexPart(Utf8Codec(), NORMALIZERS[name]) for name in ("lower", "email", "last4")
)
OWN7 = IndexPart(Utf8Codec(), OWN[0])
FROZEN: list[tuple[IndexField, list[Any], str | None, str | None]] = [
    (
        IndexField("users.email", "bidx", (UTF8,), 128, 1),
        ["alice@example.com"],
        None,
        "1353be168381951ae46b8983bec2b4d6",
    ),
    (
        IndexField("users.email", "bidx", (UTF8,), 128, 1),
        [""],
        None,
        "54ab2f752db8e0ca946a0838e3162a59",
    ),
    (
        IndexField("users.email", "bidx", (EMAIL,), 128, 1),
        [" Alice@EXAMPLE.com"],
        None,
        "5fc690ccdfad3a18c442e7fab9fda984",
    ),
    (IndexField("users.email", "bidx", (EMAIL,), 128, 1), [None], None, None),
    (
        IndexField("users.email", "bidx", (EMAIL,), 128, 2, True),
        ["alice@example.com"],
        "acme",
        "e9a9a23cb5e17ae53f160864cf9e0c3e",
    ),
    (
        IndexField("users.email", "bidx", (UTF8,), 128, 1, True),
        ["alice@example.com"],
        "",
        "75df50c47ec9e71d7663e0d009a924d5",
    ),
    (
        IndexField("users.phone", "by_end", (LAST4,), 13, 1),
        ["+49 30 1234"],
        None,
        "2bb0",
    ),
    (IndexField("users.phone", "by_end", (LAST4,), 1, 1), ["+49 30 1234"], None, "00"),
    (
        IndexField("users.\xe9t\xe9", "bidx", (OWN7,), 32, 4294967295),
        ["abc"],
        None,
        "d6b300cc",
    ),
    (
        IndexField("users.age", "bidx", (INT64,), 128, 1),
        [-1],
        None,
        "c44b8616c723d5dbad7d0fc214f94027",
    ),
    (
        IndexField("users.born", "bidx", (DATE,), 20, 1),
        [dt.date(1969, 12, 31)],
        None,
        "f80160",
    ),
    (
        IndexField("users.name+users.born", "pair", (UTF8, DATE), 128, 1),
        ["Ada", dt.date(1815, 12, 10)],
        None,
        "fdf43d89742a737ce80cc0deb1a38da2",
    ),
    (
        IndexField("users.name+users.born", "pair", (LOWER, DATE), 128, 1),
        ["Ada", None],
        None,
        "d7c6ff7e569bb8affe2ebbc8a66346e0",
    ),
    (
        IndexField("a.b+a.c+a.d", "three", (LOWER, INT64, OWN7), 31, 1, True),
        [None, 5, "abc"],
        "acme",
        "033639c4",
    ),
    (
        IndexField("a.b+a.c+a.d", "three", (LOWER, INT64, OWN7), 31, 1, True),
        [None, None, ""],
        "acme",
        None,
    ),
]


@pytest.mark.parametrize(("field", "values", "tenant", "frozen"), FROZEN)
def test_frozen_terms(field, values, tenant, frozen):
    root = bytes(range(64, 96))
    keyring = Keyring([Key(1, bytes(32))], index_keys=[IndexKey(field.version, root)])
    value = values[0] if len(field.parts) == 1 else tuple(values)
    found = Indexer(field, Binding(keyring)).term(value, tenant)
    assert found == (None if frozen is None else bytes.fromhex(frozen))


# Through the ORM: what the columns hold


class Base(DeclarativeBase):
    pass


class Guest(Base):
    __tablename__ = "guests"
    id: Mapped[int] = mapped_column(primary_key=True)
    house: Mapped[int | None] = mapped_column(Integer)
    group: Mapped[uuid.UUID | None] = mapped_column("guest_group", Uuid)
    email = encrypted(String, index=BlindIndex(normalize="email"))
    phone = encrypted(
        String,
        column="phone_sealed",
        index=BlindIndex(bits=13, normalize=OWN[0], name="by_phone", second_version=2),
    )
    born = encrypted(Date, index=BlindIndex(version=2), context="people.born")
    room = encrypted(Integer, tenant="house", index=BlindIndex())
    note = encrypted(String, tenant="group", index=BlindIndex(bits=32))


@pytest.fixture
def keyring():
    keys = [IndexKey(version, ROOTS[version]) for version in (1, 2)]
    return Keyring([Key(1, bytes(range(32)))], index_keys=keys)


@pytest.fixture
def engine(engine):
    Base.metadata.create_all(engine)
    return engine


def test_columns_hold_the_terms_of_the_format(session, stored):
    group = uuid.UUID("6BA7B810-9DAD-11D1-80B4-00C04FD430C8")
    values = {
        "email": " Ada@Example.org",
        "phone": "030-1234",
        "born": dt.date(1815, 12, 10),
        "room": -12,
        "note": "caf\xe9",
    }
    session.add(Guest(id=1, house=-7, group=group, **values))
    session.commit()
    reversed_ = index_key(
        ROOTS[1], "guests.phone_sealed", "by_phone", None, ("reversed", 7)
    )
    second = index_key(
        ROOTS[2], "guests.phone_sealed", "by_phone", None, ("reversed", 7)
    )
    email = index_key(ROOTS[1], "guests.email_encrypted", "bidx", None, ("email", 1))
    room = index_key(ROOTS[1], "guests.room_encrypted", "bidx", "-7")
    born = index_key(ROOTS[2], "people.born", "bidx")
    note = index_key(
        ROOTS[1],
        "guests.note_encrypted",
        "bidx",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    )
    terms = {
        "email_bidx": term(email, b"ada@example.org"),
        "phone_bidx": term(reversed_, b"4321-030", 13),
        "phone_bidx_v2": term(second, b"4321-030", 13),
        "born_bidx_v2": term(born, (-56_270).to_bytes(4, signed=True)),
        "room_bidx": term(room, (-12).to_bytes(8, signed=True)),
        "note_bidx": term(note, b"caf\xc3\xa9", 32),
    }
    assert (dt.date(1815, 12, 10) - dt.date(1970, 1, 1)).days == -56_270
    for name, frozen in terms.items():
        [found] = stored(getattr(Guest, name))
        assert bytes(found) == frozen, name
