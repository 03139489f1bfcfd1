"""What takes the place of a value that cannot be opened, or must not be.

``on_error="mark"`` lets a listing survive one bad row: the attribute gives an
:class:`Unreadable`, which says why and raises as soon as it is used as a value.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn

from sqlalchemy_sealed.errors import DecryptionError, SealedError

__all__ = ["Breaker", "Ciphertext", "Unreadable", "refuse_marker"]


class Unreadable:
    """Stands for a value that cannot be opened.

    ``str``, ``repr`` and ``format`` show the reason, so that it can be listed.
    Comparing it, calling it true or false, iterating, indexing and calculating raise
    the error itself, and no sealed attribute takes it.

    Attributes:
        error: the name of the error: ``"UnknownKeyError"``, ``"AuthenticationError"``.
        reason: its message.

    """

    __slots__ = ("_error", "error", "reason")

    def __init__(self, error: DecryptionError) -> None:
        self.error = type(error).__name__
        self.reason = str(error)
        self._error = type(error)

    def __repr__(self) -> str:
        return f"<unreadable: {self.error}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def _raise(self, *_arguments: object) -> NoReturn:
        raise self._error(self.reason)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other or self._raise()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (_again, (self._error, self.reason))

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _raise
    __lt__ = __le__ = __gt__ = __ge__ = _raise
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _raise
    __truediv__ = __rtruediv__ = __mod__ = __rmod__ = __neg__ = __abs__ = _raise
    __int__ = __float__ = __index__ = __bytes__ = _raise


def _again(kind: type[DecryptionError], reason: str) -> Unreadable:
    return Unreadable(kind(reason))


class Ciphertext:
    """A stored form that is handed on without being opened.

    Attributes:
        stored: the envelope as it is in the database, bytes or text.

    """

    __slots__ = ("stored",)

    def __init__(self, stored: bytes | str) -> None:
        self.stored = stored

    def __repr__(self) -> str:
        return f"<ciphertext of {len(self.stored)} characters or bytes>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ciphertext) and self.stored == other.stored

    def __hash__(self) -> int:
        return hash(self.stored)


_WINDOW: Final = 64
_FEWEST: Final = 16


class Breaker:
    """Tells one bad row from a failure of everything.

    When more than half of the last 64 values failed, and 16 at least, the cause is not
    the rows: a key is missing, or the wrong one is bound. Then errors are raised again.
    """

    __slots__ = ("_last", "_lock")

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=_WINDOW)
        self._lock = threading.Lock()

    def guard(self, open_: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that gives a marker where ``open_`` fails."""

        def guarded(*arguments: Any) -> Any:
            error: DecryptionError | None = None
            try:
                value = open_(*arguments)
            except DecryptionError as caught:
                error = caught
            if error is None:
                self._last.append(False)
                return value
            return self._mark(error)

        return guarded

    def _mark(self, error: DecryptionError) -> Unreadable:
        with self._lock:
            self._last.append(True)
            failed = sum(self._last)
            total = len(self._last)
        if failed >= _FEWEST and failed * 2 > total:
            raise type(error)(
                f"{error}. {failed} of the last {total} values could not be opened: "
                "this is no single bad row, so it is not marked but raised"
            )
        return Unreadable(error)


def refuse_marker(value: object, name: str, error: type[SealedError]) -> None:
    """Refuse to write what stands for a value that could not be read."""
    if isinstance(value, Unreadable | Ciphertext):
        raise error(
            f"{name}: {value!r} is no value and is not written. The stored value is "
            "left as it is"
        )
