"""Properties of everything that reads bytes: strict, injective, and never a crash."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import independent
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sealing import ROOT, field_cipher, keyring

from sqlalchemy_sealed.associated import row_context, row_id, scope
from sqlalchemy_sealed.codec.moment import (
    DateCodec,
    DatetimeCodec,
    IntervalCodec,
    TimeCodec,
)
from sqlalchemy_sealed.codec.number import (
    BigintCodec,
    DecimalCodec,
    Float64Codec,
    Int64Codec,
)
from sqlalchemy_sealed.codec.scalar import (
    BoolCodec,
    BytesCodec,
    EnumCodec,
    Utf8Codec,
    UuidCodec,
)
from sqlalchemy_sealed.codec.structure import ArrayCodec, JsonCodec
from sqlalchemy_sealed.envelope import (
    Envelope,
    Flag,
    Header,
    SuiteId,
    from_text,
    has_shape,
    to_text,
)
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    DecryptionError,
    MalformedEnvelopeError,
    NotSealedError,
)
from sqlalchemy_sealed.fast import opener, resealer, sealer
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.padding import Blocks, Bucket, Padme, unpad
from sqlalchemy_sealed.tlv import TAGS, decode_items, encode_items

pytestmark = pytest.mark.thorough

# The same examples in every run: a failure is a change of the code, never of luck.
properties = settings(max_examples=100, deadline=None, database=None, derandomize=True)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

headers = st.builds(
    Header,
    st.sampled_from(SuiteId),
    st.integers(0, 31).map(Flag),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=16, max_size=16),
)
envelopes = st.builds(Envelope, headers, st.binary(min_size=64, max_size=200))
#: Bytes that get past the first checks more often than random ones would.
almost = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda a, b: b"\xf5" + a + b,
        st.sampled_from([b"\x11", b"\x12", b"\x15"]),
        st.binary(max_size=120),
    ),
    envelopes.map(bytes),
    st.builds(lambda b: field_cipher().active_header() + b, st.binary(max_size=100)),
)
almost_text = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=ALPHABET + "=+/ \n", max_size=60).map("sld:".__add__),
    almost.map(to_text),
    almost.map(to_text).map(lambda text: text + "="),
)
DECLARATIONS = {
    "plain": {},
    "padded": {"padding": Blocks()},
    "deterministic": {"suite": SuiteId.AES_256_SIV, "padding": Blocks()},
    "CBC": {"suite": SuiteId.A256CBC_HS512, "padding": Blocks()},
}


# Envelopes and their text


@properties
@given(envelopes)
def test_parsing_what_was_serialised_gives_the_same_envelope(envelope):
    """FORMAT envelope."""
    assert Envelope.parse(bytes(envelope)) == envelope
    assert has_shape(bytes(envelope))


@properties
@given(almost)
def test_serialising_what_was_parsed_gives_the_same_bytes(data):
    """FORMAT envelope: the parser accepts one form only."""
    try:
        envelope = Envelope.parse(data)
    except (NotSealedError, MalformedEnvelopeError):
        assert not has_shape(data)
    else:
        assert bytes(envelope) == data
        assert has_shape(data)


@properties
@given(st.binary(max_size=200))
def test_every_envelope_has_one_text_form(data):
    """FORMAT text form: one text per envelope."""
    assert from_text(to_text(data)) == data
    assert to_text(data) == independent.to_text(data)


@properties
@given(almost_text)
@example("sld:AB")
@example("sld:AA==")
def test_every_accepted_text_is_the_one_text_form(text):
    """FORMAT text form: the decoder MUST be strict: one text per envelope."""
    try:
        data = from_text(text)
    except (NotSealedError, MalformedEnvelopeError):
        with pytest.raises(ValueError):
            independent.from_text(text)
    else:
        assert to_text(data) == text
        assert independent.from_text(text) == data


@properties
@given(st.one_of(almost, almost_text, st.none(), st.integers(), st.floats()))
def test_anything_can_be_asked_for_its_shape(value):
    assert has_shape(value) in {True, False}


# Opening


@pytest.mark.parametrize("declared", DECLARATIONS.values(), ids=DECLARATIONS)
@properties
@given(data=st.one_of(almost, almost_text, st.integers(), st.lists(st.integers())))
def test_random_bytes_never_do_more_than_raise_our_error(declared, data):
    """FORMAT rules 1 and 3: an error, never plaintext and never a crash."""
    for text in (False, True):
        cipher = field_cipher(**declared, text=text)
        for read in (cipher.open, opener(cipher)):
            with pytest.raises(DecryptionError) as caught:
                read(data)
            assert caught.value.__context__ is None


@pytest.mark.parametrize("declared", DECLARATIONS.values(), ids=DECLARATIONS)
@properties
@given(plain=st.text(max_size=60), position=st.integers(0), byte=st.integers(1, 255))
def test_an_altered_envelope_never_opens(declared, plain, position, byte):
    """FORMAT envelope: every bit is authenticated."""
    cipher = field_cipher(**declared)
    stored = bytearray(sealer(cipher)(plain))
    assert opener(cipher)(bytes(stored)) == plain
    stored[position % len(stored)] ^= byte
    with pytest.raises(DecryptionError):
        opener(cipher)(bytes(stored))


@properties
@given(st.one_of(almost, st.none(), st.text(), st.integers()))
def test_the_resealer_never_does_more_than_raise_our_error(data):
    """FORMAT rule 3: what cannot be opened is left as it is."""
    cipher = field_cipher()
    cipher._keys.keyring.rotate()
    with pytest.raises(DecryptionError):
        resealer(cipher)(data)


@properties
@given(st.text(max_size=80))
def test_a_random_text_is_no_key(text):
    for candidate in (
        text,
        f"sealed_root_v1_{text}",
        f"{Key(1, ROOT).to_text()}{text}x",
    ):
        with pytest.raises(ConfigurationError):
            Key.from_text(candidate)


@properties
@given(st.integers(1, 2**32 - 1), st.binary(min_size=32, max_size=32))
def test_a_key_comes_back_from_its_text(version, root):
    key = Key(version, root)
    assert Key.from_text(key.to_text()) == key
    assert key.kcv == independent.kcv(root)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.touch(mode=0o600)
    return path


@properties
@given(
    content=st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(
            lambda t: ("active = 1\nkeys = " + t).encode("utf-8", "replace")
        ),
    )
)
def test_a_random_file_is_no_keyring(key_file, content):
    key_file.write_bytes(content)
    with pytest.raises(ConfigurationError):
        Keyring.from_file(key_file)


# TLV, scope, row id

items = st.dictionaries(st.sampled_from(sorted(TAGS)), st.binary(max_size=20)).map(
    lambda chosen: sorted(chosen.items())
)


@properties
@given(items, items)
def test_tlv_is_injective(one, other):
    """FORMAT associated data: two contexts never share one byte string."""
    assert decode_items(encode_items(one)) == one
    assert (encode_items(one) == encode_items(other)) is (one == other)


@properties
@given(
    st.one_of(st.binary(max_size=60), items.map(encode_items).map(lambda b: b + b"\1"))
)
def test_tlv_has_one_form(data):
    """FORMAT associated data: strictly increasing known tags, nothing left over."""
    try:
        decoded = decode_items(data)
    except ValueError:
        return
    assert encode_items(decoded) == data


names = st.text(st.characters(codec="utf-8"), max_size=20)


@properties
@given(names, st.none() | names, names, st.none() | names)
def test_two_fields_or_tenants_never_share_a_scope(field, tenant, field2, tenant2):
    """FORMAT keys: SCOPE is TLV and so injective."""
    same = (field, tenant) == (field2, tenant2)
    assert (scope(field, tenant) == scope(field2, tenant2)) is same
    assert scope(field, tenant) == independent.scope(field, tenant)


columns = st.lists(
    st.one_of(
        st.tuples(st.just("i"), st.integers()),
        st.tuples(st.just("s"), names),
        st.tuples(st.just("b"), st.binary(max_size=20)),
        st.tuples(st.just("u"), st.uuids()),
        st.tuples(st.just("d"), st.dates()),
        st.tuples(st.just("t"), st.datetimes()),
        st.tuples(st.just("n"), st.integers().map(Decimal)),
    ),
    min_size=1,
    max_size=4,
)


@properties
@given(columns, columns)
def test_two_rows_never_share_an_id(one, other):
    """FORMAT associated data: count, type, length and bytes of each key column."""
    assert (row_id(one) == row_id(other)) is (one == other)
    assert row_context(row_id(one)) == independent.rowctx(row_id(one), None)


# Padding


@pytest.mark.parametrize("padding", [Blocks(), Bucket(1), Bucket(9), Padme()], ids=repr)
@properties
@given(data=st.binary(max_size=80))
def test_padding_comes_off_again(padding, data):
    """FORMAT rule 6: ISO 7816-4."""
    padded = padding.pad(data)
    assert unpad(padded) == data == independent.unpad(padded)
    assert len(padded) == padding.padded_length(len(data))


@properties
@given(st.binary(max_size=40).map(lambda data: data.replace(b"\1", b"\x80\0")))
def test_unpadding_agrees_on_random_bytes(data):
    """FORMAT rule 6: ISO 7816-4."""
    try:
        plain = unpad(data)
    except ValueError:
        with pytest.raises(ValueError):
            independent.unpad(data)
    else:
        assert plain == independent.unpad(data)


# Codecs

AWARE = st.datetimes(
    dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.timezones()
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
    ),
    max_leaves=10,
)
arrays = st.recursive(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    lambda inner: st.lists(st.none() | inner, max_size=3),
    max_leaves=6,
)
CODECS = {
    1: (Utf8Codec(), names),
    2: (BytesCodec(), st.binary(max_size=40)),
    3: (Int64Codec(), st.integers(-(2**63), 2**63 - 1)),
    4: (BigintCodec(), st.integers()),
    5: (BoolCodec(), st.booleans()),
    6: (
        DecimalCodec(),
        st.decimals(
            allow_nan=False,
            allow_infinity=False,
            places=None,
            min_value=-(10**40),
            max_value=10**40,
        ),
    ),
    7: (DateCodec(), st.dates()),
    8: (DatetimeCodec(), st.datetimes()),
    9: (UuidCodec(), st.uuids()),
    10: (JsonCodec(), json_values),
    11: (Float64Codec(), st.floats(allow_nan=False)),
    12: (EnumCodec((("a", "a"), ("\xe9", "\xe9"))), st.sampled_from(["a", "\xe9"])),
    13: (TimeCodec(), st.times()),
    14: (IntervalCodec(), st.timedeltas()),
    15: (ArrayCodec(Int64Codec()), arrays),
    108: (DatetimeCodec(aware=True), AWARE),
}
NAMES = [f"{type(codec).__name__} {n}" for n, (codec, _) in CODECS.items()]


@pytest.mark.parametrize("number", CODECS, ids=NAMES)
@properties
@given(data=st.data())
def test_a_value_comes_back_from_its_bytes(number, data):
    """FORMAT codecs: canonical bytes."""
    codec, values = CODECS[number]
    value = data.draw(values)
    encoded = codec.encode(value)
    back = codec.decode(encoded)
    # An hour that a zone skips equals nothing in another zone (PEP 495).
    assert back == (value.astimezone(dt.UTC) if number == 108 else value)
    assert codec.encode(back) == encoded


@pytest.mark.parametrize("number", CODECS, ids=NAMES)
@properties
@given(data=st.data())
def test_authentic_random_bytes_are_a_value_or_our_error(number, data):
    """FORMAT codecs: refused, whatever the codec stumbles over."""
    codec, values = CODECS[number]
    valid = codec.encode(data.draw(values))
    plain = data.draw(
        st.binary(max_size=20) | st.just(valid[:-1]) | st.just(valid + b"0")
    )
    cipher = field_cipher(codec)
    stored = cipher.seal_bytes(plain)
    for read in (cipher.open, opener(cipher)):
        try:
            read(stored)
        except MalformedEnvelopeError as error:
            assert error.__context__ is None


# Without decimals: a decoder accepts any number of places.
@pytest.mark.parametrize("number", sorted(set(CODECS) - {6}), ids=str)
@properties
@given(data=st.data())
def test_whatever_decodes_is_canonical(number, data):
    """FORMAT codecs: canonical bytes, so one byte string per value."""
    codec, values = CODECS[number]
    valid = codec.encode(data.draw(values))
    changed = bytearray(valid or b"\0")
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    for plain in (bytes(changed), valid + b"\0", b"\0" + valid, valid[:-1], valid[1:]):
        try:
            value = codec.decode(plain)
        except ValueError:
            continue
        assert codec.encode(value) == plain


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14])
@properties
@given(data=st.data())
def test_both_implementations_read_the_same_bytes(number, data):
    """FORMAT codecs: accepted by both, with one value, or by none."""
    codec, values = CODECS[number]
    valid = codec.encode(data.draw(values))
    plain = data.draw(
        st.binary(max_size=20) | st.just(valid[1:]) | st.just(valid + valid[:1])
    )
    try:
        theirs = independent.decode(number, plain)
    except ValueError:
        with pytest.raises(ValueError):
            codec.decode(plain)
    else:
        assert repr(codec.decode(plain)) == repr(theirs)


@properties
@given(
    plain=st.binary(max_size=60), suite=st.sampled_from(SuiteId), padded=st.booleans()
)
def test_the_independent_implementation_opens_any_bytes(plain, suite, padded):
    """FORMAT envelope: both directions, for any plaintext."""
    cipher = field_cipher(
        BytesCodec(), keyring(), suite=suite, padding=Blocks() if padded else None
    )
    assert independent.open_(ROOT, "users.email", cipher.seal(plain)) == (2, plain)
    theirs = independent.seal(
        ROOT, 7, "users.email", 2, plain, suite=suite, padded=padded
    )
    assert cipher.open(theirs) == plain
