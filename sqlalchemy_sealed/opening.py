"""Reading a sealed attribute of an instance: which keys, which row, which value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_sealed.cipher import cipher_of
from sqlalchemy_sealed.declared import after_opening
from sqlalchemy_sealed.errors import AuthenticationError, SealedError
from sqlalchemy_sealed.fast import opener
from sqlalchemy_sealed.holder import OpenedValues, UnsealedValue
from sqlalchemy_sealed.indexer import indexer_of
from sqlalchemy_sealed.mutation import track
from sqlalchemy_sealed.placement import Placement
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.together import binding_of_instance, prepare_siblings
from sqlalchemy_sealed.unreadable import Breaker, Ciphertext, Unreadable

if TYPE_CHECKING:
    from sqlalchemy_sealed.attribute import EncryptedAttribute

__all__ = ["AttributeOpener", "remember"]

_OPENED: Final = "_sealed_opened"
_SESSIONS_LIMIT: Final = 256
_Open = Callable[[Any, Any], Any]


class AttributeOpener:
    """Opens the values of one attribute; remembers how, by session."""

    def __init__(self, attribute: EncryptedAttribute[Any]) -> None:
        self._attribute = attribute
        self._by_session: dict[tuple[int, type], _Open] = {}
        self._breaker = Breaker() if attribute.on_error == "mark" else None

    def open(self, instance: Any, stored: Any) -> Any:
        """Return the value of a stored form, and remember it on the instance."""
        if type(stored) is UnsealedValue:
            return stored.value
        state = instance_state(instance)
        session = state.session_id
        owner = type(instance)
        open_ = self._by_session.get((session, owner)) if session else None
        if open_ is None:
            open_ = self._resolve(state, owner, stored)
        value = open_(instance, stored)
        mutable = self._attribute.place(owner).mutable
        if mutable is not None and not isinstance(value, Unreadable):
            value = track(instance, self._attribute.key, mutable, value)
        values = instance.__dict__
        opened = values.get(_OPENED)
        if opened is None:
            opened = values[_OPENED] = OpenedValues()
        opened[self._attribute.key] = (stored, value)
        return value

    def unopened(self, stored: Any) -> Any:
        """Return a stored form as it is; what is not sealed yet, the block made not."""
        if type(stored) is UnsealedValue:
            return stored.value
        return Ciphertext(stored)

    def _resolve(self, state: InstanceState[Any], owner: type, stored: Any) -> _Open:
        placement = self._attribute.place(owner)
        binding, certain = binding_of_instance(state, stored, placement)
        open_ = _opening(placement, binding, certain)
        if binding.remote_keyring(placement.field.context) is not None:
            open_ = _prepared(open_, placement, binding)
        if self._breaker is not None:
            open_ = self._breaker.guard(open_)
        if state.session_id:
            if len(self._by_session) >= _SESSIONS_LIMIT:
                self._by_session.clear()
            self._by_session[state.session_id, owner] = open_
        return open_

    def holds(self, instance: Any, value: Any) -> bool:
        """Tell whether the instance holds this value already, without loading it."""
        stored = instance.__dict__.get(self._attribute.key)
        if stored is None:
            return False
        try:
            present = self._attribute.__get__(instance, type(instance))
        except SealedError:
            # What cannot be read may be replaced.
            return False
        if isinstance(present, Unreadable | Ciphertext):
            return False
        inner = self._attribute.place(type(instance)).type.inner
        if present is value:
            return True
        return type(present) is type(value) and bool(
            inner.compare_values(present, value)
        )


def remember(instance: Any, key: str, stored: Any, value: Any) -> None:
    """Keep a value beside the stored form it was just sealed to."""
    opened = instance.__dict__.get(_OPENED)
    if opened is None:
        opened = instance.__dict__[_OPENED] = OpenedValues()
    opened[key] = (stored, value)


def _opening(placement: Placement, binding: Binding, checked: bool) -> _Open:
    check = _checking(placement, binding) if checked else None
    if placement.row_id is None and placement.tenant is None:
        simple = opener(cipher_of(binding, placement.field))
        after = _after(placement, binding)
        if check is None and after is None:
            return lambda _instance, stored: simple(stored)

        def open_field(instance: Any, stored: Any) -> Any:
            value = simple(stored)
            if check is not None:
                check(instance, value, None)
            return value if after is None else after(value)

        return open_field
    return _bound_opening(placement, binding, check)


def _prepared(open_: _Open, placement: Placement, binding: Binding) -> _Open:
    def open_prepared(instance: Any, stored: Any) -> Any:
        prepare_siblings(placement, binding, instance, stored)
        return open_(instance, stored)

    return open_prepared


def _bound_opening(placement: Placement, binding: Binding, check: Any) -> _Open:
    after = _after(placement, binding)

    def open_bound(instance: Any, stored: Any) -> Any:
        state = instance_state(instance)
        tenant = placement.stored_tenant(state)
        row = placement.stored_row(state)
        value = cipher_of(binding, placement.field, tenant).open(stored, row)
        if check is not None:
            check(instance, value, tenant)
        return value if after is None else after(value)

    return open_bound


def _after(placement: Placement, binding: Binding) -> Callable[[Any], Any] | None:
    inner, context = placement.type.inner, placement.field.context
    return after_opening(inner, binding.dialect, context)


def _checking(
    placement: Placement, binding: Binding
) -> Callable[[Any, Any, str | None], None] | None:
    """Return the function that compares a value with its index terms.

    The terms of the version that is searched: nobody else would notice that they were
    exchanged between rows. A term that is not loaded, or NULL, is not checked.
    """
    if not placement.terms:
        return None
    key, index = placement.terms[0].key, placement.terms[0].index
    indexer = indexer_of(binding, index)

    def check(instance: Any, value: Any, tenant: str | None) -> None:
        term = instance.__dict__.get(key)
        if term is None or type(term) is not bytes:
            return
        if indexer.term(value, tenant) != term:
            raise AuthenticationError(
                f"{placement.field.context}: the value opens, but its index term in "
                f"{key!r} is not that of the value. Rows with exchanged terms are "
                "found under the wrong values: restore the term, or compute it anew by "
                "assigning the value"
            )

    return check
