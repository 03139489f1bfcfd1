"""A sealed file read as a mapping, checked, rotated, and written into."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from secretsfile.vaults import (
    BOTH,
    FERNET_KEY,
    NEW,
    OLD,
    ONE,
    VALUES,
    change,
    modes,
    names,
    sealed_values,
    tokens,
    write,
)
from sqlalchemy import String, create_engine

from sqlalchemy_sealed import EncryptedType, Key, Keyring, KeyState, bind_keyring
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DeclarationMismatchError,
    EncodingError,
    KeyNotReadableError,
    MalformedEnvelopeError,
    NotSealedError,
    SealedError,
    SecretHandlingError,
    SecretsFileError,
    UnknownKeyError,
)
from sqlalchemy_sealed.secretsfile import SecretsFile, SecretState, check, migrate


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    write(folder / "secrets.json", VALUES)
    migrate(folder / "secrets.json", folder / "secrets.enc", ONE)
    return folder / "secrets.enc"


def states(report) -> dict[str, SecretState]:
    return {entry.name: entry.state for entry in report.entries}


def test_values_come_back_equal_and_of_their_types(path):
    secrets = SecretsFile.open(path, ONE)
    assert dict(secrets) == VALUES
    assert json.dumps(dict(secrets)) == json.dumps(VALUES)
    assert list(secrets) == list(VALUES)
    assert "slack" in secrets
    assert "nothing" not in secrets
    with pytest.raises(KeyError):
        secrets["nothing"]


def test_the_file_shows_names_and_no_value(path):
    text = path.read_text()
    assert "TOPSECRET" not in text
    assert "12345678901234567890" not in text
    assert all(stored.startswith("sld:") for stored in sealed_values(path).values())


def test_values_of_different_length_are_padded_alike(path):
    lengths = {len(sealed_values(path)[name]) for name in ("slack", "", "null")}
    assert len(lengths) == 1


def test_a_value_is_opened_when_it_is_read_and_no_other(path):
    change(path, "number", "sld:damaged")
    secrets = SecretsFile.open(path, ONE)
    assert secrets["slack"] == VALUES["slack"]
    assert "number" in secrets
    with pytest.raises(MalformedEnvelopeError, match="'number'.*cut off or altered"):
        secrets["number"]


def test_two_values_that_are_swapped_do_not_open(path):
    sealed = sealed_values(path)
    change(path, "slack", sealed[""])
    change(path, "", sealed["slack"])
    for name in ("slack", ""):
        with pytest.raises(AuthenticationError, match="belongs to another name"):
            SecretsFile.open(path, ONE)[name]
    assert states(check(path, ONE))["slack"] is SecretState.TAMPERED


def test_a_column_and_a_file_do_not_exchange_values(path):
    kind = EncryptedType(String, context="sealed-secrets/1", storage="text")
    engine = create_engine("sqlite://")
    bind_keyring(engine, ONE)
    stored = kind.bind_processor(engine.dialect)("TOPSECRET")
    change(path, "slack", stored)
    with pytest.raises(DeclarationMismatchError, match="sealed as something else"):
        SecretsFile.open(path, ONE)["slack"]
    engine.dispose()


TROUBLES = {
    "plaintext": (NotSealedError, SecretState.PLAINTEXT, "not encrypted"),
    "wrong key": (UnknownKeyError, SecretState.WRONG_KEY, "does not hold"),
    "suspended": (KeyNotReadableError, SecretState.WRONG_KEY, "suspended"),
    "altered": (AuthenticationError, SecretState.TAMPERED, "altered"),
    "cut off": (MalformedEnvelopeError, SecretState.TAMPERED, "cut off"),
}


def trouble(path, name: str) -> Keyring:
    stored = sealed_values(path)["slack"]
    if name == "plaintext":
        change(path, "slack", "TOPSECRET-plain")
    if name == "altered":
        change(path, "slack", stored[:-3] + ("AAA" if stored[-3:] != "AAA" else "AAE"))
    if name == "cut off":
        change(path, "slack", stored[:40])
    if name == "wrong key":
        return Keyring([Key(1, b"x" * 32)])
    if name == "suspended":
        keyring = Keyring([OLD, NEW], active=2)
        keyring.set_state(1, KeyState.SUSPENDED)
        return keyring
    return ONE


@pytest.mark.parametrize("name", TROUBLES)
def test_troubles_are_told_apart_and_no_value_is_said(path, name):
    error, state, words = TROUBLES[name]
    keyring = trouble(path, name)
    with pytest.raises(error, match=words) as caught:
        SecretsFile.open(path, keyring)["slack"]
    assert caught.value.__context__ is None
    report = check(path, keyring)
    assert states(report)["slack"] is state
    assert report.needs_attention
    assert any(words in advice for advice in report.advice)
    assert "TOPSECRET" not in f"{caught.value} {report}"


def test_a_keyring_of_something_else_is_called_that(path):
    report = check(path, Keyring([Key(1, b"x" * 32)]))
    assert report.unreadable == report.total == len(VALUES)
    assert "keyring of something else" in report.advice[0]


BROKEN = {
    "cut off": '{"slack": "TOPSECRET',
    "empty": "",
    "a list": '["TOPSECRET"]',
    "text": '"TOPSECRET"',
    "a name twice": '{"a": "TOPSECRET", "a": "TOPSECRET-2"}',
    "nested twice": '{"a": {"b": "TOPSECRET", "b": 1}}',
    "not a number": '{"a": NaN}',
    "a surrogate": '{"\\ud800": 1}',
    "a later format": '{"format": "sealed-secrets/2", "secrets": {}}',
    "something else": '{"format": "sealed-secrets/1", "secrets": {}, "more": 1}',
    "no secrets": '{"format": "sealed-secrets/1"}',
    "deep": "[" * 100_000,
    "latin-1": b'{"a": "TOPSECRET\xe9"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_and_its_content_is_not(tmp_path, content):
    path = tmp_path / "secrets.enc"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    with pytest.raises(SecretsFileError, match="secrets.enc") as caught:
        SecretsFile.open(path, ONE)
    assert "TOPSECRET" not in str(caught.value)
    assert caught.value.__context__ is None
    report = check(path, ONE)
    assert report.problem
    assert report.needs_attention
    assert "TOPSECRET" not in str(report)


def test_a_file_that_is_not_there(tmp_path):
    for use in (SecretsFile.open, check):
        with pytest.raises(SecretsFileError, match="No such file"):
            use(tmp_path / "secrets.enc", ONE)


@pytest.mark.parametrize("make", [dict, tokens], ids=["plaintext", "fernet"])
def test_a_file_that_is_not_sealed_is_not_read_as_one(tmp_path, make):
    path = write(tmp_path / "secrets.enc", make({"a": "TOPSECRET"}))
    with pytest.raises(SecretsFileError, match="sealed secrets migrate") as caught:
        SecretsFile.open(path, ONE)
    assert "TOPSECRET" not in str(caught.value)
    report = check(path, ONE)
    assert (report.plaintext, report.fernet) == ((1, 0) if make is dict else (0, 1))
    assert report.needs_attention


def test_check_counts_and_says_which_key(path):
    report = SecretsFile.open(path, BOTH).check()
    assert (report.total, report.sealed, report.old) == (len(VALUES), len(VALUES), 7)
    assert {(e.version, e.kid) for e in report.entries} == {(1, OLD.kid.hex())}
    assert not report.needs_attention
    assert any("sealed secrets rotate" in advice for advice in report.advice)
    assert any("secrets.json.bak" in advice for advice in report.advice)


def test_check_without_keys_opens_nothing(path):
    assert set(states(check(path)).values()) == {SecretState.NOT_OPENED}
    assert not check(path).needs_attention


def test_check_notices_that_others_may_read(path):
    path.chmod(0o640)
    report = check(path, ONE)
    assert report.needs_attention
    assert "chmod 600" in report.advice[0]


def test_is_sealed_looks_at_one_value(path):
    change(path, "slack", "plain")
    secrets = SecretsFile.open(path, ONE)
    assert not secrets.is_sealed("slack")
    assert secrets.is_sealed("number")


def test_no_view_of_the_object_shows_a_value(path):
    secrets = SecretsFile.open(path, ONE)
    assert f"{secrets!r} {secrets}".count("TOPSECRET") == 0
    assert repr(secrets) == f"<SecretsFile {path}: 7 secrets>"
    with pytest.raises(SecretHandlingError):
        pickle.dumps(secrets)
    assert dict(copy.copy(secrets)) == VALUES


# Rotation


def test_rotate_moves_every_value_to_the_active_key(path):
    before = sealed_values(path)
    secrets = SecretsFile.open(path, BOTH)
    report = secrets.rotate()
    assert (report.total, report.moved, report.version) == (7, 7, 2)
    assert dict(secrets) == VALUES
    assert dict(SecretsFile.open(path, Keyring([NEW]))) == VALUES
    assert not set(before.values()) & set(sealed_values(path).values())
    assert names(path.parent) == ["secrets.enc", "secrets.json.bak"]
    assert modes(path.parent) == {0o600}


def test_rotate_leaves_current_values_as_they_are(path):
    secrets = SecretsFile.open(path, BOTH)
    secrets.store("new", "TOPSECRET-new")
    stored = sealed_values(path)["new"]
    assert secrets.rotate().moved == 7
    assert sealed_values(path)["new"] == stored
    before = path.read_bytes()
    assert secrets.rotate().moved == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", TROUBLES)
def test_rotate_changes_nothing_if_a_value_does_not_open(path, name):
    keyring = trouble(path, name)
    rotated = Keyring([*keyring.keys, Key(3, b"3" * 32)], active=3)
    if name == "suspended":
        rotated = keyring
    before = path.read_bytes()
    with pytest.raises(TROUBLES[name][0], match="nothing was changed") as caught:
        SecretsFile.open(path, rotated).rotate()
    assert path.read_bytes() == before
    assert names(path.parent) == ["secrets.enc", "secrets.json.bak"]
    assert "TOPSECRET" not in str(caught.value)


# Storing


def test_store_adds_and_replaces_one_value(path):
    secrets = SecretsFile.open(path, ONE)
    before = sealed_values(path)
    secrets.store("slack", ["TOPSECRET-new"])
    secrets.store("more", "TOPSECRET-more")
    after = sealed_values(path)
    assert secrets["slack"] == ["TOPSECRET-new"]
    assert secrets["more"] == "TOPSECRET-more"
    untouched = set(before) - {"slack"}
    assert all(after[name] == before[name] for name in untouched)
    assert modes(path.parent) == {0o600}


def test_store_repairs_a_value_that_does_not_open(path):
    change(path, "slack", "plain")
    change(path, "number", "sld:damaged")
    SecretsFile.open(path, ONE).store("slack", "TOPSECRET-2")
    report = check(path, ONE)
    assert (report.plaintext, report.unreadable) == (0, 1)


def test_store_makes_a_file(tmp_path):
    from sqlalchemy_sealed.secretsfile import store

    path = tmp_path / "new.enc"
    assert not store(path, "a", "TOPSECRET", ONE)
    assert store(path, "a", "TOPSECRET-2", ONE)
    assert dict(SecretsFile.open(path, ONE)) == {"a": "TOPSECRET-2"}
    assert names(tmp_path) == ["new.enc"]
    assert modes(tmp_path) == {0o600}


@pytest.mark.parametrize("value", [{"a": {1}}, b"TOPSECRET", float("nan"), object()])
def test_store_refuses_what_is_no_json(path, value):
    before = path.read_bytes()
    with pytest.raises(EncodingError, match="'slack'") as caught:
        SecretsFile.open(path, ONE).store("slack", value)
    assert path.read_bytes() == before
    assert "TOPSECRET" not in str(caught.value)


def test_store_does_not_write_into_a_file_that_is_not_sealed(tmp_path):
    from sqlalchemy_sealed.secretsfile import store

    path = write(tmp_path / "secrets.enc", tokens({"a": "TOPSECRET"}))
    before = path.read_bytes()
    with pytest.raises(SealedError, match="1 Fernet tokens"):
        store(path, "b", "x", ONE)
    assert path.read_bytes() == before
    assert FERNET_KEY not in path.read_text()
