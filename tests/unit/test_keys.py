"""Keys, their life cycle, and the keyring; and that none of them gives itself away."""

from __future__ import annotations

import base64
import contextlib
import copy
import gc
import itertools
import pickle
import string
import sys
import threading
import weakref

import independent
import pytest
from sealing import OTHER_ROOT, ROOT, failure, field_cipher, flipped, says

from sqlalchemy_sealed.errors import (
    ActiveKeyError,
    DuplicateKeyError,
    KeyFormatError,
    KeyStateError,
    SecretHandlingError,
)
from sqlalchemy_sealed.keys.key import ROOT_LENGTH, Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.keys.state import TRANSITIONS, KeyState, check_transition
from sqlalchemy_sealed.scope import Binding

KEY = Key(7, ROOT)
TEXT = "sealed_root_v7_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_82dab75d"
ALPHABET = string.ascii_letters + string.digits + "-_"
S = KeyState


def key(version: int) -> Key:
    """Return a key of a root of its own."""
    return Key(version, bytes((version,)) * 32)


def ring(*versions: int, active: int | None = None, **states: KeyState) -> Keyring:
    named = {int(name[1:]): state for name, state in states.items()}
    return Keyring([key(v) for v in versions], active, named)


# The key


def test_a_root_key_has_32_bytes():
    """FORMAT keys: root = 32 random bytes."""
    assert ROOT_LENGTH == 32
    for length in {*range(70)} - {32}:
        with pytest.raises(KeyFormatError, match="32 random bytes"):
            Key(1, bytes(length))


@pytest.mark.parametrize(
    "root",
    [None, "a" * 32, bytearray(32), memoryview(bytes(32)), [0] * 32, 32],
    ids=type,
)
def test_a_root_key_is_of_the_type_bytes(root):
    with pytest.raises(KeyFormatError):
        Key(1, root)


@pytest.mark.parametrize("version", [0, -1, 2**32, True, False, 1.0, "1", None])
def test_a_version_is_an_integer_of_32_bits(version):
    """FORMAT envelope: key version, uint32."""
    with pytest.raises(KeyFormatError, match="1 to 4294967295"):
        Key(version, ROOT)


@pytest.mark.parametrize("version", [1, 2**32 - 1])
def test_the_first_and_the_last_version_are_versions(version):
    assert Key(version, ROOT).version == version


def test_the_check_value_is_the_draft_vectors():
    """FORMAT draft vector: kcv; the kid is its first 16 bytes."""
    assert KEY.kcv.hex() == (
        "d8bbf18be1b108535fc108f5cb4924ad446cd54ed4de740486334e3ba1e81aa4"
    )
    assert KEY.kid == KEY.kcv[:16] == independent.kcv(ROOT)[:16]


def test_the_kid_does_not_depend_on_the_version():
    """FORMAT keys: kcv is derived from the root alone."""
    assert Key(1, ROOT).kid == Key(2, ROOT).kid


def test_generated_keys_are_random():
    """FORMAT keys: 32 random bytes."""
    made = {Key.generate(3).root for _ in range(50)}
    assert len(made) == 50
    assert {len(root) for root in made} == {32}
    assert Key.generate(3).version == 3


def test_keys_are_equal_by_version_and_root():
    assert Key(7, ROOT) == KEY
    assert hash(Key(7, ROOT)) == hash(KEY)
    assert Key(8, ROOT) != KEY != Key(7, OTHER_ROOT)
    assert (KEY == TEXT) is False


# Its text


def test_the_text_form_names_kind_version_and_check_digits():
    """FORMAT keys: sealed_root_v version _ root _ check digits."""
    assert KEY.to_text() == TEXT
    assert Key.from_text(TEXT) == KEY
    assert Key.from_text(f" \t{TEXT}\r\n") == KEY


def test_every_single_character_of_the_secret_part_is_checked():
    """FORMAT keys: a reader MUST refuse any other form."""
    for position in range(TEXT.index("AAEC"), len(TEXT)):
        for new in ALPHABET + "+/= ":
            changed = TEXT[:position] + new + TEXT[position + 1 :]
            if new != TEXT[position]:
                with pytest.raises(KeyFormatError):
                    Key.from_text(changed)


def test_every_truncation_of_a_key_text_is_refused():
    """FORMAT keys: a reader MUST refuse any other form."""
    for length in range(len(TEXT)):
        with pytest.raises(KeyFormatError):
            Key.from_text(TEXT[:length])
        with pytest.raises(KeyFormatError):
            Key.from_text(TEXT[length + 1 :])


def test_two_neighbours_exchanged_are_noticed():
    """FORMAT keys: 8 check digits."""
    for i in range(15, len(TEXT) - 1):
        swapped = TEXT[:i] + TEXT[i + 1] + TEXT[i] + TEXT[i + 2 :]
        if swapped != TEXT:
            with pytest.raises(KeyFormatError):
                Key.from_text(swapped)


def test_a_key_has_one_text_only():
    """FORMAT keys: base64url without padding, unused low bits zero."""
    head, last, check = TEXT[:57], TEXT[57], TEXT[58:]
    position = ALPHABET_64.index(last)
    for other in range(position & ~3, (position | 3) + 1):
        if other != position:
            with pytest.raises(KeyFormatError, match="altered"):
                Key.from_text(head + ALPHABET_64[other] + check)


ALPHABET_64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def test_a_changed_version_number_is_noticed():
    """FORMAT keys: the check digits are of root and version."""
    with pytest.raises(KeyFormatError):
        Key.from_text(TEXT.replace("_v7_", "_v1_"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sealed_root_v7_AAEC", "damaged or cut off"),
        (TEXT.replace("root", "index"), "key of another kind"),
        ("sld:9RE", "a sealed value, not a key"),
        (base64.b64encode(ROOT).decode(), "not a key text"),
        (TEXT[:-1] + "5", "check digits of key version 7"),
    ],
    ids=["cut", "index key", "envelope", "Fernet key", "typo"],
)
def test_a_refused_text_is_explained_and_not_repeated(text, hint):
    error = failure(Key.from_text, text)
    assert hint in str(error)
    assert (text[15:] or text) not in says(error)
    assert error.__context__ is None


# The life cycle

ALLOWED = {
    (S.PRE_ACTIVE, S.ACTIVE),
    (S.PRE_ACTIVE, S.COMPROMISED),
    (S.PRE_ACTIVE, S.DESTROYED),
    (S.ACTIVE, S.DEACTIVATED),
    (S.ACTIVE, S.COMPROMISED),
    (S.DEACTIVATED, S.ACTIVE),
    (S.DEACTIVATED, S.SUSPENDED),
    (S.DEACTIVATED, S.COMPROMISED),
    (S.DEACTIVATED, S.DESTROYED),
    (S.SUSPENDED, S.DEACTIVATED),
    (S.SUSPENDED, S.COMPROMISED),
    (S.SUSPENDED, S.DESTROYED),
    (S.COMPROMISED, S.DESTROYED),
}
EVERY_PAIR = list(itertools.product(S, S))


@pytest.mark.parametrize(("old", "new"), EVERY_PAIR, ids=lambda s: s.value)
def test_the_life_cycle_allows_these_changes_and_no_others(old, new):
    assert (new in TRANSITIONS[old]) is ((old, new) in ALLOWED)
    if (old, new) in ALLOWED:
        check_transition(1, old, new)
    else:
        with pytest.raises(KeyStateError, match=f"is {old.value} and cannot become"):
            check_transition(1, old, new)


def test_every_allowed_change_has_its_reason():
    assert all(reason for row in TRANSITIONS.values() for reason in row.values())
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("state", S, ids=lambda s: s.value)
def test_only_suspended_and_destroyed_keys_do_not_read(state):
    assert state.readable is (state not in {S.SUSPENDED, S.DESTROYED})


def in_state(state: KeyState) -> Keyring:
    """Return a keyring whose version 1 is in a state, beside the active version 2."""
    if state is S.ACTIVE:
        return ring(1, 2, active=1)
    return ring(1, 2, active=2, v1=state)


@pytest.mark.parametrize(
    ("old", "new"), [(a, b) for a, b in EVERY_PAIR if S.ACTIVE not in (a, b)]
)
def test_a_keyring_changes_states_as_the_table_says(old, new):
    keys = in_state(old)
    if (old, new) in ALLOWED:
        keys.set_state(1, new)
        assert keys.state(1) is new
    else:
        with pytest.raises(KeyStateError):
            keys.set_state(1, new)
        assert keys.state(1) is old


@pytest.mark.parametrize(
    "old", [s for s in S if s is not S.ACTIVE], ids=lambda s: s.value
)
def test_a_keyring_activates_as_the_table_says(old):
    keys = in_state(old)
    if (old, S.ACTIVE) in ALLOWED:
        assert keys.activate(1).version == keys.active.version == 1
        assert (keys.state(1), keys.state(2)) == (S.ACTIVE, S.DEACTIVATED)
    else:
        with pytest.raises(KeyStateError):
            keys.activate(1)
        assert keys.active.version == 2


@pytest.mark.parametrize("new", S, ids=lambda s: s.value)
def test_the_active_state_moves_by_activation_only(new):
    for version, state in ((2, new), (1, S.ACTIVE)):
        keys = ring(1, 2, active=2)
        with pytest.raises(KeyStateError, match="activate"):
            keys.set_state(version, state)
        assert keys.active.version == 2


# The keyring


def test_a_keyring_of_one_key_needs_no_active_version():
    assert Keyring([KEY]).active is KEY
    assert Keyring([KEY]).state(7) is S.ACTIVE


@pytest.mark.parametrize("versions", [(1, 2), (3, 1, 2)])
def test_the_highest_version_is_never_active_by_itself(versions):
    with pytest.raises(ActiveKeyError, match="name one of: 1, 2"):
        ring(*versions)


def test_a_keyring_without_keys_is_refused():
    with pytest.raises(ActiveKeyError, match="none"):
        Keyring([])


def test_an_active_version_that_is_not_there_is_refused():
    with pytest.raises(ActiveKeyError, match="3 is not in the keyring.*: 1, 2"):
        ring(1, 2, active=3)


def test_two_active_versions_are_refused():
    for options in ({"active": 1, "v2": S.ACTIVE}, {"v1": S.ACTIVE, "v2": S.ACTIVE}):
        with pytest.raises(ActiveKeyError, match=r"several active .*\(1, 2\)"):
            ring(1, 2, **options)


@pytest.mark.parametrize(
    "state", [s for s in S if s is not S.ACTIVE], ids=lambda s: s.value
)
def test_the_active_version_is_in_no_other_state(state):
    with pytest.raises(ActiveKeyError, match=f"active and also {state.value}"):
        ring(1, 2, active=1, v1=state)


def test_the_active_version_may_be_named_by_its_state():
    assert ring(1, 2, v2=S.ACTIVE).active.version == 2
    assert ring(1, 2, active=2, v2=S.ACTIVE).active.version == 2


def test_a_state_of_an_unknown_version_is_refused():
    with pytest.raises(KeyStateError, match="unknown key versions"):
        ring(1, 2, active=1, v9=S.SUSPENDED)


def test_one_version_twice_is_refused():
    with pytest.raises(DuplicateKeyError, match="same version number"):
        Keyring([Key(1, ROOT), Key(1, OTHER_ROOT)], active=1)


def test_one_root_twice_is_refused():
    """FORMAT rule 1: the kid alone says which version a value was sealed under."""
    with pytest.raises(DuplicateKeyError, match="same root key"):
        Keyring([Key(1, ROOT), Key(2, ROOT)], active=1)


def test_versions_below_the_active_one_read_and_versions_above_wait():
    keys = ring(3, 1, 2, active=2)
    assert [keys.state(v) for v in (1, 2, 3)] == [S.DEACTIVATED, S.ACTIVE, S.PRE_ACTIVE]
    assert [k.version for k in keys] == [k.version for k in keys.keys] == [1, 2, 3]
    assert len(keys) == 3


def test_the_readable_versions_start_with_the_active_one():
    keys = ring(1, 2, 3, 4, active=3, v1=S.SUSPENDED)
    assert [k.version for k in keys.readable] == [3, 2, 4]


@pytest.mark.parametrize("state", [S.SUSPENDED, S.DESTROYED], ids=lambda s: s.value)
def test_a_version_that_does_not_read_is_still_named(state):
    keys = ring(1, 2, active=2)
    keys.set_state(1, state)
    assert keys.get(key(1).kid) == key(1)
    assert keys.readable == (key(2),)


def test_a_key_is_found_by_its_whole_kid_only():
    """FORMAT rule 1: a header names a registered key."""
    keys = Keyring([KEY])
    assert keys.get(KEY.kid) is KEY
    assert [keys.get(kid) for kid in flipped(KEY.kid)] == [None] * 128
    assert keys.get(KEY.kid[:15]) is keys.get(KEY.kcv) is keys.get(b"") is None


def test_a_published_version_reads_and_does_not_write_yet():
    keys = Keyring([KEY])
    published = keys.publish()
    assert published.version == 8
    assert keys.active is KEY
    assert keys.state(8) is S.PRE_ACTIVE
    assert published in keys.readable


def test_a_key_made_elsewhere_can_be_published():
    keys = ring(1)
    assert keys.publish(key(5)) == key(5)
    assert keys.publish().version == 6


@pytest.mark.parametrize(
    "twin", [Key(1, ROOT), Key(2, b"\1" * 32)], ids=["version", "root"]
)
def test_a_key_that_is_there_already_is_not_published(twin):
    keys = ring(1)
    with pytest.raises(DuplicateKeyError):
        keys.publish(twin)
    assert keys.keys == (key(1),)
    assert keys.state(1) is S.ACTIVE


def test_a_rotation_publishes_and_activates():
    keys = ring(1)
    new = keys.rotate()
    assert keys.active is new
    assert (new.version, keys.state(1)) == (2, S.DEACTIVATED)


def test_a_rotation_can_be_taken_back():
    keys = ring(1)
    keys.rotate()
    assert keys.activate(1) == key(1)
    assert keys.state(2) is S.DEACTIVATED


def test_activating_the_active_version_changes_nothing():
    keys = ring(1, 2, active=2)
    before = keys.revision
    assert keys.activate(2) == key(2)
    assert keys.revision is before


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: keys.activate(9),
        lambda keys: keys.state(9),
        lambda keys: keys.set_state(9, S.SUSPENDED),
    ],
    ids=["activate", "state", "set_state"],
)
def test_an_unknown_version_is_named_with_the_known_ones(change):
    with pytest.raises(KeyStateError, match="no key version 9; this keyring has 1, 2"):
        change(ring(1, 2, active=1))


@pytest.mark.parametrize(
    "change",
    [
        Keyring.publish,
        Keyring.rotate,
        lambda keys: keys.activate(2),
        lambda keys: keys.set_state(2, S.COMPROMISED),
    ],
    ids=["publish", "rotate", "activate", "set_state"],
)
def test_every_change_is_a_new_revision_and_reaches_the_caches(change):
    class Cache:
        cleared = 0

        def clear_keys(self):
            # The new view must be there before the caches are cleared.
            self.cleared += keys.revision is not before

    keys, cache = ring(1, 2, active=1), Cache()
    before = keys.revision
    keys.watch(cache)
    change(keys)
    assert cache.cleared >= 1


def test_a_keyring_keeps_no_cache_alive():
    keys, cache = ring(1), Cache()
    alive = weakref.ref(cache)
    keys.watch(cache)
    del cache
    gc.collect()
    assert alive() is None
    keys.publish()


@pytest.mark.parametrize("kind", ["keyring", "binding"])
def test_a_change_does_not_stumble_over_a_cache_that_just_joins(kind):
    """The error would come out of rotate(), with some caches still holding old keys."""
    watched = Keyring([KEY]) if kind == "keyring" else Binding(Keyring([KEY]))
    change = watched.clear_keys if kind == "binding" else watched.publish
    caches = [Cache(), Cache(), Cache()]
    watched.watch(caches[0])
    watched.watch(caches[1])
    with joining(lambda: watched.watch(caches[2])):
        change()


@contextlib.contextmanager
def joining(join):
    """Have another thread join while the set of caches is walked through."""
    threads, before = [], sys.gettrace()

    def trace(frame, event, argument):
        walking = frame.f_code is weakref.WeakSet.__iter__.__code__
        if walking and frame.f_locals.get("item") is not None and not threads:
            threads.append(threading.Thread(target=join))
            threads[0].start()
            threads[0].join(0.2)  # a lock makes it wait for its turn
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        for thread in threads:
            thread.join()


class Cache:
    def clear_keys(self):
        """Hold nothing."""


def test_threads_that_rotate_lose_no_version():
    keys = ring(1)
    threads = [
        threading.Thread(target=lambda: [keys.publish() for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [k.version for k in keys] == list(range(1, 82))


def test_a_new_keyring_has_one_active_key():
    keys = Keyring.generate()
    assert [k.version for k in keys] == [1]
    assert keys.active.root != Keyring.generate().active.root


# Secrets

SECRET_ROOT = b"\xc3\x28TOPSECRET-ROOT-KEY-32-BYTES\xff\x00\x01"
SECRETS = [
    SECRET_ROOT.hex(),
    repr(SECRET_ROOT)[2:-1],
    "TOPSECRET",
    base64.urlsafe_b64encode(SECRET_ROOT).decode()[:20],
]
HOLDERS = {"Key": Key(1, SECRET_ROOT), "Keyring": Keyring([Key(1, SECRET_ROOT)])}


@pytest.fixture(params=HOLDERS.values(), ids=HOLDERS)
def holder(request):
    return request.param


def test_printing_gives_no_secret_away(holder):
    shown = (
        f"{holder!r} {holder} {holder!a} {[holder]} {getattr(holder, '__dict__', '')}"
    )
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_never_pickled(holder, protocol):
    with pytest.raises(SecretHandlingError, match="not pickled"):
        pickle.dumps(holder, protocol)
    with pytest.raises(SecretHandlingError):
        pickle.dumps({"inside": [holder]}, protocol)


def test_what_holds_a_keyring_is_never_pickled_either():
    with pytest.raises(SecretHandlingError):
        pickle.dumps(HOLDERS["Keyring"]._snapshot.active)
    with pytest.raises((SecretHandlingError, TypeError)):
        pickle.dumps(field_cipher(keys=HOLDERS["Keyring"]))


def test_a_copy_is_the_object_itself(holder):
    assert copy.copy(holder) is copy.deepcopy(holder) is holder
    assert copy.deepcopy({"a": [holder]})["a"][0] is holder


def test_a_key_has_no_dictionary_and_takes_no_other_attribute():
    key = HOLDERS["Key"]
    with pytest.raises(TypeError):
        vars(key)
    for name in ("root", "version", "kid", "kcv", "other"):
        with pytest.raises(AttributeError):
            setattr(key, name, b"")


def test_a_failed_change_gives_no_secret_away():
    keys = Keyring([Key(1, SECRET_ROOT)])
    for change in (
        lambda: keys.activate(2),
        lambda: keys.publish(Key(2, SECRET_ROOT)),
        lambda: Key(1, SECRET_ROOT + b"x"),
        lambda: Key(0, SECRET_ROOT),
        lambda: pickle.dumps(keys),
    ):
        told = says(failure(change))
        assert not [secret for secret in SECRETS if secret in told]


def test_repr_shows_the_version_and_half_of_the_kid():
    assert repr(KEY) == "<Key v7 kid=d8bbf18be1b10853>"
    assert repr(ring(1, 2, active=1)) == "<Keyring v1 active, v2 pre-active>"


def test_everything_a_field_cipher_prints_is_free_of_secrets():
    cipher = field_cipher(keys=HOLDERS["Keyring"])
    cipher.seal("alice")
    shown = " ".join(
        repr(x) for x in (cipher, vars(cipher), cipher._keys._binding.ciphers)
    )
    shown += repr(vars(cipher._keys._binding)) + repr(
        list(cipher._keys._declared.values())
    )
    assert not [secret for secret in SECRETS if secret in shown]
