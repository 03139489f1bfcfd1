"""The exceptions: one tree, and none that SQLAlchemy would wrap."""

from __future__ import annotations

import inspect
import re

import pytest
from sqlalchemy.exc import DontWrapMixin

from sqlalchemy_sealed import errors

EXCEPTIONS = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value.__module__ == errors.__name__
}
ERRORS = {n: e for n, e in EXCEPTIONS.items() if issubclass(e, errors.SealedError)}


def drawn() -> dict[str, str]:
    """Return child -> parent as the module's docstring draws it."""
    parents, path = {}, ["SealedError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│   |    )*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            del path[depth:]
            parents[match[2]] = path[-1]
            path.append(match[2])
    return parents


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_every_error_reaches_the_user_unwrapped(error):
    """SQLAlchemy would print the parameters, which are plaintext while binding."""
    assert issubclass(error, DontWrapMixin)
    assert issubclass(error, Exception)


def test_all_lists_every_exception():
    assert sorted(EXCEPTIONS) == errors.__all__


def test_the_tree_is_the_one_that_the_docstring_draws():
    real = {name: error.__mro__[1].__name__ for name, error in ERRORS.items()}
    del real["SealedError"]
    assert drawn() == real


def test_the_only_exceptions_outside_the_tree_are_warnings():
    outside = set(EXCEPTIONS) - set(ERRORS)
    assert outside == {"KeyPermissionWarning", "PlaintextWarning"}
    assert all(issubclass(EXCEPTIONS[name], UserWarning) for name in outside)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_every_error_says_in_its_docstring_when_it_is_raised(error):
    assert error.__doc__
    assert error.__doc__.strip().endswith(".")


def test_an_error_of_one_branch_is_not_caught_as_another():
    branches = {
        errors.ConfigurationError,
        errors.DecryptionError,
        errors.CiphertextOnlyError,
        errors.EncodingError,
        errors.QueryError,
        errors.ReencryptionError,
        errors.SecretHandlingError,
        errors.WouldBlockError,
    }
    assert set(errors.SealedError.__subclasses__()) == branches
    for error in set(ERRORS.values()) - {errors.SealedError}:
        assert sum(issubclass(error, branch) for branch in branches) == 1
