"""Values that are written or read together: one call to the key source for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import InstanceState, object_session
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_sealed.errors import WouldBlockError
from sqlalchemy_sealed.holder import UnsealedValue
from sqlalchemy_sealed.placement import Placement, attributes_of
from sqlalchemy_sealed.scope import Binding, binding_of, binding_of_key, kid_of

__all__ = ["binding_of_instance", "open_all", "prepare_flush", "prepare_siblings"]


def binding_of_instance(
    state: InstanceState[Any], stored: Any, placement: Placement
) -> tuple[Binding, bool]:
    """Return the binding whose engine an instance belongs to.

    A detached instance belongs to none: its stored form names the key, and the binding
    that holds this key is taken; its index keys are then not always certain.
    """
    session = object_session(state.obj())
    if session is not None:
        try:
            bind = session.get_bind(mapper=state.mapper)
        except UnboundExecutionError:
            bind = None
        if bind is not None:
            return binding_of(bind.engine.dialect), True
    versions = {term.index.version for term in placement.terms}
    return binding_of_key(placement.field.context, stored, versions)


def prepare_flush(placement: Placement, binding: Binding, target: Any) -> None:
    """Prepare the keyring once for every value that the flush will seal."""
    keyring = binding.remote_keyring(placement.field.context)
    if keyring is None:
        return
    pending = target.__dict__.get(placement.key)
    if type(pending) is UnsealedValue and pending.is_prepared:
        return
    session = object_session(target)
    batch = [target] if session is None else [*session.new, *session.dirty, target]
    for instance in batch:
        for value in instance.__dict__.values():
            if type(value) is UnsealedValue:
                value.is_prepared = True
    keyring.prepare(())


def prepare_siblings(
    placement: Placement, binding: Binding, instance: Any, stored: Any
) -> None:
    """Prepare the keyring for an attribute of every instance that was loaded.

    Raises:
        WouldBlockError: the keyring would have to wait inside an event loop.

    """
    keyring = binding.remote_keyring(placement.field.context)
    if keyring is None or keyring.get(kid_of(stored)) is not None:
        return
    session = object_session(instance)
    siblings = [] if session is None else session.identity_map.values()
    kids = {kid_of(stored)}
    for sibling in siblings:
        found = sibling.__dict__.get(placement.key)
        if type(sibling) is type(instance) and isinstance(found, bytes | str):
            kids.add(kid_of(found))
    missing = {kid for kid in kids if kid and keyring.get(kid) is None}
    if _in_event_loop():
        raise WouldBlockError(
            f"{placement.name}: {len(missing)} keys have to be fetched, and reading an "
            "attribute cannot wait inside an event loop. Call "
            "`await open_all(objects)` after loading them"
        )
    keyring.prepare(missing)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def open_all(objects: Iterable[Any]) -> None:
    """Open every sealed attribute of instances that were loaded, with one key call.

    For asynchronous code with keys that have to be fetched: afterwards the attributes
    are read without waiting. Columns that were not loaded are left alone.

    Args:
        objects: instances of mapped classes; they may be of several.

    """
    found: list[tuple[Any, Placement, Any]] = []
    for instance in objects:
        for attribute in attributes_of(type(instance)):
            placement = attribute.place(type(instance))
            stored = instance.__dict__.get(placement.key)
            if isinstance(stored, bytes | str):
                found.append((instance, placement, stored))
    missing: dict[Any, set[bytes]] = {}
    for instance, placement, stored in found:
        state = instance_state(instance)
        binding, _ = binding_of_instance(state, stored, placement)
        keyring = binding.remote_keyring(placement.field.context)
        if keyring is not None and keyring.get(kid_of(stored)) is None:
            missing.setdefault(keyring, set()).add(kid_of(stored))
    for keyring, kids in missing.items():
        await asyncio.to_thread(keyring.prepare, kids)
    for instance, placement, _ in found:
        getattr(instance, placement.name.rpartition(".")[2])
