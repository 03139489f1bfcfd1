"""What a comparator cannot see: one look at every compiled statement.

Functions, ORDER BY, GROUP BY, DISTINCT, casts, SQL expressions assigned to a sealed
column, unions and comparisons of different fields: all of them run without an error on
ciphertext, and answer wrongly or store plaintext. The lint walks a statement once,
when it is first executed, and marks it; later executions cost one attribute look-up.
``execution_options(sealed_lint=False)`` switches it off for a statement.

Not seen is what the ORM adds inside a subquery or a union only when it renders it:
loader criteria, and mapped SQL expressions of an entity selected there.

The rule is: a sealed column may appear where it is only carried along. Every other
place is refused, known or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.sql import dml, elements, functions, selectable, visitors

from sqlalchemy_sealed.lint.bound import check_sent
from sqlalchemy_sealed.lint.exact import find_exact, refuse_exact
from sqlalchemy_sealed.lint.reading import (
    CARRIERS,
    check_binary,
    check_boolean,
    check_children,
    check_compound,
    check_function,
    check_over,
    check_select,
    check_table_itself,
    check_unary,
    check_unknown,
    nothing,
)
from sqlalchemy_sealed.lint.telling import flat, refuse_any
from sqlalchemy_sealed.lint.writing import (
    check_insert,
    check_update,
    check_where,
    upsert_conditions,
    upsert_values,
)
from sqlalchemy_sealed.recheck import RECHECKED

__all__ = ["check_statement", "lint_cursor_execute"]

_MARK: Final = "_sqlalchemy_sealed_checked"
#: The field of a condition that is exact only if entities are compared afterwards.
_EXACT: Final = "_sqlalchemy_sealed_exact"


def lint_cursor_execute(
    _connection: Any,
    _cursor: Any,
    _statement: str,
    _parameters: Any,
    context: Any,
    _executemany: bool,
) -> None:
    """Check a statement before its first execution (``before_cursor_execute``)."""
    compiled = getattr(context, "compiled", None)
    if compiled is None:
        return
    exact = compiled.__dict__.get(_EXACT)
    if exact is not None and RECHECKED not in context.execution_options:
        refuse_exact(exact)
    if _MARK in compiled.__dict__:
        return
    if not context.execution_options.get("sealed_lint", True):
        return
    if compiled.statement is not None:
        found = find_exact(compiled.statement)
        if found is not None:
            compiled.__dict__[_EXACT] = found
            if RECHECKED not in context.execution_options:
                refuse_exact(found)
        check_statement(compiled.statement)
        check_sent(context)
        # What the ORM makes of it: eager loads, loader criteria, mapped expressions.
        core = getattr(compiled.compile_state, "statement", None)
        if core is not None and core is not compiled.statement:
            check_statement(core)
    compiled.__dict__[_MARK] = True


def check_statement(statement: Any) -> None:
    """Refuse a statement that would treat ciphertext as if it were a value.

    Raises:
        NotSearchableError: a function, operator or clause without a right answer.
        MixedFieldsError: values of different fields are brought together.

    """
    for element in visitors.iterate(statement):
        for kind, check in _CHECKS:
            if isinstance(element, kind):
                check(element)
                break
        else:
            check_unknown(element)
        if isinstance(element, dml.Insert):
            for value in upsert_values(element):
                check_statement(value)
            for condition in upsert_conditions(element):
                refuse_any(flat(condition), "WHERE by itself")
                check_statement(condition)


_CHECKS: Final[tuple[tuple[Any, Callable[[Any], None]], ...]] = (
    (Table, check_table_itself),
    (selectable.Select, check_select),
    (selectable.CompoundSelect, check_compound),
    (dml.Insert, check_insert),
    (dml.Update, check_update),
    (dml.Delete, check_where),
    (elements.BinaryExpression, check_binary),
    (functions.FunctionElement, check_function),
    (elements.UnaryExpression, check_unary),
    (elements.Over, check_over),
    (elements.BooleanClauseList, check_boolean),
    (elements.Tuple, check_children),
    (elements.ClauseList, nothing),
    (CARRIERS, nothing),
)
