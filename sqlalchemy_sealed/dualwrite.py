"""Dual write: a plaintext column and its sealed one, while values move between them.

Between the revision that adds a sealed column and the one that drops the plaintext,
both hold every value, so that either can be read, and everything can go back. Whoever
assigns one of the two attributes assigns both, and both are part of the UPDATE, even if
one of them looks unchanged: a job may have filled it since it was loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy import inspect as inspect_class
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified, instance_dict, set_attribute

from sqlalchemy_sealed.attribute import EncryptedAttribute
from sqlalchemy_sealed.columns import TWIN
from sqlalchemy_sealed.errors import ConfigurationError, EncodingError
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.types import EncryptedType

__all__ = ["dual_write"]

_mirroring: Final[ContextVar[bool]] = ContextVar(
    "sqlalchemy_sealed_mirroring", default=False
)


def dual_write(model: type, plain: str, sealed: str) -> None:
    """Have a model write a plaintext attribute and its sealed one together.

    Args:
        model: the mapped class.
        plain: the attribute of the plaintext column.
        sealed: the attribute of the sealed one: a column of ``EncryptedType``, or
            ``encrypted()``.

    A statement that writes one of the columns without the other is an error, in Core,
    too.

    Raises:
        ConfigurationError: the class is not mapped, or an attribute is something else.

    """
    mapper = _mapper(model)
    declared: Any = inspect_class(model).all_orm_descriptors.get(sealed)
    key = declared.key if isinstance(declared, EncryptedAttribute) else sealed
    for name in (plain, key):
        if name not in mapper.column_attrs:
            raise ConfigurationError(
                f"{model.__name__}.{name} is no attribute of a column: name the "
                "plaintext attribute and the sealed one, as the class has them"
            )
    columns = [mapper.column_attrs[name].columns[0] for name in (plain, key)]
    is_sealed = [isinstance(column.type, EncryptedType) for column in columns]
    if is_sealed != [False, True] or columns[0].table is not columns[1].table:
        raise ConfigurationError(
            f"{model.__name__}: {plain} is to be a plaintext column, and {sealed} a "
            "sealed one of the same table"
        )
    if columns[0].onupdate is not None or columns[1].onupdate is not None:
        raise ConfigurationError(
            f"{model.__name__}: onupdate= of {plain} or {sealed} would write one of "
            "them alone; assign the value in the application"
        )
    columns[0].info[TWIN] = columns[1].name
    columns[1].info[TWIN] = columns[0].name

    def to_plain(target: Any, value: Any) -> None:
        if key != sealed and value is not None:
            value = _unsealed(value, f"{model.__name__}.{sealed}")
        _set(target, plain, value)

    _mirror(getattr(model, plain), plain, lambda one, value: _set(one, sealed, value))
    _mirror(getattr(model, key), key, to_plain)


def _mapper(model: Any) -> Mapper[Any]:
    try:
        found = inspect_class(model)
    except NoInspectionAvailable:
        found = None
    if not isinstance(found, Mapper):
        raise ConfigurationError(
            f"dual_write() takes a mapped class, not {model!r}; call it after the "
            "class is defined"
        )
    return found


def _unsealed(value: Any, name: str) -> Any:
    if type(value) is not UnsealedValue:
        raise EncodingError(
            f"{name}: a stored form is assigned, whose plaintext the other column of "
            "dual_write() needs. Assign the plaintext to the attribute"
        )
    return value.value


def _mirror(attribute: Any, key: str, write: Callable[[Any, Any], None]) -> None:
    def assigned(target: Any, value: Any, _old: Any, _initiator: Any) -> None:
        if _mirroring.get():
            return
        token = _mirroring.set(True)
        try:
            if key in instance_dict(target):
                # Even what looks unchanged is written: it may have changed since.
                flag_modified(target, key)
            write(target, value)
        finally:
            _mirroring.reset(token)

    event.listen(attribute, "set", assigned, propagate=True)


def _set(target: Any, name: str, value: Any) -> None:
    declared = inspect_class(type(target)).all_orm_descriptors.get(name)
    if not isinstance(declared, EncryptedAttribute):
        if name in instance_dict(target):
            flag_modified(target, name)
        set_attribute(target, name, value)
        return
    for key in declared.columns:
        if key in instance_dict(target):
            flag_modified(target, key)
        # An equal value would be kept, and is to be written: it is set anew.
        set_attribute(target, key, None)
    setattr(target, name, value)
