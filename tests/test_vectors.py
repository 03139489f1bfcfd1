"""The frozen vectors, through the package and through the independent implementation.

The files are written once and never regenerated: bytes that a release wrote open in
every later one (docs/FORMAT.md).
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any
from uuid import UUID

import independent
import pytest
from notation import codec_of, foreign, value_of
from sealing import VECTORS, failure, field_cipher, inject, keyring, load, says

from sqlalchemy_sealed import errors
from sqlalchemy_sealed.associated import row_context, scope
from sqlalchemy_sealed.cipher import FieldCipher
from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.envelope import Envelope, Flag, Header, SuiteId, has_shape
from sqlalchemy_sealed.envelope import from_text as text_to_bytes
from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.errors import EncodingError, KeyFormatError
from sqlalchemy_sealed.fast import opener, sealer
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.padding import Blocks, Bucket, Padding, Padme, unpad
from sqlalchemy_sealed.suites import CbcHmacCipher, SivCipher, XaesCipher
from sqlalchemy_sealed.tlv import encode_items

FROZEN = {
    "codec.json": "a6056fcf95519373287a70b53478ad01182fba15fd606b8eafa51f22d5e33ac7",
    "envelope/accept.json": "c4b65fdfd39e8b7b80fbf4075898834de68c49abe1a37b245a480358e0e930c1",
    "envelope/accept_cbc.json": "14ffa8c885baf8e81ba296d339e502a8fb795a7511e03f9ae0185d78af4b7834",
    "envelope/reject.json": "4e7b3abf3edb8ce32cdc7a9924bc82e2d9f83560e87b3892f8db34c8be2c6bc3",
    "envelope/reject_cbc.json": "ca2aa9a35007f0bdc8046e143e83192b8fd334ded965883c8b8fa856c13a141e",
    "keys.json": "c816212b0ec95fc7874b0a294a306a1f58ddb371e610ca9ebf5baa76b13881ca",
}
PADDINGS: dict[str, Padding] = {
    "Blocks()": Blocks(),
    "Padme()": Padme(),
    **{f"Bucket({n})": Bucket(n) for n in (1, 32, 64, 100, 1024)},
}


def cases(name: str, part: str = "cases", but: str = "") -> list[Any]:
    """Return the cases of a file, without those that have one of the entries."""
    kept = [case for case in load(name)[part] if not case.keys() & set(but.split())]
    return [pytest.param(case, id=case["name"]) for case in kept]


def envelopes(kind: str, but: str = "") -> list[Any]:
    """Return the cases of all suites."""
    files = f"envelope/{kind}.json", f"envelope/{kind}_cbc.json"
    return [param for name in files for param in cases(name, but=but)]


#: The independent implementation pads to blocks of 16 bytes only.
BLOCKS = [
    param
    for param in envelopes("accept")
    if param.values[0]["padding"] in {None, "Blocks()"}
]


def hexes(case: dict[str, Any], *names: str) -> list[bytes | None]:
    """Return entries of a case as bytes, ``None`` where there is no such entry."""
    return [bytes.fromhex(case[n]) if n in case else None for n in names]


def bound(case: dict[str, Any]) -> dict[str, Any]:
    """Return what the independent implementation binds a value to."""
    row, app = hexes(case, "row", "app")
    options = {"tenant": case.get("tenant"), "row": row, "app": app}
    return {name: value for name, value in options.items() if value is not None}


def declared(case: dict[str, Any], text: bool = False) -> FieldCipher:
    """Return the field cipher of the column that a case declares."""
    return field_cipher(
        codec_of(case),
        keyring(case["version"], bytes.fromhex(case["root"])),
        context=case["field"],
        suite=SuiteId(case["suite"]),
        padding=PADDINGS[case["padding"]] if case["padding"] else None,
        text=text,
        row_bound="row" in case,
    )


def derived(case: dict[str, Any]) -> XaesCipher | SivCipher | CbcHmacCipher:
    """Return the cipher of the key that the case's scope selects."""
    where = scope(case["field"], case.get("tenant"))
    key = Key(case["version"], bytes.fromhex(case["root"]))
    if case["suite"] == SuiteId.AES_256_SIV:
        return SivCipher(key.derive("siv", where, 64))
    if case["suite"] == SuiteId.A256CBC_HS512:
        return CbcHmacCipher(key.derive("cbc", where, 64))
    return XaesCipher(key.derive("aead", where, 32))


def same(one: object, other: object) -> bool:
    """Compare so that -0.0, NaN, trailing zeros and time zones count."""
    return repr(one) == repr(other)


# The files


@pytest.mark.parametrize("name", FROZEN)
def test_a_vector_file_is_written_once_and_never_regenerated(name):
    """FORMAT: frozen with the first release; bytes written today open in ten years."""
    assert hashlib.sha256((VECTORS / name).read_bytes()).hexdigest() == FROZEN[name]


def test_every_vector_file_is_pinned():
    ours = {p.relative_to(VECTORS).as_posix() for p in VECTORS.rglob("*.json")}
    assert {name for name in ours if not name.startswith("wycheproof/")} == set(FROZEN)


def test_every_codec_has_accept_and_reject_vectors():
    """FORMAT codecs: every row of the table has accept and reject vectors."""
    vectors = load("codec.json")
    for part in ("accept", "reject_bytes"):
        without = {2} if part == "reject_bytes" else set()  # any bytes are bytes
        assert {case["codec"] for case in vectors[part]} == {*range(1, 16)} - without


@pytest.mark.parametrize("part", ["accept", "reject_bytes", "reject_values"])
def test_the_names_of_the_codec_cases_are_unique(part):
    names = [case["name"] for case in load("codec.json")[part]]
    assert len(names) == len(set(names))


# Envelopes


@pytest.mark.parametrize("case", envelopes("accept"))
def test_an_accepted_envelope_opens_to_its_plaintext(case):
    """FORMAT envelope, keys, associated data: with the key that SCOPE selects."""
    envelope, row, app, plain = hexes(case, "envelope", "row", "app", "plain")
    parsed = Envelope.parse(envelope)
    aad = bytes(parsed.header) + row_context(row, app)
    padded = derived(case).open(parsed.body, aad)
    assert (unpad(padded) if case["padding"] else padded) == plain
    assert same(codec_of(case).decode(plain), value_of(case, case["value"]))


@pytest.mark.parametrize("case", envelopes("accept"))
def test_sealing_again_gives_the_accepted_envelope(case):
    """FORMAT envelope: salt, nonce, ciphertext, tag; siv, ciphertext; iv, and so on."""
    row, app, plain, salt, nonce = hexes(case, "row", "app", "plain", "salt", "nonce")
    key = Key(case["version"], bytes.fromhex(case["root"]))
    flags = Flag(case["flags"])
    head = bytes(
        Header(SuiteId(case["suite"]), flags, case["codec"], key.version, key.kid)
    )
    padded = PADDINGS[case["padding"]].pad(plain) if case["padding"] else plain
    cipher = derived(case)
    if salt and nonce:
        inject(cipher, salt, nonce)
    seal = cipher.seal
    if isinstance(cipher, CbcHmacCipher):
        seal = functools.partial(cipher._seal, bytes.fromhex(case["iv"]))
    sealed = head + seal(padded, head + row_context(row, app))
    assert sealed.hex() == case["envelope"]


@pytest.mark.parametrize("case", envelopes("accept"))
def test_the_independent_implementation_opens_an_accepted_envelope(case):
    root, envelope, plain = hexes(case, "root", "envelope", "plain")
    opened = independent.open_(root, case["field"], envelope, **bound(case))
    assert opened == (case["codec"], plain)
    assert (
        independent.encode(
            case["codec"],
            foreign(case, value_of(case, case["value"])),
            scale=case.get("scale"),
        )
        == plain
    )


@pytest.mark.parametrize("case", BLOCKS)
def test_the_independent_implementation_seals_an_accepted_envelope(case):
    root, plain, salt, nonce, iv = hexes(case, "root", "plain", "salt", "nonce", "iv")
    sealed = independent.seal(
        root,
        case["version"],
        case["field"],
        case["codec"],
        plain,
        suite=case["suite"],
        padded=bool(case["padding"]),
        salt=salt,
        nonce=iv or nonce,
        **bound(case),
    )
    assert sealed.hex() == case["envelope"]


@pytest.mark.parametrize("case", envelopes("accept"))
def test_the_text_form_of_an_accepted_envelope_is_the_recorded_one(case):
    """FORMAT text form."""
    envelope = bytes.fromhex(case["envelope"])
    assert to_text(envelope) == independent.to_text(envelope) == case["text"]
    assert text_to_bytes(case["text"]) == envelope
    assert has_shape(envelope)
    assert has_shape(case["text"])


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
@pytest.mark.parametrize("case", envelopes("accept", but="tenant app"))
def test_a_column_opens_an_accepted_envelope(case, text):
    """FORMAT rule 1: the strict class and the closure of the processors."""
    stored = case["text"] if text else bytes.fromhex(case["envelope"])
    cipher = declared(case, text)
    row = hexes(case, "row")[0]
    wanted = value_of(case, case["value"])
    assert same(cipher.open(stored, row), wanted)
    assert row or same(opener(cipher)(stored), wanted)


@pytest.mark.parametrize("case", envelopes("reject"))
def test_a_column_refuses_a_rejected_value_with_the_recorded_error(case):
    """FORMAT rules 1 to 3: an error, never plaintext."""
    stored = case["text"] if "text" in case else bytes.fromhex(case["envelope"])
    error = failure(declared(case, "text" in case).open, stored, hexes(case, "row")[0])
    assert type(error) is getattr(errors, case["error"])
    assert error.__cause__ is error.__context__ is None
    assert "alice" not in says(error)


@pytest.mark.parametrize("case", envelopes("reject", but="row"))
def test_the_processors_refuse_a_rejected_value_with_the_recorded_error(case):
    """FORMAT rules 1 to 3: the closures hand a surprise to the strict class."""
    cipher = declared(case, "text" in case)
    opener(cipher)(sealer(cipher)(value_for(cipher.field.codec)))
    stored = case["text"] if "text" in case else bytes.fromhex(case["envelope"])
    assert type(failure(opener(cipher), stored)) is getattr(errors, case["error"])


def value_for(codec: Codec) -> Any:
    """Return any value of a codec, to warm a cipher up."""
    samples = {1: "x", 2: b"x", 3: 1, 4: 1, 5: True, 6: 1, 11: 1.0, 12: "red"}
    return samples[codec.id]


@pytest.mark.parametrize("case", envelopes("reject", but="declared"))
def test_the_independent_implementation_refuses_a_rejected_value(case):
    with pytest.raises(ValueError):
        open_as_declared(case)


def open_as_declared(case: dict[str, Any]) -> Any:
    """Open with the independent implementation and apply rule 2."""
    root, envelope = hexes(case, "root", "envelope")
    data = independent.from_text(case["text"]) if envelope is None else envelope
    codec, plain = independent.open_(root, case["field"], data, **bound(case))
    flags = bool(case["padding"]) | ("row" in case) << 2
    if (data[1], data[2], codec) != (case["suite"], flags, case["codec"]):
        raise ValueError("rule 2")
    return independent.decode(codec, plain)


# Codecs


@pytest.mark.parametrize("case", cases("codec.json", "accept"))
def test_a_value_has_its_canonical_bytes(case):
    """FORMAT codecs: canonical bytes."""
    codec, data = codec_of(case), bytes.fromhex(case["hex"])
    assert codec.encode(value_of(case, case["value"])).hex() == case["hex"]
    reads = value_of(case, case.get("reads", case["value"]))
    assert same(codec.decode(data), reads)
    assert codec.encode(reads) == data


@pytest.mark.parametrize("case", cases("codec.json", "accept", but="special"))
def test_the_independent_implementation_writes_the_same_bytes(case):
    reads = value_of(case, case.get("reads", case["value"]))
    value = reads if "comparable" in case else value_of(case, case["value"])
    data = independent.encode(
        case["codec"], foreign(case, value), scale=case.get("scale")
    )
    assert data.hex() == case["hex"]
    assert same(independent.decode(case["codec"], data), foreign(case, reads))


@pytest.mark.parametrize("case", cases("codec.json", "reject_bytes"))
def test_bytes_that_are_not_canonical_are_no_value(case):
    """FORMAT codecs: canonical bytes, so one byte string per value."""
    cipher = field_cipher(codec_of(case))
    error = failure(cipher.open, cipher.seal_bytes(bytes.fromhex(case["hex"])))
    assert type(error) is errors.MalformedEnvelopeError
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("case", cases("codec.json", "reject_bytes", but="declared"))
def test_the_independent_implementation_reads_no_other_bytes(case):
    with pytest.raises(ValueError):
        independent.decode(case["codec"], bytes.fromhex(case["hex"]))


@pytest.mark.parametrize("case", cases("codec.json", "reject_values"))
def test_a_value_that_the_codec_cannot_hold_is_refused(case):
    """FORMAT codecs: refused, and nothing is written."""
    cipher = field_cipher(codec_of(case))
    error = failure(cipher.seal, value_of(case, case["value"]))
    assert type(error) is EncodingError
    assert error.__cause__ is error.__context__ is None
    assert case["value"] not in says(error) or len(case["value"]) < 10


@pytest.mark.parametrize("case", cases("codec.json", "reject_values", but="declared"))
def test_the_independent_implementation_refuses_the_value_too(case):
    value = foreign(case, value_of(case, case["value"]))
    with pytest.raises(ValueError):
        independent.encode(case["codec"], value, scale=case.get("scale"))


# Keys


@pytest.mark.parametrize("case", cases("keys.json", "accept"))
def test_a_root_key_has_its_check_value_and_its_id(case):
    """FORMAT keys: kcv = HKDF-Expand-SHA256(root, "sealed/v1/kid", 32)."""
    root = bytes.fromhex(case["root"])
    key = Key(case["version"], root)
    assert key.kcv.hex() == independent.kcv(root).hex() == case["kcv"]
    assert key.kid.hex() == case["kid"] == case["kcv"][:32]


@pytest.mark.parametrize("case", cases("keys.json", "accept"))
def test_the_kid_is_the_width_of_a_uuid(case):
    """FORMAT keys: as a UUID, the key version's id is UUID(bytes=kid)."""
    key = Key(case["version"], bytes.fromhex(case["root"]))
    assert str(UUID(bytes=key.kid)) == case["uuid"]


@pytest.mark.parametrize("case", cases("keys.json", "accept"))
def test_a_key_has_one_text(case):
    """FORMAT keys: check digits are HKDF-Expand-SHA256(root, label version, 4)."""
    key = Key(case["version"], bytes.fromhex(case["root"]))
    assert key.to_text() == case["text"]
    assert Key.from_text(case["text"]) == key
    version = case["version"].to_bytes(4)
    digits = independent.subkey(key.root, "text", version, 4).hex()
    assert case["text"].endswith(f"_{digits}")


@pytest.mark.parametrize("case", cases("keys.json", "accept"))
def test_a_subkey_is_expanded_from_purpose_and_scope(case):
    """FORMAT keys: K_p = HKDF-Expand-SHA256(root, label purpose 0x00 SCOPE, L)."""
    root = bytes.fromhex(case["root"])
    key = Key(case["version"], root)
    for sub in case["subkeys"]:
        where = bytes.fromhex(sub["scope"])
        ours = key.derive(sub["purpose"], where, sub["length"])
        theirs = independent.subkey(root, sub["purpose"], where, sub["length"])
        assert ours.hex() == theirs.hex() == sub["key"]


@pytest.mark.parametrize("case", cases("keys.json", "accept"))
def test_the_scope_of_a_subkey_is_tlv(case):
    """FORMAT keys: SCOPE = TLV(0x01 field id, [0x02 tenant id], [index])."""
    for sub in case["subkeys"]:
        if "items" in sub:
            items = [(tag, bytes.fromhex(value)) for tag, value in sub["items"]]
            assert encode_items(items).hex() == sub["scope"]
        else:
            assert scope(sub["field"], sub["tenant"]).hex() == sub["scope"]
            theirs = independent.scope(sub["field"], sub["tenant"])
            assert theirs.hex() == sub["scope"]


@pytest.mark.parametrize("case", cases("keys.json", "reject_text"))
def test_a_text_that_is_no_key_is_refused_and_not_repeated(case):
    """FORMAT keys: a reader MUST refuse any other form."""
    error = failure(Key.from_text, case["text"])
    assert type(error) is KeyFormatError
    assert error.__cause__ is error.__context__ is None
    for part in re.findall(r"[\w=+-]{13,}", case["text"]):
        assert part not in says(error)
