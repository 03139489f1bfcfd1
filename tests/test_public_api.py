"""What is public is listed, typed, documented, and gives no secret away."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil

import pytest

import sqlalchemy_sealed
from sqlalchemy_sealed import EncryptedType, Key, Keyring, SealedError

MODULES = [
    module.name
    for module in pkgutil.walk_packages(
        sqlalchemy_sealed.__path__, "sqlalchemy_sealed."
    )
]


def test_the_package_exports_exactly_what_it_lists():
    public = {
        name
        for name, value in vars(sqlalchemy_sealed).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and name != "annotations"
    }
    assert sorted(public) == sqlalchemy_sealed.__all__


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_lists_exists_and_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        value = getattr(module, public)
        own = getattr(value, "__module__", None) == name
        if own and (inspect.isclass(value) or inspect.isfunction(value)):
            assert value.__doc__, public


@pytest.mark.parametrize("make", [lambda k: k, lambda k: k.active], ids=["ring", "key"])
def test_no_view_of_a_key_shows_the_root(make):
    keyring = Keyring([Key(1, b"R" * 32)])
    secret = make(keyring)
    views = [
        repr(secret),
        str(secret),
        f"{secret}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert not any("RRRR" in view or "UlJS" in view for view in views)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(SealedError):
            pickle.dumps(secret, protocol)


def test_a_type_holds_no_key():
    kind = EncryptedType(sqlalchemy_sealed.types.sa.String, context="t.c")
    assert "key" not in repr(kind).lower()
    assert pickle.loads(pickle.dumps(kind)).context == "t.c"
