"""Sealing in the unit of work: before a row is inserted or updated."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import instance_state, set_attribute

from sqlalchemy_sealed.cipher import FieldCipher, cipher_of
from sqlalchemy_sealed.declared import before_sealing
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    CiphertextOnlyError,
    DecryptionError,
)
from sqlalchemy_sealed.generated import fetch_keys
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.indexer import indexer_of
from sqlalchemy_sealed.opening import remember
from sqlalchemy_sealed.placement import Placement
from sqlalchemy_sealed.scope import Binding, binding_of, is_ciphertext_only
from sqlalchemy_sealed.together import prepare_flush
from sqlalchemy_sealed.unsealed import is_unsealed

__all__ = ["seal_inserted", "seal_updated"]


def seal_inserted(placement: Placement, connection: Connection, target: Any) -> None:
    """Seal an attribute of a new row."""
    stored = target.__dict__.get(placement.key)
    if stored is None:
        return
    if placement.row_id is not None:
        fetch_keys(placement, connection, target)
    binding = binding_of(connection.dialect)
    if type(stored) is UnsealedValue:
        _seal(placement, connection, target, stored.value)
    else:
        _check_given(placement, binding, target, stored)


def seal_updated(placement: Placement, connection: Connection, target: Any) -> None:
    """Seal an attribute of a row that is updated, if it needs to be."""
    state = instance_state(target)
    stored = target.__dict__.get(placement.key)
    if type(stored) is UnsealedValue:
        _seal(placement, connection, target, stored.value)
        return
    changed = state.committed_state
    if any(name in changed for name in placement.bound):
        if stored is None and placement.key not in target.__dict__:
            stored = getattr(target, placement.key)
        if stored is not None and placement.key not in changed:
            if placement.field.unsealed is not None and is_unsealed(
                stored, placement.field.text
            ):
                return  # what is not sealed is bound to nothing
            _rebind(placement, connection, target, state, stored)
            return
    if stored is not None and placement.key in changed:
        _check_given(placement, binding_of(connection.dialect), target, stored)


def _seal(
    placement: Placement, connection: Connection, target: Any, value: Any
) -> None:
    if is_ciphertext_only():
        raise CiphertextOnlyError(
            f"{placement.name}: a value would be sealed inside ciphertext_only(); "
            "nothing was written. Write outside of the block"
        )
    binding = binding_of(connection.dialect)
    prepare_flush(placement, binding, target)
    tenant = placement.present_tenant(target)
    cipher = cipher_of(binding, placement.field, tenant)
    before = before_sealing(
        placement.type.inner, connection.dialect, placement.field.context
    )
    plain = value if before is None else before(value)
    if placement.row_id is None:
        stored = cipher.seal_and_stock(plain)
    else:
        stored = cipher.seal(plain, placement.present_row(target))
    # The attribute is marked as changed already; the history keeps the old value.
    target.__dict__[placement.key] = stored
    for term in placement.terms:
        computed = indexer_of(binding, term.index).term(plain, tenant)
        set_attribute(target, term.key, computed)
    remember(target, placement.key, stored, value)


def _rebind(
    placement: Placement,
    connection: Connection,
    target: Any,
    state: InstanceState[Any],
    stored: Any,
) -> None:
    """Seal a value for the row that its instance has become."""
    binding = binding_of(connection.dialect)
    former = cipher_of(binding, placement.field, placement.stored_tenant(state))
    plain = former.open_bytes(stored, placement.stored_row(state))
    value = former.field.codec.decode(plain)
    tenant = placement.present_tenant(target)
    cipher = cipher_of(binding, placement.field, tenant)
    set_attribute(
        target, placement.key, cipher.seal_bytes(plain, placement.present_row(target))
    )
    for term in placement.terms:
        computed = indexer_of(binding, term.index).term(value, tenant)
        set_attribute(target, term.key, computed)


def _check_given(
    placement: Placement, binding: Binding, target: Any, stored: Any
) -> None:
    """Refuse a stored form that was made for another row, and complete its terms."""
    if not placement.bound and not placement.terms:
        return
    tenant = placement.present_tenant(target)
    row = placement.present_row(target)
    cipher: FieldCipher = cipher_of(binding, placement.field, tenant)
    value = None
    refused = ""
    try:
        value = cipher.open(stored, row)
    except DecryptionError as error:
        refused = str(error)
    if refused:
        raise AuthenticationError(
            f"{placement.name}: the stored form that is written does not open in this "
            "row; it was sealed for another row or tenant. Assign the plaintext to the "
            f"attribute, which seals it anew ({refused})"
        )
    for term in placement.terms:
        computed = indexer_of(binding, term.index).term(value, tenant)
        set_attribute(target, term.key, computed)
