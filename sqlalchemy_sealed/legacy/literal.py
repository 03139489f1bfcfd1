"""Python literals, as ``repr()`` wrote them into other people's columns.

Nothing is evaluated: constants, containers, and the five constructors whose ``repr()``
can be read back are taken from the syntax tree.
"""

from __future__ import annotations

import ast
import datetime as dt
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

__all__ = ["from_repr", "member_name"]

_CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    "Decimal": Decimal,
    "UUID": uuid.UUID,
    "datetime.date": dt.date,
    "datetime.datetime": dt.datetime,
    "datetime.time": dt.time,
    "datetime.timedelta": dt.timedelta,
}
#: Characters that are looked at: a syntax tree takes hundreds of times its text.
_LONGEST: Final = 1 << 18
_LARGEST_BITS: Final = 1 << 14
#: The escapes that repr() writes; at another one the parser would warn, and quote it.
_ESCAPES: Final = re.compile(r"(?:[^\\]|\\[\\'\"nrtxuU])*", re.DOTALL)
_MEMBER: Final = re.compile(r"<?(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*)(?:: .*>)?", re.DOTALL)


def from_repr(text: str) -> Any:
    """Return the value that a ``repr()`` describes.

    Raises:
        ValueError: it is no literal, or of another class, or too long to be looked at.

    """
    if len(text) > _LONGEST or not _ESCAPES.fullmatch(text):
        raise ValueError("no literal")
    try:
        return _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError("no literal") from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        pairs = zip(node.keys, node.values, strict=True)
        return {_name(key): _value(item) for key, item in pairs if key is not None}
    if isinstance(node, ast.Call):
        constructor = _CONSTRUCTORS.get(ast.unparse(node.func))
        if constructor is not None:
            return constructor(
                *map(_value, node.args),
                **{k.arg: _value(k.value) for k in node.keywords if k.arg},
            )
    raise ValueError("no literal")


def _constant(value: Any) -> Any:
    # What follows takes the square of its length.
    large = type(value) is int and value.bit_length() > _LARGEST_BITS
    if large or not isinstance(value, str | bytes | int | float | None):
        raise ValueError("no literal")
    return value


def _name(node: ast.expr) -> str:
    # Names of JSON; integers could be chosen so that they collide.
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("no literal")


def member_name(text: str) -> str:
    """Return the name of an enum's member: of ``<Color.RED: 1>``, or as it is."""
    found = _MEMBER.fullmatch(text)
    return found[1] if found else text
