"""The indexer: computes the terms of one blind index with the keys of a binding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy_sealed.associated import index_scope
from sqlalchemy_sealed.codec.base import Codec
from sqlalchemy_sealed.errors import EncodingError
from sqlalchemy_sealed.normalize import Normalizer
from sqlalchemy_sealed.scope import Binding
from sqlalchemy_sealed.suites import Mac

__all__ = ["IndexField", "IndexPart", "Indexer", "indexer_of", "message_of"]

_TENANTS_LIMIT: Final = 4096
_NULL_PART: Final = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class IndexPart:
    """How one value becomes bytes: its codec, after its normaliser."""

    codec: Codec
    normalizer: Normalizer | None = None


@dataclass(frozen=True)
class IndexField:
    """What an index column declares: everything but the keys.

    Args:
        context: the field id, or those of a compound index with ``+`` between them.
        name: the name of the index.
        parts: one for each value; more than one make a compound index.
        bits: length of a term.
        version: version of the index key.
        tenant_scoped: whether every tenant has a derived key of its own.

    """

    context: str
    name: str
    parts: tuple[IndexPart, ...]
    bits: int
    version: int
    tenant_scoped: bool = False

    @property
    def length(self) -> int:
        """Bytes of a term."""
        return (self.bits + 7) // 8

    @property
    def normalizer(self) -> tuple[str, int] | None:
        """Id and version of the normalisers, for the derivation."""
        used = [part.normalizer for part in self.parts]
        if not any(used):
            return None
        ids = "+".join(one.id if one else "" for one in used)
        # Of a compound index every normaliser is named with its version.
        if len(used) > 1:
            ids = "+".join(f"{one.id}:{one.version}" if one else "" for one in used)
        return ids, used[0].version if len(used) == 1 and used[0] else 1


class Indexer:
    """Computes terms; one per index, key version and binding."""

    def __init__(self, field: IndexField, binding: Binding) -> None:
        self.field = field
        self._binding = binding
        self._macs: dict[str | None, Mac] = {}
        excess = -field.bits % 8
        self._mask = 0xFF << excess & 0xFF if excess else None
        binding.watch(self)

    def clear_keys(self) -> None:
        """Forget every derived key: the keyring has changed."""
        self._macs.clear()

    def term(self, value: Any, tenant: str | None = None) -> bytes | None:
        """Return the index term of a value, or ``None`` if it has none.

        Args:
            value: the value, or a tuple of them for a compound index.
            tenant: the tenant id, where the index is tenant-scoped.

        Raises:
            EncodingError: the value does not fit, or the tenant is missing.
            KeyStateError: the keyring has no such index key version.

        """
        message = message_of(self.field, value)
        if message is None:
            return None
        digest = self._mac(tenant).digest(message)[: self.field.length]
        if self._mask is None:
            return digest
        return digest[:-1] + bytes((digest[-1] & self._mask,))

    def _mac(self, tenant: str | None) -> Mac:
        mac = self._macs.get(tenant)
        if mac is None:
            field = self.field
            if field.tenant_scoped is (tenant is None):
                raise EncodingError(
                    f"{field.context}: the index {field.name!r} is separate for every "
                    "tenant; name one: with tenant(...):"
                    if tenant is None
                    else f"{field.context}: the index {field.name!r} has no tenants"
                )
            keyring = self._binding.keyring(field.context)
            revision = keyring.revision
            scope = index_scope(field.context, field.name, field.normalizer, tenant)
            mac = Mac(keyring.index_key(field.version).derive("bidx", scope, 32))
            if len(self._macs) >= _TENANTS_LIMIT:
                self._macs.clear()
            self._macs[tenant] = mac
            if keyring.revision is not revision:
                self.clear_keys()
        return mac


def message_of(field: IndexField, value: Any) -> bytes | None:
    """Return the bytes whose term is computed: what counts as equal is equal here.

    Args:
        field: what the index declares.
        value: the value, or a tuple of them for a compound index.

    Raises:
        EncodingError: the value does not fit.

    """
    parts = field.parts
    if len(parts) == 1:
        return _normalised(field, parts[0], value)
    if not isinstance(value, tuple | list) or len(value) != len(parts):
        raise EncodingError(
            f"{field.context}: a compound index of {len(parts)} attributes is asked "
            f"for a tuple of {len(parts)} values"
        )
    pairs = zip(parts, value, strict=True)
    encoded = [_normalised(field, part, one) for part, one in pairs]
    if not any(one is not None for one in encoded):
        return None
    message = bytearray(len(parts).to_bytes(1))
    for one in encoded:
        message += _NULL_PART if one is None else len(one).to_bytes(4) + one
    return bytes(message)


def _normalised(field: IndexField, part: IndexPart, value: Any) -> bytes | None:
    if value is None:
        return None
    reason = ""
    try:
        if part.normalizer is not None:
            value = part.normalizer.function(value)
        return None if value is None else part.codec.encode(value)
    except EncodingError as error:
        reason = f": {error}"
    except Exception:  # noqa: BLE001 - its text and attributes may hold the value
        reason = ""
    raise EncodingError(
        f"{field.context}: a Python {type(value).__name__} has no term in the index "
        f"{field.name!r}{reason}"
    )


def indexer_of(binding: Binding, field: IndexField) -> Indexer:
    """Return the one indexer of an index column in a binding."""
    indexer = binding.ciphers.get(field)
    if not isinstance(indexer, Indexer):
        indexer = binding.ciphers.setdefault(field, Indexer(field, binding))
        assert isinstance(indexer, Indexer)  # noqa: S101 - for the type checker
    return indexer
