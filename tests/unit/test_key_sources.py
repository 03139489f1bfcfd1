"""Where keys are read from, and that no error repeats what was read."""

from __future__ import annotations

import os
import stat
import warnings

import pytest
from sealing import OTHER_ROOT, ROOT, failure, says

from sqlalchemy_sealed.errors import (
    ActiveKeyError,
    ConfigurationError,
    DuplicateKeyError,
    KeyFormatError,
    KeyPermissionError,
    KeyPermissionWarning,
    KeyStateError,
)
from sqlalchemy_sealed.keys.key import Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.keys.state import KeyState

ONE, TWO = Key(1, ROOT), Key(2, OTHER_ROOT)
T1, T2 = ONE.to_text(), TWO.to_text()
#: What must not occur in any message: the middles of both texts.
PARTS = [T1[15:35], T1[35:58], T1[-8:], T2[15:35], T2[35:58], T2[-8:]]


def fails(read, *arguments, **options):
    """Return the error of a read, after checking that it tells no secret."""
    error = failure(lambda: read(*arguments, **options))
    told = says(error)
    assert not [part for part in PARTS if part in told]
    return error


@pytest.fixture
def env(monkeypatch):
    """Return a function that sets SEALED_KEYS and reads it."""

    def read(text):
        monkeypatch.setenv("SEALED_KEYS", text)
        return Keyring.from_env()

    return read


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a key file and reads it."""
    path = tmp_path / "keys.toml"

    def read(content, mode=0o600):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return Keyring.from_file(path)

    return read


@pytest.fixture
def directory(tmp_path):
    """Return a function that writes files of mode 0400 and reads the directory."""

    def read(files, mode=0o400, **options):
        for name, content in files.items():
            path = tmp_path / name
            path.write_text(content)
            path.chmod(mode)
        return Keyring.from_directory(tmp_path, **options)

    return read


# The environment


@pytest.mark.parametrize(
    "text",
    [
        f"active=2 {T1} {T2}",
        f"{T1},{T2},active=2",
        f"  {T2}\n\tactive=2\r\n{T1} , ",
    ],
    ids=["spaces", "commas", "lines"],
)
def test_a_keyring_is_read_from_the_environment(env, text):
    keys = env(text)
    assert keys.keys == (ONE, TWO)
    assert keys.active == TWO


def test_the_variable_may_have_another_name(monkeypatch):
    monkeypatch.setenv("APP_KEYS", f"active=1 {T1}")
    assert Keyring.from_env("APP_KEYS").active == ONE


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("SEALED_KEYS", raising=False)
    error = fails(Keyring.from_env)
    assert type(error) is ConfigurationError
    assert "SEALED_KEYS is not set" in str(error)


def test_an_empty_variable_is_not_set(env):
    assert "is not set" in str(fails(env, " \n "))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{T1}", "names 0 active"),
        (f"{T1} {T2}", "names 0 active"),
        (f"active=1 active=1 {T1}", "names 2 active"),
        (f"active=1 active=2 {T1} {T2}", "names 2 active"),
        (f"active= {T1}", "not a number"),
        (f"active=one {T1}", "not a number"),
        (f"active=-1 {T1}", "not a number"),
        (f"active={T2} {T1}", "not a number"),
        (f"active=3 {T1} {T2}", "3 is not in the keyring"),
        ("active=1", "not in the keyring, which has: none"),
    ],
    ids=lambda x: x[:14].replace(" ", "_"),
)
def test_exactly_one_active_version_is_named_in_the_environment(env, text, error):
    """The highest version is never taken by itself; nor is one of two."""
    found = fails(env, text)
    assert type(found) is ActiveKeyError
    assert error in str(found)


@pytest.mark.parametrize(
    "text",
    [
        f"active=1 {T1} {T2[:-1]}",
        f"active=1 {T1} {T2[:-1]}{'1' if T2[-1] == '0' else '0'}",
        f"active=1 {T1} {T2[:40]}",
        f"active=1 {T1} '{T2}'",
        f"active=1 {T1} key={T2}",
        f"active=1 {T1} sealed_index{T2[11:]}",
    ],
    ids=["short", "typo", "cut", "quotes", "name", "kind"],
)
def test_a_damaged_item_is_named_by_its_number(env, text):
    error = fails(env, text)
    assert type(error) is KeyFormatError
    assert "SEALED_KEYS, item 3: " in str(error)
    assert error.__context__ is None


@pytest.mark.parametrize(
    "second", [T1, Key(2, ROOT).to_text(), Key(1, OTHER_ROOT).to_text()]
)
def test_a_key_or_a_version_twice_is_refused(env, second):
    assert type(fails(env, f"active=1 {T1} {second}")) is DuplicateKeyError


def test_an_active_version_of_absurd_length_is_our_error(env):
    with pytest.raises(ConfigurationError):
        env(f"active={'9' * 5000} {T1}")


# The file


def toml(*keys, active=1, more=""):
    listed = ", ".join(f'"{key}"' for key in keys)
    return f"active = {active}\nkeys = [{listed}]\n{more}\n"


def test_a_keyring_is_read_from_a_file(file):
    keys = file(toml(T1, T2, active=2))
    assert keys.keys == (ONE, TWO)
    assert keys.active == TWO


def test_a_file_may_state_what_became_of_other_versions(file):
    keys = file(toml(T1, T2, active=2, more='[states]\n1 = "suspended"'))
    assert keys.state(1) is KeyState.SUSPENDED


@pytest.mark.parametrize(
    "bit",
    [
        stat.S_IRGRP,
        stat.S_IWGRP,
        stat.S_IXGRP,
        stat.S_IROTH,
        stat.S_IWOTH,
        stat.S_IXOTH,
    ],
)
def test_a_file_that_others_may_touch_is_refused(file, bit):
    error = fails(file, toml(T1), 0o600 | bit)
    assert type(error) is KeyPermissionError
    assert f"(mode {0o600 | bit:04o}); run: chmod 600 " in str(error)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_its_owner_may_touch_is_read(file, mode):
    assert file(toml(T1), mode).active == ONE


def test_a_link_is_judged_by_the_file_behind_it(file, tmp_path):
    fails(file, toml(T1), 0o644)
    (tmp_path / "link").symlink_to(tmp_path / "keys.toml")
    assert type(fails(Keyring.from_file, tmp_path / "link")) is KeyPermissionError


def test_a_file_that_is_not_there_is_named(tmp_path):
    error = fails(Keyring.from_file, str(tmp_path / "nowhere.toml"))
    assert type(error) is ConfigurationError
    assert "nowhere.toml: No such file" in str(error)


def test_a_directory_is_no_file(tmp_path):
    assert "Is a directory" in str(fails(Keyring.from_file, tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        f"active = 1\nkeys = [{T1}]",
        f'active = 1\nkeys = ["{T1}"',
        f"{T1}\n",
        f'active = 1\nactive = 1\nkeys = ["{T1}"]',
        toml(T1).encode("utf-16"),
        b"\xff" + T1.encode(),
    ],
    ids=["no quotes", "no bracket", "no table", "twice", "UTF-16", "binary"],
)
def test_a_file_that_is_no_toml_is_not_quoted(file, content):
    """The parser's own error would repeat a line of the file."""
    error = fails(file, content)
    assert str(error).endswith("keys.toml is not valid TOML")
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("content", "error", "hint"),
    [
        (toml(T1, more='key = "x"'), ConfigurationError, "unknown entries (1)"),
        (toml(T1, more=f'{T2} = "x"'), ConfigurationError, "unknown entries (1)"),
        ("active = 1", ConfigurationError, "write keys = ["),
        (f'active = 1\nkeys = "{T1}"', ConfigurationError, "write keys = ["),
        (f'active = 1\nkeys = ["{T1}", 5]', ConfigurationError, "write keys = ["),
        (f'keys = ["{T1}"]', ActiveKeyError, "write active = "),
        (toml(T1, active='"1"'), ActiveKeyError, "write active = "),
        (toml(T1, active="true"), ActiveKeyError, "write active = "),
        (toml(T1, active="1.0"), ActiveKeyError, "write active = "),
        (toml(T1, active="[1, 2]"), ActiveKeyError, "write active = "),
        (toml(T1, T2, active=3), ActiveKeyError, "3 is not in the keyring"),
        (toml(), ConfigurationError, "not in the keyring"),
        (toml(T1, T2[:-2]), KeyFormatError, "keys.toml, key 2: "),
        (toml(T1, T1), DuplicateKeyError, "same version"),
        (toml(T1, more='[states]\n1 = "asleep"'), ConfigurationError, "[states]"),
        (toml(T1, more='[states]\nv1 = "active"'), ConfigurationError, "[states]"),
        (toml(T1, more='[states]\n9 = "suspended"'), KeyStateError, "unknown"),
        (toml(T1, more='[states]\n1 = "suspended"'), ActiveKeyError, "also suspended"),
        (toml(T1, T2, more='[states]\n2 = "active"'), ActiveKeyError, "several"),
    ],
    ids=lambda x: (
        x[:30].replace("\n", " ") if isinstance(x, str) and T1 not in x else ""
    ),
)
def test_a_file_of_another_form_is_explained(file, content, error, hint):
    found = fails(file, content)
    assert isinstance(found, error)
    assert hint in str(found)
    assert found.__context__ is None


@pytest.mark.parametrize(
    "states", ['"suspended"', "3", "[]", '[["1", "suspended"]]', '{1 = ["suspended"]}']
)
def test_states_of_another_form_are_refused(file, states):
    """A suspended key must not become readable through a slip in the file."""
    fails(file, toml(T1, T2, active=2, more=f"states = {states}"))


# The directory


def test_a_keyring_is_read_from_a_directory(directory):
    keys = directory(
        {"enc_key_v1": T1, "enc_key_v2": T2 + "\n", "enc_key_active": "2\n"}
    )
    assert keys.keys == (ONE, TWO)
    assert keys.active == TWO


def test_the_active_version_may_be_an_argument(directory):
    assert directory({"enc_key_v1": T1, "enc_key_v2": T2}, active=1).active == ONE


def test_the_argument_is_stronger_than_the_file(directory):
    files = {"enc_key_v1": T1, "enc_key_v2": T2, "enc_key_active": "2"}
    assert directory(files, active=1).active == ONE


def test_the_files_may_have_another_prefix_and_end_in_txt(directory):
    keys = directory({"db.v1.txt": T1, "dbxv2": T2}, active=1, prefix="db.")
    assert keys.keys == (ONE,)


def test_other_files_are_left_alone(directory):
    others = {"README": "x", "other_v1": "x", "enc_key_v1.bak": "x", "..data": "x"}
    assert directory({"enc_key_v1": T1, **others}, active=1).keys == (ONE,)


def test_many_versions_are_sorted_by_number(directory):
    keys = [Key(n, bytes((n,)) * 32) for n in (2, 10, 9)]
    read = directory({f"enc_key_v{k.version}": k.to_text() for k in keys}, active=9)
    assert [k.version for k in read] == [2, 9, 10]


@pytest.mark.parametrize(
    ("files", "error", "hint"),
    [
        ({}, ConfigurationError, "has no file enc_key_v1"),
        ({"enc_key_1": T1, "enc_key_v01": T1}, ConfigurationError, "has no file"),
        ({"enc_key_v1": T2}, KeyFormatError, "enc_key_v1 holds key version 2"),
        (
            {"enc_key_v1": T1, "enc_key_v2": T1},
            KeyFormatError,
            "v2 holds key version 1",
        ),
        ({"enc_key_v1": T1}, ActiveKeyError, "write its number into enc_key_active"),
        ({"enc_key_v1": T1, "enc_key_v2": T2}, ActiveKeyError, "does not name"),
        ({"enc_key_v1": T1, "enc_key_active": ""}, ActiveKeyError, "not a number"),
        ({"enc_key_v1": T1, "enc_key_active": "1 2"}, ActiveKeyError, "not a number"),
        ({"enc_key_v1": T1, "enc_key_active": "v1"}, ActiveKeyError, "not a number"),
        ({"enc_key_v1": T1, "enc_key_active": T2}, ActiveKeyError, "not a number"),
        ({"enc_key_v1": T1, "enc_key_active": "2"}, ActiveKeyError, "2 is not in"),
        ({"enc_key_v1": "", "enc_key_active": "1"}, KeyFormatError, "enc_key_v1: "),
        (
            {"enc_key_v1": T1[:-1], "enc_key_active": "1"},
            KeyFormatError,
            "enc_key_v1: ",
        ),
        ({"enc_key_v1": T1 + "é", "enc_key_active": "1"}, KeyFormatError, "v1: "),
        (
            {"enc_key_v1": T1, "enc_key_v1.txt": T1, "enc_key_active": "1"},
            DuplicateKeyError,
            "same version",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_directory_of_another_form_is_explained(directory, files, error, hint):
    found = fails(directory, files)
    assert type(found) is error
    assert hint in str(found)
    assert found.__context__ is None


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_directory_that_is_not_there_is_named(tmp_path, name):
    (tmp_path / "file").write_text(T1)
    error = fails(Keyring.from_directory, tmp_path / name)
    assert f"{name} does not exist" in str(error)


def test_a_directory_in_the_place_of_a_secret_is_named(tmp_path):
    (tmp_path / "enc_key_v1").mkdir()
    assert "Is a directory" in str(fails(Keyring.from_directory, tmp_path, 1))


@pytest.mark.parametrize("mode", [0o444, 0o644, 0o604])
def test_a_mounted_secret_that_everybody_reads_only_warns(directory, mode):
    """Docker and Kubernetes mount secrets that way."""
    with pytest.warns(
        KeyPermissionWarning, match="enc_key_v1 can be read by every"
    ) as told:
        assert directory({"enc_key_v1": T1}, mode, active=1).active == ONE
    assert not [part for part in PARTS if part in str(told[0].message)]


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_a_mounted_secret_of_owner_or_group_does_not_warn(directory, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert directory({"enc_key_v1": T1}, mode, active=1).active == ONE


def test_the_warning_points_to_the_line_that_reads_the_directory(tmp_path):
    (tmp_path / "enc_key_v1").write_text(T1)
    (tmp_path / "enc_key_v1").chmod(0o644)
    with pytest.warns(KeyPermissionWarning) as told:
        Keyring.from_directory(tmp_path, 1)
    assert told[0].filename == __file__


def test_the_marker_of_the_active_version_is_no_secret(directory, tmp_path):
    directory({"enc_key_v1": T1}, active=1)
    (tmp_path / "enc_key_active").write_text("1")
    (tmp_path / "enc_key_active").chmod(0o644)
    assert Keyring.from_directory(tmp_path).active == ONE


def test_no_source_writes_anything(tmp_path, file):
    file(toml(T1))
    assert os.listdir(tmp_path) == ["keys.toml"]
