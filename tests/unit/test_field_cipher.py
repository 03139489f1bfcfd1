"""The field cipher: the rules of the format, and errors that hold no value."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import independent
import pytest
from sealing import (
    OTHER_ROOT,
    ROOT,
    SECRET,
    failure,
    field_cipher,
    flipped,
    keyring,
    says,
)

from sqlalchemy_sealed.associated import row_id
from sqlalchemy_sealed.cipher import FieldCipher, cipher_of
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
from sqlalchemy_sealed.envelope import Envelope, Flag, SuiteId
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationMismatchError,
    DecryptionError,
    EncodingError,
    KeyNotReadableError,
    KeyringNotBoundError,
    MalformedEnvelopeError,
    NotSealedError,
    UnknownKeyError,
    VerificationError,
)
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.keys.state import KeyState
from sqlalchemy_sealed.padding import Blocks, Bucket, Padme
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.suites import SALT_EPOCH

XAES, SIV, CBC = SuiteId
DECLARATIONS = {
    "0x11": {},
    "0x11 padded": {"padding": Blocks()},
    "0x12": {"suite": SIV},
    "0x12 padded": {"suite": SIV, "padding": Blocks()},
    "0x15": {"suite": CBC},
    "0x15 padded": {"suite": CBC, "padding": Blocks()},
}
VALUES = {
    "utf8": (Utf8Codec(), "caf\xe9"),
    "bytes": (BytesCodec(), b"\0\x80"),
    "int64": (Int64Codec(), -42),
    "bigint": (BigintCodec(), 2**70),
    "bool": (BoolCodec(), True),
    "decimal": (DecimalCodec(scale=2), Decimal("-1.50")),
    "date": (DateCodec(), dt.date(1815, 12, 10)),
    "datetime": (DatetimeCodec(), dt.datetime(2026, 1, 2, 3, 4, 5, 6)),
    "aware": (DatetimeCodec(aware=True), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    "uuid": (UuidCodec(), uuid.UUID(int=7)),
    "json": (JsonCodec(), {"b": [1, None], "a": "\xe9"}),
    "float": (Float64Codec(), -2.5),
    "enum": (EnumCodec((("red", "red"),)), "red"),
    "time": (TimeCodec(), dt.time(1, 2, 3, 4)),
    "interval": (IntervalCodec(), dt.timedelta(days=-1, microseconds=1)),
    "array": (ArrayCodec(Int64Codec()), [[1, None], []]),
}
ROW = row_id([("i", 42)])


@pytest.fixture(params=DECLARATIONS.values(), ids=DECLARATIONS)
def cipher(request):
    return field_cipher(**request.param)


def refusal(cipher: FieldCipher, stored: object, row: bytes | None = None):
    """Return the error of opening, after checking what it tells."""
    error = failure(cipher.open, stored, row)
    assert isinstance(error, DecryptionError)
    assert error.__cause__ is error.__context__ is None
    assert SECRET not in says(error)
    assert "users.email" in str(error)
    return error


# Sealing and opening


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
@pytest.mark.parametrize(("codec", "value"), VALUES.values(), ids=VALUES)
def test_what_was_sealed_opens(codec, value, text):
    padding = Blocks() if codec.padded else None
    cipher = field_cipher(codec, padding=padding, text=text)
    stored = cipher.seal(value)
    assert isinstance(stored, str if text else bytes)
    assert repr(cipher.open(stored)) == repr(value)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview], ids=lambda k: k.__name__
)
def test_a_stored_value_may_come_in_any_binary_type(cipher, kind):
    assert cipher.open(kind(cipher.seal(SECRET))) == SECRET


def test_the_independent_implementation_opens_what_was_sealed(cipher):
    assert independent.open_(ROOT, "users.email", cipher.seal(SECRET)) == (
        1,
        SECRET.encode(),
    )


def test_the_header_is_that_of_the_declaration(cipher):
    """FORMAT envelope: static for one root key, suite and column configuration."""
    header = Envelope.parse(cipher.seal(SECRET)).header
    field = cipher.field
    assert header == field.header(Key(7, ROOT))
    assert (header.suite, header.codec, header.version) == (field.suite, 1, 7)
    assert header.flags == (Flag.PADDED if field.padding else Flag(0))
    assert cipher.active_header() == bytes(header)


def test_every_field_has_a_key_of_its_own():
    """FORMAT keys: SCOPE selects the derived key."""
    one, other = (field_cipher(context=c, suite=SIV) for c in ("a.b", "a.c"))
    assert one.seal("x")[:24] == other.seal("x")[:24]
    assert one.seal("x") != other.seal("x")


def test_the_plaintext_is_nowhere_in_the_envelope(cipher):
    assert SECRET[:5].encode() not in cipher.seal(SECRET)


@pytest.mark.parametrize("suite", SuiteId, ids=hex)
def test_equal_values_are_equal_bytes_only_in_a_deterministic_column(suite):
    """FORMAT envelope: 0x12 is deterministic."""
    cipher = field_cipher(suite=suite)
    assert (cipher.seal("a") == cipher.seal("a")) is (suite is SIV)


def test_a_deterministic_column_compares_under_every_readable_version():
    """FORMAT rule 7: equality does not hold across key versions by itself."""
    keys = keyring()
    cipher = field_cipher(keys=keys, suite=SIV)
    old = cipher.seal("a")
    keys.rotate()
    assert old != cipher.seal("a")
    terms = [cipher.seal_under("a", key) for key in cipher.searched()]
    assert terms == [old, cipher.seal("a")]


# Rule 1: no shape, no key, no tag


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"alice@example.com",
        b"\xf4" * 80,
        "alice@example.com",
        42,
        4.2,
        [],
        object(),
    ],
    ids=lambda x: type(x).__name__,
)
def test_plaintext_in_a_strict_column_is_an_error(cipher, stored):
    """FORMAT rule 3: a value without the shape is an error in a strict column."""
    error = refusal(cipher, stored)
    assert type(error) is NotSealedError
    assert "not returned and not changed" in str(error)


def test_null_is_not_opened_by_the_strict_class():
    """FORMAT rule 8: NULL stays NULL; the processors never hand it over."""
    assert type(refusal(field_cipher(), None)) is NotSealedError


def test_an_unknown_kid_is_an_error(cipher):
    """FORMAT rule 1: the shape without a known kid is an error, never plaintext."""
    stranger = field_cipher(
        keys=keyring(7, OTHER_ROOT),
        suite=cipher.field.suite,
        padding=cipher.field.padding,
    )
    error = refusal(cipher, stranger.seal(SECRET))
    assert type(error) is UnknownKeyError
    assert "key v7 (kid " in str(error)
    assert "it has v7" in str(error)


def test_the_version_number_alone_chooses_no_key():
    """FORMAT rule 1: there is no trial decryption; the kid chooses."""
    keys = Keyring([Key(1, ROOT), Key(2, OTHER_ROOT)], active=2)
    foreign = independent.seal(bytes(32), 2, "users.email", 1, b"a")
    assert type(refusal(field_cipher(keys=keys), foreign)) is UnknownKeyError


def test_every_single_bit_of_an_envelope_matters(cipher):
    """FORMAT envelope: the header is always authenticated, and so is the body."""
    stored = cipher.seal("alice")
    for changed in flipped(stored):
        with pytest.raises(DecryptionError):
            cipher.open(changed)
    assert cipher.open(stored) == "alice"


@pytest.mark.parametrize(
    ("position", "error"),
    [
        (0, {NotSealedError}),
        (1, {MalformedEnvelopeError, DeclarationMismatchError}),
        (2, {MalformedEnvelopeError, DeclarationMismatchError}),
        (3, {DeclarationMismatchError}),
        *[(n, {MalformedEnvelopeError}) for n in range(4, 8)],
        *[(n, {UnknownKeyError}) for n in range(8, 24)],
        (24, {AuthenticationError}),
        (-1, {AuthenticationError}),
    ],
)
def test_an_altered_byte_is_refused_for_the_right_reason(cipher, position, error):
    """FORMAT rules 1 and 2; every other value of the byte."""
    stored = bytearray(cipher.seal("alice" * 10))
    original, found = stored[position], set()
    for byte in set(range(256)) - {original}:
        stored[position] = byte
        found.add(type(refusal(cipher, bytes(stored))))
    assert found == error


def test_every_truncation_is_refused(cipher):
    """FORMAT shape: at least 24 bytes plus the suite's body minimum."""
    stored = cipher.seal("alice")
    least = {XAES: 64, SIV: 40, CBC: 88}[cipher.field.suite]
    for length in range(len(stored)):
        error = type(refusal(cipher, stored[:length]))
        if length == 0:
            assert error is NotSealedError
        elif length < least:
            assert error is MalformedEnvelopeError
        else:
            assert error is AuthenticationError


@pytest.mark.parametrize("more", [b"\0", b"\x80", bytes(16), b"alice"])
def test_bytes_behind_an_envelope_are_refused(cipher, more):
    assert type(refusal(cipher, cipher.seal("a") + more)) is AuthenticationError


def test_the_parts_of_two_values_do_not_fit_together(cipher):
    one, other = cipher.seal("alice"), cipher.seal("carol")
    cuts = {XAES: (42, 48), SIV: (30, 40), CBC: (30, 40, 56)}
    for cut in cuts[cipher.field.suite]:
        assert type(refusal(cipher, one[:cut] + other[cut:])) is AuthenticationError


def test_a_value_moved_to_another_field_does_not_open(cipher):
    """FORMAT keys: SCOPE holds the field id; a failed tag is an error."""
    moved = field_cipher(
        context="users.phone", suite=cipher.field.suite, padding=cipher.field.padding
    ).seal(SECRET)
    error = refusal(cipher, moved)
    assert type(error) is AuthenticationError
    assert "context='old name'" in str(error)


def test_a_renamed_column_opens_with_its_former_field_id():
    """FORMAT associated data: the field id can be pinned."""
    stored = field_cipher(context="users.mail").seal("a")
    assert field_cipher(context="users.mail").open(stored) == "a"
    assert type(refusal(field_cipher(), stored)) is AuthenticationError


# Rule 2: what the column declares

OTHERS = {
    "suite": {"suite": SIV},
    "suite 0x15": {"suite": CBC},
    "padded": {"padding": Blocks()},
    "codec": {"codec": BytesCodec()},
    "row-bound": {"row_bound": True},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_value_of_another_declaration_is_refused_both_ways(other):
    """FORMAT rule 2: suite, flags and codec MUST equal what the column declares."""
    one, two = field_cipher(), field_cipher(**other)
    row = ROW if two.field.row_bound else None
    value = "a" if two.field.codec == Utf8Codec() else b"a"
    for cipher, stored, bound in (
        (one, two.seal(value, row), None),
        (two, one.seal("a"), row),
    ):
        error = refusal(cipher, stored, bound)
        assert type(error) is DeclarationMismatchError
        assert ", declared " in str(error)


def test_a_mismatch_names_everything_that_differs():
    """FORMAT rule 2: found and declared."""
    stored = field_cipher(BytesCodec(), suite=SIV, padding=Blocks()).seal(b"a")
    told = str(refusal(field_cipher(), stored))
    assert "suite AES_256_SIV, declared XAES_256_GCM; flags 0x01, " in told
    assert "flags 0x01, declared 0x00" in told
    assert "codec 0x02, declared 0x01" in told


@pytest.mark.parametrize("bit", [Flag.COMPRESSED, Flag.TENANT_SCOPED, Flag.ROW_BOUND])
def test_a_flag_that_the_column_does_not_declare_is_refused_before_the_tag(bit):
    """FORMAT rule 2: flags, even where the bytes are not authentic at all."""
    stored = bytearray(field_cipher().seal("a"))
    stored[2] |= bit
    assert type(refusal(field_cipher(), bytes(stored))) is DeclarationMismatchError


def test_an_option_that_the_header_does_not_show_still_opens():
    """FORMAT rule 9: the padding option is not in the header."""
    stored = field_cipher(padding=Bucket(64)).seal(SECRET)
    for padding in (Blocks(), Padme(), Bucket(1)):
        assert field_cipher(padding=padding).open(stored) == SECRET


# Rule 4


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
def test_text_that_looks_like_an_envelope_is_sealed_like_any_text(text):
    """FORMAT rule 4: writing never looks at the value."""
    cipher = field_cipher(text=text)
    inner = field_cipher(text=True).seal(SECRET)
    stored = cipher.seal(inner)
    assert stored != inner
    assert cipher.open(stored) == inner


def test_bytes_that_look_like_an_envelope_are_sealed_like_any_bytes():
    """FORMAT rule 4: writing never looks at the value."""
    cipher = field_cipher(BytesCodec())
    inner = cipher.seal(b"a")
    assert cipher.open(cipher.seal(inner)) == inner


# Rule 5


def test_a_field_shares_salts_within_its_own_cipher_only():
    """FORMAT rule 5: the salt belongs to one derived field key."""
    keys = keyring()
    one, other = (field_cipher(keys=keys, context=c) for c in ("a.b", "a.c"))
    assert one.seal("x")[24:36] == one.seal("y")[24:36]
    assert one.seal("x")[24:36] != other.seal("x")[24:36]


@pytest.mark.parametrize("epoch", [1, 3])
def test_the_salt_epoch_is_the_declared_one(epoch):
    """FORMAT rule 5: `salt_epoch=1` turns reuse off."""
    cipher = field_cipher(salt_epoch=epoch)
    salts = [cipher.seal("x")[24:36] for _ in range(12)]
    assert max(salts.count(salt) for salt in salts) == epoch


def test_the_default_salt_epoch_is_that_of_the_format():
    """FORMAT rule 5: up to 2^16 messages."""
    assert field_cipher().field.salt_epoch == SALT_EPOCH == 2**16


def test_a_cache_is_of_the_derived_key_and_not_of_the_column():
    """FORMAT rule 5: caches are keyed by the derived key, never by column alone."""
    one, other = keyring(1, ROOT), keyring(1, OTHER_ROOT)
    binding = Binding(one)
    cipher = cipher_of(binding, Field("users.email", Utf8Codec()))
    stored = cipher.seal("a")
    binding.bind(other)
    assert type(refusal(cipher, stored)) is UnknownKeyError
    assert cipher.seal("a")[8:24] == other.active.kid
    assert independent.open_(OTHER_ROOT, "users.email", cipher.seal("a"))[1] == b"a"


# Rows


def test_a_row_bound_value_opens_in_its_row_only():
    """FORMAT associated data: AAD = HEADER ROWCTX; flag bit2."""
    cipher = field_cipher(row_bound=True)
    stored = cipher.seal(SECRET, ROW)
    assert Envelope.parse(stored).header.flags == Flag.ROW_BOUND
    assert cipher.open(stored, ROW) == SECRET
    for other in (row_id([("i", 43)]), row_id([("s", "42")]), b""):
        assert type(refusal(cipher, stored, other)) is AuthenticationError


def test_the_independent_implementation_opens_a_row_bound_value():
    """FORMAT associated data: a value in row form needs flag bit2."""
    stored = field_cipher(row_bound=True).seal("a", ROW)
    assert independent.open_(ROOT, "users.email", stored, row=ROW) == (1, b"a")


@pytest.mark.parametrize(("bound", "row"), [(True, None), (False, ROW)])
def test_a_row_that_is_missing_or_not_declared_is_refused(bound, row):
    cipher = field_cipher(row_bound=bound)
    with pytest.raises(EncodingError, match="a row id is (missing|given)"):
        cipher.seal("a", row)
    with pytest.raises(EncodingError, match="a row id is (missing|given)"):
        cipher.open(cipher.seal("a", None if row else ROW), row)


# Keys


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DESTROYED])
def test_a_key_that_does_not_read_opens_nothing(cipher, state):
    """FORMAT rule 1: the key is registered, its state forbids reading."""
    keys = cipher._keys.keyring
    stored = cipher.seal(SECRET)
    assert cipher.open(stored) == SECRET
    keys.rotate()
    keys.set_state(7, state)
    error = refusal(cipher, stored)
    assert type(error) is KeyNotReadableError
    assert f"which is {state.value}" in str(error)


def test_a_resumed_key_reads_again(cipher):
    keys = cipher._keys.keyring
    stored = cipher.seal("a")
    keys.rotate()
    keys.set_state(7, KeyState.SUSPENDED)
    keys.set_state(7, KeyState.DEACTIVATED)
    assert cipher.open(stored) == "a"


def test_a_compromised_key_still_reads(cipher):
    keys = cipher._keys.keyring
    stored = cipher.seal("a")
    keys.rotate()
    keys.set_state(7, KeyState.COMPROMISED)
    assert cipher.open(stored) == "a"


def test_a_published_key_reads_before_it_writes():
    """Another process may have activated it already."""
    new = Key(8, OTHER_ROOT)
    keys = Keyring([Key(7, ROOT), new], active=7)
    ahead = field_cipher(keys=Keyring([Key(7, ROOT), new], active=8)).seal("a")
    cipher = field_cipher(keys=keys)
    assert cipher.open(ahead) == "a"
    assert cipher.seal("a")[8:24] == Key(7, ROOT).kid


def test_after_a_rotation_the_new_key_writes_and_both_read(cipher):
    keys = cipher._keys.keyring
    old = cipher.seal("a")
    new_key = keys.rotate()
    new = cipher.seal("a")
    assert new[:24] == cipher.active_header()
    assert (new[4:8], new[8:24]) == (new_key.version.to_bytes(4), new_key.kid)
    assert cipher.open(old) == cipher.open(new) == "a"


def test_a_change_of_the_keyring_clears_what_was_derived(cipher):
    keys = cipher._keys.keyring
    cipher.open(cipher.seal("a"))
    cipher.seal_and_stock("a")
    assert cipher._keys._declared
    assert cipher.ready
    keys.publish()
    assert not cipher._keys._declared
    assert not cipher.ready
    assert cipher.slot[0][:2] == (b"", b"")


def test_a_change_in_the_middle_of_deriving_leaves_nothing_stale(monkeypatch):
    """What is remembered after the caches were cleared must be forgotten again."""
    cipher = field_cipher()
    keys, original = cipher._keys.keyring, Key.derive

    def derive(self, *arguments):
        monkeypatch.setattr(Key, "derive", original)
        keys.rotate()
        return original(self, *arguments)

    monkeypatch.setattr(Key, "derive", derive)
    cipher.seal("a")
    assert not cipher._keys._declared
    assert cipher.seal("a")[8:24] == keys.active.kid


def test_a_change_while_a_cipher_is_made_finds_a_whole_cipher():
    """The error would come out of rotate(), with other caches not yet cleared."""

    class Impatient(Binding):
        def watch(self, cache):
            super().watch(cache)
            self.clear_keys()

    FieldCipher(Field("users.email", Utf8Codec()), Impatient(keyring()))


def test_an_altered_version_is_no_other_key(cipher):
    """FORMAT envelope: the version is for people and SQL, and authenticated."""
    stored = bytearray(cipher.seal("a"))
    stored[7] ^= 1
    error = refusal(cipher, bytes(stored))
    assert type(error) is MalformedEnvelopeError
    assert "its kid is that of version 7" in str(error)


def test_without_a_keyring_nothing_is_sealed_and_nothing_opened():
    cipher = FieldCipher(Field("users.email", Utf8Codec()), Binding())
    stored = field_cipher().seal(SECRET)
    for error in (failure(cipher.seal, SECRET), failure(cipher.open, stored)):
        assert type(error) is KeyringNotBoundError
        assert "users.email: no keyring is bound" in str(error)
        assert error.__context__ is None


# Re-encryption


def test_what_the_active_key_sealed_needs_no_reencryption(cipher):
    """FORMAT rule 2: needs_reencryption."""
    stored = cipher.seal("a")
    assert not cipher.needs_reencryption(stored)
    assert cipher.reseal(stored) is None


def test_what_another_key_sealed_needs_reencryption(cipher):
    """FORMAT rule 2: needs_reencryption."""
    stored = cipher.seal("a")
    cipher._keys.keyring.rotate()
    assert cipher.needs_reencryption(stored)
    again = cipher.reseal(stored)
    assert again[:24] == cipher.active_header()
    assert cipher.open(again) == "a"


def test_what_cannot_be_opened_is_not_resealed(cipher):
    stored = bytearray(cipher.seal("a"))
    cipher._keys.keyring.rotate()
    stored[-1] ^= 1
    assert type(failure(cipher.reseal, bytes(stored))) is AuthenticationError
    assert type(failure(cipher.reseal, b"alice")) is NotSealedError


def test_a_value_that_would_not_open_again_is_not_written(cipher, monkeypatch):
    stored = cipher.seal(SECRET)
    other = cipher.seal("something else")
    cipher._keys.keyring.rotate()
    monkeypatch.setattr(cipher, "seal_bytes", lambda plain, row: other)
    error = failure(cipher.reseal, stored)
    assert type(error) is VerificationError
    assert SECRET not in says(error)


# What errors tell


@pytest.mark.parametrize("suite", SuiteId, ids=hex)
def test_a_value_that_does_not_fit_is_refused_without_showing_it(suite):
    cipher = field_cipher(Int64Codec(), suite=suite)
    error = failure(cipher.seal, SECRET)
    assert type(error) is EncodingError
    assert error.__cause__ is error.__context__ is None
    assert SECRET not in says(error)


def test_an_authentic_value_that_does_not_decode_is_not_shown():
    cipher = field_cipher()
    error = refusal(cipher, cipher.seal_bytes(SECRET.encode() + b"\xff"))
    assert type(error) is MalformedEnvelopeError
    assert "authentic" in str(error)


def test_the_exception_of_a_users_codec_is_not_carried_along():
    class Talkative(Utf8Codec):
        def encode(self, value):
            raise RuntimeError(f"cannot encode {value}")

        def decode(self, data):
            raise RuntimeError(f"cannot decode {data}")

    stored = field_cipher().seal(SECRET)
    cipher = field_cipher(Talkative())
    for error in (failure(cipher.seal, SECRET), failure(cipher.open, stored)):
        assert error.__cause__ is error.__context__ is None
        assert "RuntimeError" not in says(error)
        assert SECRET not in says(error)


def test_the_tail_of_a_chain_of_errors_is_cut_even_inside_a_handler():
    """The user's own exception is context, the library's causes are not."""
    cipher = field_cipher()
    try:
        raise LookupError("the application's")
    except LookupError as outer:
        error = failure(cipher.seal, SECRET + "\ud800")
        assert error.__context__ is outer
    assert SECRET not in says(error)


# One cipher per field


def test_there_is_one_cipher_per_declaration_and_binding():
    one, other = Binding(keyring()), Binding(keyring())
    field = Field("users.email", Utf8Codec())
    assert cipher_of(one, field) is cipher_of(one, Field("users.email", Utf8Codec()))
    assert cipher_of(one, field) is not cipher_of(other, field)
    assert cipher_of(one, field) is not cipher_of(one, Field("users.mail", Utf8Codec()))
