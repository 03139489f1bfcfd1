"""Writes alembic_ext/op.pyi from the operations: ``python tests/migrations/stub.py``."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import alembic_ext

PATH = Path(alembic_ext.__file__).with_name("op.pyi")
HEAD = '''
"""Alembic's ``op`` with the operations of this package, for type checkers.

Written by tests/migrations/stub.py from the operations themselves; do not edit.
"""

from alembic.op import *
'''


def operations():
    """Return the name and the class of every operation of ours."""
    for name in alembic_ext.__all__:
        kind = getattr(alembic_ext, name)
        if inspect.isclass(kind):
            for function, value in vars(kind).items():
                if isinstance(value, classmethod):
                    yield function, kind


def function_of(name, kind):
    """Return the function as it is called in a revision."""
    source = textwrap.dedent(inspect.getsource(getattr(kind, name)))
    [function] = ast.parse(source).body
    function.decorator_list = []
    del function.args.args[:2]  # the class, and what Alembic gives
    function.body = function.body[:1]  # the docstring
    return function


def imports_of(kind, functions):
    """Return the imports of a module that the annotations of functions need."""
    used = {
        node.id
        for function in functions
        for part in (function.args, function.returns)
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }
    module = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    return {
        f"from {node.module} import {alias.name}"
        for node in module.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in used
    }


def stub():
    """Return the text of the stub."""
    imports, functions = set(), []
    for name, kind in sorted(operations(), key=lambda found: found[0]):
        function = function_of(name, kind)
        imports |= imports_of(kind, [function])
        functions.append(ast.unparse(function))
    return "\n".join((HEAD.lstrip(), *sorted(imports), "", *functions)) + "\n"


if __name__ == "__main__":
    PATH.write_text(stub())
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        subprocess.run(["ruff", *command, str(PATH)], check=True)
