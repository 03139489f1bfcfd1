"""A file of plaintext or Fernet tokens becomes a sealed one, and comes back."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet
from secretsfile.vaults import (
    BOTH,
    FERNET_KEY,
    ONE,
    TEXTS,
    VALUES,
    change,
    modes,
    names,
    sealed_values,
    tokens,
    write,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    EncodingError,
    KeyFormatError,
    SealedError,
    SecretsFileError,
    UnknownKeyError,
    VerificationError,
)

from sqlalchemy_sealed import Key, Keyring
from sqlalchemy_sealed.secretsfile import SecretsFile, migrate, rollback, store
from sqlalchemy_sealed.secretsfile import lock as lock_module
from sqlalchemy_sealed.secretsfile.lock import locked
from sqlalchemy_sealed.secretsfile.secretcipher import SecretCipher


@pytest.fixture
def folder(tmp_path):
    """A folder of its own, and a umask that hides no mistake."""
    before = os.umask(0)
    folder = tmp_path / "app"
    folder.mkdir()
    yield folder
    os.umask(before)


@pytest.fixture
def plain(folder):
    return write(folder / "secrets.json", VALUES)


@pytest.fixture
def target(folder):
    return folder / "secrets.enc"


def test_plaintext_is_sealed_and_kept_as_a_backup(folder, plain, target):
    before = plain.read_bytes()
    report = migrate(plain, target, ONE)
    assert (report.status, report.total) == ("migrated", len(VALUES))
    assert (report.plaintext, report.fernet) == (len(VALUES), 0)
    assert dict(SecretsFile.open(target, ONE)) == VALUES
    assert names(folder) == ["secrets.enc", "secrets.json.bak"]
    assert (folder / "secrets.json.bak").read_bytes() == before
    assert modes(folder) == {0o600}


def test_migrating_again_says_that_it_is_done(plain, target):
    migrate(plain, target, ONE)
    before = target.read_bytes()
    report = migrate(plain, target, ONE)
    assert (report.status, report.total) == ("already", len(VALUES))
    assert target.read_bytes() == before


KEYS = {"44": FERNET_KEY, "43": FERNET_KEY[:43], "spaces": f" {FERNET_KEY}\n"}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_tokens_of_atom_are_opened(folder, target, key):
    source = write(folder / "atom.enc", tokens(TEXTS), 0o644)
    report = migrate(source, target, ONE, [key])
    assert (report.plaintext, report.fernet) == (0, len(TEXTS))
    assert dict(SecretsFile.open(target, ONE)) == TEXTS
    assert modes(folder) == {0o600}


def test_tokens_of_two_keys_and_plaintext_in_one_file(folder, target):
    former = Fernet.generate_key().decode()
    mixed = {
        **tokens({"a": "TOPSECRET-a"}),
        **tokens({"b": "TOPSECRET-b"}, former),
        "c": "TOPSECRET-c",
        "d": {"token": 1},
    }
    source = write(folder / "secrets.json", mixed)
    report = migrate(source, target, ONE, [FERNET_KEY, former])
    assert (report.plaintext, report.fernet) == (2, 2)
    assert dict(SecretsFile.open(target, ONE)) == {
        "a": "TOPSECRET-a",
        "b": "TOPSECRET-b",
        "c": "TOPSECRET-c",
        "d": {"token": 1},
    }


def test_a_file_is_migrated_in_its_own_place(folder, target):
    write(target, tokens(TEXTS), 0o644)
    before = target.read_bytes()
    assert migrate(target, target, ONE, [FERNET_KEY]).status == "migrated"
    assert dict(SecretsFile.open(target, ONE)) == TEXTS
    assert names(folder) == ["secrets.enc", "secrets.enc.bak"]
    assert (folder / "secrets.enc.bak").read_bytes() == before
    assert modes(folder) == {0o600}
    assert migrate(target, target, ONE).status == "already"


def damaged(values: dict[str, str], name: str) -> dict[str, str]:
    token = values[name]
    flipped = "A" if token[60] != "A" else "B"
    return {**values, name: token[:60] + flipped + token[61:]}


TOKENS = tokens({"a": "TOPSECRET-a", "b": "TOPSECRET-b"})
REFUSED = {
    "no key": (TOKENS, [], SecretsFileError, "--fernet-key-env"),
    "wrong key": (
        TOKENS,
        [Fernet.generate_key().decode()],
        AuthenticationError,
        "wrong key",
    ),
    "tampered": (damaged(TOKENS, "b"), [FERNET_KEY], AuthenticationError, "'b' were"),
    "cut off": (
        {**TOKENS, "b": TOKENS["b"][:-30]},
        [FERNET_KEY],
        AuthenticationError,
        "'b' were",
    ),
    "bytes": (
        {"a": Fernet(FERNET_KEY).encrypt(b"TOPSECRET\xff").decode()},
        [FERNET_KEY],
        EncodingError,
        "UTF-8",
    ),
    "no Fernet key": ({"a": "x"}, ["TOPSECRET"], KeyFormatError, "this text has 9"),
    "another alphabet": ({"a": "x"}, ["!" * 43], KeyFormatError, "alphabet"),
    "a surrogate": ('{"a": "\\ud800"}', [], EncodingError, "'a'"),
    "an infinity": ('{"a": 1e999}', [], EncodingError, "'a'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sealed_is_refused_and_left_as_it_is(folder, target, name):
    content, keys, error, words = REFUSED[name]
    source = write(folder / "secrets.json", content)
    before = source.read_bytes()
    with pytest.raises(error, match=words) as caught:
        migrate(source, target, ONE, keys)
    assert names(folder) == ["secrets.json"]
    assert source.read_bytes() == before
    assert "TOPSECRET" not in str(caught.value)
    assert caught.value.__context__ is None
    assert all(key not in str(caught.value) for key in [FERNET_KEY, *keys])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602])
def test_plaintext_that_others_may_read_is_refused(folder, plain, target, mode):
    plain.chmod(mode)
    with pytest.raises(SecretsFileError, match=f"mode {mode:04o}.*chmod 600"):
        migrate(plain, target, ONE)
    assert names(folder) == ["secrets.json"]


def test_a_target_with_the_same_values_is_accepted(plain, target):
    migrate(plain, target, ONE)
    before = target.read_bytes()
    write(plain, dict(reversed(VALUES.items())))
    plain.with_name("secrets.json.bak").unlink()
    assert migrate(plain, target, BOTH).status == "migrated"
    assert target.read_bytes() == before
    assert not plain.exists()


@pytest.mark.parametrize("change", [{"slack": "other"}, {"number": 1}, {"more": 1}])
def test_a_target_with_other_values_is_never_overwritten(folder, plain, target, change):
    for name, value in {**VALUES, **change}.items():
        store(target, name, value, ONE)
    before = target.read_bytes()
    with pytest.raises(
        SecretsFileError, match=f"{next(iter(change))}.*not overwritten"
    ):
        migrate(plain, target, ONE)
    assert target.read_bytes() == before
    assert names(folder) == ["secrets.enc", "secrets.json"]


def test_a_target_is_not_compared_with_what_is_no_json(plain, target):
    store(target, "a", 1, ONE)
    write(plain, '{"a": 1e999}')
    with pytest.raises(EncodingError, match="'a'"):
        migrate(plain, target, ONE)


def test_true_is_not_one(plain, target):
    store(target, "a", True, ONE)
    write(plain, {"a": 1})
    with pytest.raises(SecretsFileError, match="'a'"):
        migrate(plain, target, ONE)


@pytest.mark.parametrize("make", [dict, tokens], ids=["plaintext", "fernet"])
def test_a_target_that_is_not_sealed_is_never_overwritten(plain, target, make):
    write(target, make({"a": "TOPSECRET"}))
    before = target.read_bytes()
    with pytest.raises(SecretsFileError, match="not a sealed secrets file"):
        migrate(plain, target, ONE, [FERNET_KEY])
    assert target.read_bytes() == before
    assert plain.exists()


def test_a_target_under_another_keyring_is_never_overwritten(plain, target):
    store(target, "slack", VALUES["slack"], Keyring([Key(1, b"x" * 32)]))
    with pytest.raises(UnknownKeyError):
        migrate(plain, target, ONE)
    assert plain.exists()


def test_a_backup_that_is_something_else_is_never_overwritten(folder, plain, target):
    backup = write(folder / "secrets.json.bak", {"older": "TOPSECRET"})
    with pytest.raises(SecretsFileError, match="is not overwritten"):
        migrate(plain, target, ONE)
    assert json.loads(backup.read_text()) == {"older": "TOPSECRET"}
    assert names(folder) == ["secrets.json", "secrets.json.bak"]


def test_what_was_written_is_read_back_before_the_source_goes(
    folder, plain, target, monkeypatch
):
    seal = SecretCipher.seal
    wrong = lambda self, name, value: seal(self, name, "another")  # noqa: E731
    monkeypatch.setattr(SecretCipher, "seal", wrong)
    with pytest.raises(VerificationError, match="'slack'"):
        migrate(plain, target, ONE)
    assert names(folder) == ["secrets.json"]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_write_of_the_application_meanwhile_is_not_lost(
    folder, plain, target, monkeypatch, in_place
):
    seal = SecretCipher.seal

    def meanwhile(self, name, value):
        write(folder / "new", {"slack": "TOPSECRET-new"}).replace(plain)
        return seal(self, name, value)

    monkeypatch.setattr(SecretCipher, "seal", meanwhile)
    with pytest.raises(SecretsFileError, match="changed by another program"):
        migrate(plain, plain if in_place else target, ONE)
    assert json.loads(plain.read_text()) == {"slack": "TOPSECRET-new"}
    assert "secrets.json.bak" not in names(folder)


def test_a_symbolic_link_leads_to_the_file_that_is_replaced(folder, tmp_path):
    path = write(tmp_path / "real.enc", tokens(TEXTS))
    link = folder / "secrets.enc"
    link.symlink_to(path)
    migrate(link, link, ONE, [FERNET_KEY])
    assert link.is_symlink()
    assert dict(SecretsFile.open(link, ONE)) == TEXTS
    assert names(folder) == ["secrets.enc"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_file_stays_its_owner(plain, target):
    os.chown(plain, 12345, 23456)
    migrate(plain, target, ONE)
    SecretsFile.open(target, BOTH).rotate()
    found = target.stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)


def test_a_file_system_without_second_names(folder, plain, target, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    migrate(plain, target, ONE)
    SecretsFile.open(target, BOTH).rotate()
    assert names(folder) == ["secrets.enc", "secrets.json.bak"]
    rollback(target, BOTH)
    assert json.loads(plain.read_text()) == VALUES
    assert modes(folder) == {0o600}


def test_every_file_is_private_at_every_moment(folder, plain, target, monkeypatch):
    seen = set()
    for name in ("fsync", "link", "replace", "rename", "unlink"):
        real = getattr(os, name)

        def watched(*arguments, real=real, **options):
            seen.update((path.name, path.stat().st_mode) for path in folder.iterdir())
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, watched)
    migrate(plain, target, ONE)
    SecretsFile.open(target, BOTH).rotate()
    (folder / "secrets.json.bak").unlink()
    rollback(target, BOTH)
    wanted = {".secrets.enc.tmp", ".secrets.json.tmp", ".secrets.enc.before"}
    assert wanted <= {name for name, _ in seen}
    assert {stat.S_IMODE(mode) for _, mode in seen} == {0o600}


def test_content_and_names_are_on_the_disk_before_the_source_goes(
    plain, target, monkeypatch
):
    steps = []

    def record(name):
        real = getattr(os, name)

        def recorded(first, *rest, **options):
            kind = ""
            if name == "fsync":
                kind = " folder" if stat.S_ISDIR(os.fstat(first).st_mode) else " file"
            steps.append(name + kind)
            return real(first, *rest, **options)

        monkeypatch.setattr(os, name, recorded)

    for name in ("fsync", "link", "replace"):
        record(name)
    migrate(plain, target, ONE)
    moved = ["fsync file", "link", "fsync folder", "replace", "fsync folder"]
    assert steps == moved
    steps.clear()
    SecretsFile.open(target, BOTH).rotate()
    assert steps == ["fsync file", "link", "fsync folder", *moved[3:], "fsync folder"]


def test_a_disk_that_is_full(folder, plain, target, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SecretsFileError, match="No space left.*run the same"):
            migrate(plain, target, ONE)
    assert names(folder) == ["secrets.json"]
    assert migrate(plain, target, ONE).status == "migrated"


# Two at once


def test_two_migrations_at_once(folder, plain, target):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: migrate(plain, target, ONE).status, range(8)))
    assert sorted(made) == ["already"] * 7 + ["migrated"]
    assert dict(SecretsFile.open(target, ONE)) == VALUES
    assert names(folder) == ["secrets.enc", "secrets.json.bak"]


def test_stores_and_rotations_at_once_lose_nothing(folder, target):
    def work(number):
        if number % 5 == 0 and target.exists():
            SecretsFile.open(target, BOTH).rotate()
        store(target, f"name {number}", number, ONE if number % 2 else BOTH)

    store(target, "name 0", 0, ONE)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert dict(SecretsFile.open(target, BOTH)) == {f"name {n}": n for n in range(40)}
    assert names(folder) == ["secrets.enc"]


def test_a_lock_that_is_held_for_long_is_named(plain, target, monkeypatch):
    monkeypatch.setattr(lock_module, "_WAIT", 0.1)
    errors = []

    def wait():
        try:
            migrate(plain, target, ONE)
        except SecretsFileError as error:
            errors.append(str(error))

    with locked(target):
        other = threading.Thread(target=wait)
        other.start()
        other.join()
    assert len(errors) == 1
    assert "another process is writing" in errors[0]
    assert migrate(plain, target, ONE).status == "migrated"


def test_a_lock_whose_file_was_removed_meanwhile_is_none(target, monkeypatch):
    flock, calls = fcntl.flock, []

    def late(descriptor, how):
        calls.append(descriptor)
        if len(calls) == 1:
            target.with_name(".secrets.enc.lock").unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(target):
        assert len(calls) == 2


# The way back


def test_rollback_restores_the_backup(folder, plain, target):
    before = plain.read_bytes()
    migrate(plain, target, ONE)
    SecretsFile.open(target, BOTH).rotate()
    report = rollback(target, BOTH)
    assert (report.from_backup, report.total) == (True, len(VALUES))
    assert plain.read_bytes() == before
    assert names(folder) == ["secrets.enc", "secrets.json"]
    assert modes(folder) == {0o600}
    assert migrate(plain, target, BOTH).status == "migrated"


def test_rollback_without_a_backup_opens_the_sealed_file(folder, plain, target):
    migrate(plain, target, ONE)
    (folder / "secrets.json.bak").unlink()
    store(target, "more", "TOPSECRET", ONE)
    assert not rollback(target, ONE).from_backup
    assert json.loads(plain.read_text()) == {**VALUES, "more": "TOPSECRET"}
    assert modes(folder) == {0o600}
    assert rollback(target, ONE).total == len(VALUES) + 1


def test_rollback_of_a_file_that_was_migrated_in_place(folder, target):
    write(target, tokens(TEXTS))
    before = target.read_bytes()
    migrate(target, target, ONE, [FERNET_KEY])
    with pytest.raises(SecretsFileError, match="--fernet-key-env"):
        rollback(target, ONE)
    rollback(target, ONE, fernet_keys=[FERNET_KEY])
    assert target.read_bytes() == before
    assert names(folder) == ["secrets.enc"]


def test_rollback_restores_no_backup_that_is_outdated(folder, plain, target):
    migrate(plain, target, ONE)
    store(target, "slack", "TOPSECRET-newer", ONE)
    before = (folder / "secrets.json.bak").read_bytes()
    with pytest.raises(SecretsFileError, match=r"'slack'.*Nothing was changed"):
        rollback(target, ONE)
    assert (folder / "secrets.json.bak").read_bytes() == before
    assert not plain.exists()


def test_rollback_overwrites_no_file_with_other_values(plain, target):
    migrate(plain, target, ONE)
    write(plain, {"slack": "TOPSECRET-other"})
    with pytest.raises(SecretsFileError, match="different values"):
        rollback(target, ONE)
    assert json.loads(plain.read_text()) == {"slack": "TOPSECRET-other"}


def test_rollback_of_a_damaged_file_changes_nothing(folder, plain, target):
    migrate(plain, target, ONE)
    change(target, "slack", sealed_values(target)[""])
    with pytest.raises(AuthenticationError, match="nothing was changed"):
        rollback(target, ONE)
    assert names(folder) == ["secrets.enc", "secrets.json.bak"]


def test_rollback_asks_which_of_two_backups(folder, plain, target):
    migrate(plain, target, ONE)
    write(folder / "secrets.enc.bak", tokens(TEXTS))
    with pytest.raises(SecretsFileError, match="--to"):
        rollback(target, ONE)
    assert rollback(target, ONE, to=plain).from_backup


def test_rollback_into_a_file_of_another_name(folder, plain, target):
    migrate(plain, target, ONE)
    other = folder / "other.json"
    assert not rollback(target, ONE, to=other).from_backup
    assert json.loads(other.read_text()) == VALUES
    with pytest.raises(SealedError, match=r"secrets.enc.bak is not there"):
        rollback(target, ONE, to=target)
