"""Values that change in place: ``encrypted(JSON, mutable=MutableDict)``."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import event
from sqlalchemy.ext.mutable import Mutable
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_sealed.holder import UnsealedValue

__all__ = ["MutableClass", "track", "watch_changes"]

MutableClass: TypeAlias = type[Mutable]
_OPENED: Final = "_sealed_opened"


def track(instance: Any, key: str, kind: type[Mutable], value: Any) -> Any:
    """Return a value that tells its instance when it changes."""
    tracked: Any = kind.coerce(key, value)
    if tracked is not None:
        tracked._parents[instance_state(instance)] = key  # noqa: SLF001 - as Mutable
    return tracked


def watch_changes(owner: type, key: str) -> None:
    """Have a value that changed in place sealed anew by the next flush."""

    def changed(target: Any, _initiator: Any) -> None:
        values = target.__dict__
        opened = values.get(_OPENED)
        if opened is not None and key in opened and opened[key][0] is values.get(key):
            values[key] = UnsealedValue(opened[key][1])

    event.listen(getattr(owner, key), "modified", changed)
