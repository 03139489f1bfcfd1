"""Types that know the column they belong to."""

from __future__ import annotations

import weakref
from typing import Any, TypeVar

from sqlalchemy import Column, Table, event
from sqlalchemy.types import TypeDecorator

__all__ = ["OwnedType"]

_T = TypeVar("_T")


class OwnedType(TypeDecorator[_T]):
    """A type that is told when its column joins a table.

    One instance for several columns (a module constant, a mixin, an entry of
    ``type_annotation_map``) becomes one for each.
    """

    cache_ok = True
    __abstract__ = True
    _owner: weakref.ref[Column[Any]] | None = None

    def bind_to(self, column: Column[Any], table: Table) -> None:
        """Take what is needed from column and table."""
        raise NotImplementedError

    def _set_parent(self, parent: Any, outer: bool = False, **kwargs: Any) -> None:
        owner = self._owner() if self._owner else None
        if owner is not None and owner is not parent and owner.type is self:
            # Both columns would otherwise read with the context of the last one.
            own = self.copy()
            own._owner = None  # noqa: SLF001 - an instance of this class
            parent.type = own
            own._set_parent_with_dispatch(parent)  # noqa: SLF001 - as Column does
            return
        super()._set_parent(parent, outer=outer, **kwargs)
        self._owner = weakref.ref(parent)
        event.listen(parent, "after_parent_attach", _joined)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_owner": None}


def _joined(column: Column[Any], table: Any) -> None:
    if isinstance(column.type, OwnedType) and isinstance(table, Table):
        column.type.bind_to(column, table)
