"""What stands in for a value where the value itself must not be seen.

Instances, statements, logs and pickles meet these objects instead of plaintext: their
``repr`` shows nothing, and what holds plaintext refuses to be pickled.
"""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy_sealed.errors import SecretHandlingError

__all__ = ["OpenedValues", "SearchValue", "UnsealedValue"]


class UnsealedValue:
    """A value that was assigned and is sealed by the next flush."""

    __slots__ = ("is_prepared", "row", "tenant", "value")

    def __init__(
        self, value: Any, row: bytes | None = None, tenant: str | None = None
    ) -> None:
        self.value = value
        self.row = row
        self.tenant = tenant
        #: Whether the keyring was told that it will be sealed.
        self.is_prepared = False

    def __repr__(self) -> str:
        return "<unsealed value>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "an instance with a sealed attribute that was assigned and not flushed is "
            "not pickled: it holds the value. Flush it first"
        )


class SearchValue:
    """A value to search for, in place of the value itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        # SQLAlchemy compares bound values while it looks for cached statements.
        return isinstance(other, SearchValue) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "<sealed search value>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretHandlingError(
            "a statement that searches a sealed attribute is not pickled: it holds the "
            "value; build it on the other side"
        )


class OpenedValues(dict[str, Any]):
    """The values an instance has opened, by attribute, beside what they came from.

    It is part of the instance's ``__dict__``. An entry counts only as long as the
    stored form is the same object, so refreshing and expiring need no notice.
    """

    def __repr__(self) -> str:
        return "<opened values>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: object) -> tuple[type[OpenedValues], tuple[()]]:
        # Pickles and copies open again.
        return (OpenedValues, ())
