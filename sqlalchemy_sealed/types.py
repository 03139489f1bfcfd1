"""``EncryptedType``: a column type whose values are sealed in the database.

Declare it around any SQL type; the value is plaintext in Python and an envelope in the
database, on every path of SQLAlchemy that binds or loads a value::

    born:  Mapped[date | None] = mapped_column(EncryptedType(Date))
    notes: Mapped[dict]        = mapped_column(EncryptedType(JSON))

The type holds no key. Its **context** is the field id the key is derived for: by
default ``table.column``, read when the column joins its table. Every option is a
positional-or-keyword argument stored under its own name, because SQLAlchemy builds the
cache key of a statement from exactly those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeVar, cast

from sqlalchemy import Column, Table, event
from sqlalchemy import types as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.cache_key import NO_CACHE
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import immutabledict

from sqlalchemy_sealed.cipher import FieldCipher, cipher_of
from sqlalchemy_sealed.columns import SealedMarker, check_column, check_table
from sqlalchemy_sealed.comparator import SealedComparator, SearchTerm
from sqlalchemy_sealed.declared import (
    after_opening,
    before_sealing,
    codec_of,
)
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import DeclarationError, NotSearchableError
from sqlalchemy_sealed.fast import opener, sealer
from sqlalchemy_sealed.field import Field
from sqlalchemy_sealed.former import Legacy, check_former, legacy_of
from sqlalchemy_sealed.index import BlindIndex
from sqlalchemy_sealed.migrating import check_migration
from sqlalchemy_sealed.options import SUITE_NAMES, accepted, check_options, suite_of
from sqlalchemy_sealed.owned import OwnedType
from sqlalchemy_sealed.padding import Blocks, Padding
from sqlalchemy_sealed.policy import PlaintextMode, PlaintextPolicy, policy_of
from sqlalchemy_sealed.scope import binding_of
from sqlalchemy_sealed.suites import SALT_EPOCH
from sqlalchemy_sealed.termcolumns import add_term_columns

__all__ = ["EncryptedType"]

_T = TypeVar("_T")


class EncryptedType(SealedMarker, OwnedType[_T]):
    """An SQL type whose values are encrypted.

    Args:
        inner: the SQL type of the plaintext, class or instance.
        context: the field id, when it must not follow the names of table and column:
            after a rename, or for two columns that are compared with each other.
        suite: ``"randomized"`` (XAES-256-GCM, 64 bytes more than the plaintext);
            ``"deterministic"`` (AES-256-SIV, 40 bytes more): equal values give equal
            bytes, which ``==`` and ``in_`` need and every reader of the table sees;
            or ``"a256cbc-hs512"`` (AES-256-CBC with HMAC-SHA-512, 73 to 88 bytes
            more), randomized too, where a rule demands CBC and for nothing else.
        storage: ``"binary"``, or ``"text"`` for character columns.
        padding: how the length is hidden: ``Blocks()``, ``Bucket(n)``, ``Padme()``,
            ``None``, or ``"default"`` for what the format says of the type.
        accept_leakage: why it is acceptable that equal values show, required for a
            deterministic column of fewer than 16 possible values.
        salt_epoch: messages of one process that may share a salt, 1 to 65,536;
            1 draws every nonce at the moment of use, for machines that are
            snapshotted and resumed more than once.
        accepts: former declarations of the column (another suite, or padding where
            there is none now, or the other way round) whose values are still read;
            re-encryption moves them to this one. Any other value is an error. A
            search finds the values of this declaration only.
        index: a blind index for ``==`` and ``in_``; its column ``<column>_bidx`` joins
            the table with this one. Terms are not compared with values that are
            loaded: where that matters, declare the attribute with ``encrypted()``.
        legacy: formats of ``sqlalchemy_sealed.legacy`` that the column had before, or
            the column it is filled from. Their values are still read; what is written
            is sealed. A search finds sealed values only.
        plaintext: what becomes of plaintext in the column: ``"write"``,
            ``"optional"``, ``"read"``, or a :class:`PlaintextPolicy` with a last day.
            By default it is an error.
        optional: short for ``plaintext="optional"``: values are stored as plaintext,
            with a warning, while no keyring is bound.

    Raises:
        UnsupportedTypeError: the inner type has no canonical encoding.
        DeclarationError: options exclude each other.

    """

    impl = sa.LargeBinary
    cache_ok = True
    comparator_factory = SealedComparator
    #: Whether a value opens in its own row only; see ``encrypted()``.
    row_bound: bool = False
    #: Whether every tenant has derived keys of its own.
    tenant_scoped: bool = False

    def __init__(
        self,
        inner: type[TypeEngine[_T]] | TypeEngine[_T],
        context: str | None = None,
        suite: SuiteId
        | Literal["randomized", "deterministic", "a256cbc-hs512"] = "randomized",
        storage: Literal["binary", "text"] = "binary",
        padding: Padding | Literal["default"] | None = "default",
        accept_leakage: str | None = None,
        salt_epoch: int = SALT_EPOCH,
        accepts: EncryptedType[_T] | Sequence[EncryptedType[_T]] | None = (),
        index: BlindIndex | None = None,
        legacy: Legacy = (),
        plaintext: PlaintextPolicy | PlaintextMode | None = None,
        optional: bool = False,
    ) -> None:
        super().__init__()
        self.inner: TypeEngine[_T] = sa.to_instance(inner)
        self.context = context
        self.suite = suite_of(suite)
        self.storage = storage
        self.padding = padding
        self.accept_leakage = accept_leakage
        self.salt_epoch = salt_epoch
        self.index = index
        self.pinned = context is not None
        deterministic = self.suite is SuiteId.AES_256_SIV
        self.codec = codec_of(self.inner, deterministic)
        self.accepts: tuple[EncryptedType[Any], ...] = accepted(accepts, self)
        self.legacy = legacy_of(legacy)
        self.plaintext = plaintext
        self.optional = optional
        self.policy = policy_of(plaintext, optional)
        check_former(
            self.legacy,
            self.policy,
            self.codec,
            deterministic or index is not None,
            self.inner,
        )
        self._check_options()
        self.impl = self._storage_type()  # type: ignore[assignment]
        self.hashable = self.inner.hashable

    def _check_options(self) -> None:
        check_options(self)

    def _storage_type(self) -> TypeEngine[Any]:
        return sa.Text() if self.storage == "text" else sa.LargeBinary()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database type of the envelope.

        Raises:
            ConfigurationError: Alembic asks, and ``env.py`` has not imported
                ``alembic_ext``.

        """
        check_migration()
        if dialect.name in {"mysql", "mariadb"}:
            # BLOB and TEXT end at 64 KiB there; text must compare byte by byte.
            if self.storage == "text":
                # Envelopes are ASCII; plaintext, where there may be some, is not.
                charset = "ascii" if self.policy is None else "utf8mb4"
                return mysql.MEDIUMTEXT(charset=charset, collation=f"{charset}_bin")
            return mysql.MEDIUMBLOB()
        return self._storage_type()

    # -- the field ---------------------------------------------------------------

    def field(self) -> Field:
        """Return the declaration without keys.

        Raises:
            DeclarationError: the type belongs to no column and pins no context.

        """
        if self.context is None:
            raise DeclarationError(
                "an EncryptedType that belongs to no table column has no field id: "
                'use the type of the column, or pin one with context="table.column"'
            )
        return self._field(self.context)

    @property
    def is_padded(self) -> bool:
        """Whether plaintexts are padded."""
        return self._padding() is not None

    def _padding(self) -> Padding | None:
        if isinstance(self.padding, str):
            return Blocks() if self.codec.padded else None
        return self.padding

    def _field(self, context: str) -> Field:
        return Field(
            context=context,
            codec=self.codec,
            suite=self.suite,
            padding=self._padding(),
            text=self.storage == "text",
            row_bound=self.row_bound,
            tenant_scoped=self.tenant_scoped,
            salt_epoch=self.salt_epoch,
            accepts=tuple(former._field(context) for former in self.accepts),  # noqa: SLF001 - instances of this class
            legacy=self.legacy,
            plaintext=self.policy,
        )

    def _cipher(self, dialect: Dialect) -> FieldCipher:
        return cipher_of(binding_of(dialect), self.field())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return the function that seals a value."""
        seal = sealer(self._cipher(dialect))
        before = before_sealing(self.inner, dialect, self.field().context)
        if before is None:
            return seal
        return lambda value: seal(before(value))

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], _T | None]:
        """Return the function that opens a stored value."""
        del coltype
        open_ = opener(self._cipher(dialect))
        after = after_opening(self.inner, dialect, self.field().context)
        if after is None:
            return open_
        return lambda stored: cast("_T | None", after(open_(stored)))

    def term_sealer(self, dialect: Dialect) -> Callable[[SearchTerm], Any]:
        """Return the function that seals a search term."""
        cipher = self._cipher(dialect)
        before = before_sealing(self.inner, dialect, self.field().context)

        def seal(term: SearchTerm) -> Any:
            value = term.value if before is None else before(term.value)
            return cipher.seal_under(value, term.choose(cipher.searched))

        return seal

    def literal_processor(self, dialect: Dialect) -> NoReturn:
        """Refuse: rendering a literal would quote the plaintext in the error."""
        del dialect
        raise NotSearchableError(
            f"{self.context or 'a sealed column'}: a value is never rendered into SQL "
            "text; execute the statement with bound parameters"
        )

    # -- the column --------------------------------------------------------------

    def bind_to(self, column: Column[Any], table: Table) -> None:
        """Take the field id from the names, unless it is pinned; check the column."""
        check_column(column, table)
        event.listen(table, "before_create", _before_create)  # it is added once
        if not self.pinned:
            self.context = f"{table.name}.{column.name}"
            self.__dict__.pop("_static_cache_key", None)
        if self.index is not None:
            context = self.field().context
            add_term_columns(column, table, self.index, self.codec, context)
        self._variant_mapping = immutabledict(
            {
                name: self._bound_variant(variant, column, table)
                for name, variant in self._variant_mapping.items()
            }
        )

    def _bound_variant(self, variant: Any, column: Column[Any], table: Table) -> Any:
        # Variants are shared by the copies of a type; each column needs its own.
        own = variant.copy()
        own.bind_to(column, table)
        return own

    @property
    def _static_cache_key(self) -> Any:
        # An inner type without a cache key must not make two types look alike.
        inner: Any = self.inner._static_cache_key  # noqa: SLF001 - part of ours
        key: Any = super()._static_cache_key
        if inner is NO_CACHE or key is NO_CACHE:
            return NO_CACHE
        # Types are equal when their keys are, not only when they are one object.
        key = tuple(part for part in key if part != ("accepts", self.accepts))
        former = tuple(one._static_cache_key for one in self.accepts)  # noqa: SLF001 - of this class
        # A subclass may have other arguments; what decides over bytes is always there.
        decisive = (self.codec, self.context, self.suite, self.storage)
        return (*key, inner, *decisive, former)

    def looks(self) -> tuple[Any, ...]:
        """Return what the headers of the values show of the declaration."""
        return (self.suite, self.is_padded, self.row_bound, self.tenant_scoped)

    def with_variant(self, type_: Any, *dialect_names: str) -> EncryptedType[_T]:
        """Accept sealed variants only: any other would store plaintext there."""
        variant: TypeEngine[Any] = sa.to_instance(type_)
        if not isinstance(variant, EncryptedType):
            raise DeclarationError(
                f"with_variant({type(type_).__name__}) would turn encryption off on "
                + ", ".join(dialect_names)
            )
        if self._stored_as() != variant._stored_as():  # noqa: SLF001 - of this class
            raise DeclarationError(
                "a variant of a sealed type has the same codec, suite=, storage= and "
                "padding=: searches and jobs would not know which one holds. Only the "
                "inner type may differ, as JSON and JSONB do"
            )
        return super().with_variant(type_, *dialect_names)

    def _stored_as(self) -> tuple[Any, ...]:
        return (self.codec, self.storage, self._padding(), *self.looks())

    # -- the value ---------------------------------------------------------------

    @property
    def python_type(self) -> type[Any]:
        """The Python type of the plaintext."""
        return self.inner.python_type

    def compare_values(self, x: Any, y: Any) -> bool:
        """Compare as the inner type does."""
        return self.inner.compare_values(x, y)

    def __repr__(self) -> str:
        randomized = self.suite is SuiteId.XAES_256_GCM
        options: dict[str, tuple[Any, Any]] = {
            "context": (self.context if self.pinned else None, None),
            "suite": (None if randomized else SUITE_NAMES[self.suite], None),
            "storage": (self.storage, "binary"),
            "padding": (self.padding, "default"),
            "accept_leakage": (self.accept_leakage, None),
            "salt_epoch": (self.salt_epoch, SALT_EPOCH),
            "index": (self.index, None),
            "accepts": (list(self.accepts), []),
            "legacy": (list(self.legacy), []),
            "plaintext": (self.policy, None),
        }
        shown = [
            f"{name}={one!r}" for name, (one, usual) in options.items() if one != usual
        ]
        return f"EncryptedType({', '.join([repr(self.inner), *shown])})"


def _before_create(table: Table, *_arguments: Any, **_options: Any) -> None:
    check_table(table)
