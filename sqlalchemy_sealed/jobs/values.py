"""Opening and sealing the values of one sealed column, as a job reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column

from sqlalchemy_sealed.cipher import FieldCipher, Stored, cipher_of
from sqlalchemy_sealed.codec.plaintext import has_text, write_text
from sqlalchemy_sealed.declared import after_opening, before_sealing
from sqlalchemy_sealed.errors import DecryptionError, EncodingError, MissingTenantError
from sqlalchemy_sealed.fast import opener, resealer
from sqlalchemy_sealed.fastcolumn import ColumnResealer, column_resealer
from sqlalchemy_sealed.jobs.move import Row
from sqlalchemy_sealed.rowid import row_id_of
from sqlalchemy_sealed.scope import Binding, current_tenant, tenant_id
from sqlalchemy_sealed.targets import SealedColumn

__all__ = ["ColumnValues"]


class ColumnValues:
    """The values of one sealed column; those that are bound need their row.

    Args:
        column: the sealed column.
        key: the primary key of its table.
        binding: the keys.
        tenant_at: where a row names its tenant.
        beside_at: where a row has what a legacy value needs beside itself.

    Attributes:
        name: the database name of the column.
        is_bound: whether a value needs its row.
        has_unproven: whether the column may hold values of another library that
            nothing authenticates.
        reseal: ``reseal(stored)``, for values that do not.
        open: ``open(stored)``, for values that do not.

    """

    def __init__(
        self,
        column: SealedColumn,
        key: Sequence[Column[Any]],
        binding: Binding,
        tenant_at: int | None,
        beside_at: int | None = None,
    ) -> None:
        self.name = column.name
        self.is_bound = column.is_bound
        self.is_text = column.is_text
        legacy = column.type.legacy
        self.has_unproven = any(not one.is_authenticated for one in legacy)
        self._binding = binding
        self._field = column.type.field()
        self._width = len(key)
        self._row_id = row_id_of(key) if column.type.row_bound else None
        self._tenant_at = tenant_at
        self._beside_at = beside_at
        self.reseal: Callable[[Any], Stored | None] = self._refuse
        self.open: Callable[[Any], Any] = self._refuse
        #: Seals many values anew, where there is a fast way.
        self.reseal_column: ColumnResealer | None = None
        inner, context = column.type.inner, self._field.context
        #: What types of the application do to a value before it is sealed, and after.
        self.before = before_sealing(inner, binding.dialect, context)
        self.after = after_opening(inner, binding.dialect, context)
        if not self.is_bound:
            cipher = cipher_of(binding, self._field)
            self.reseal, self.open = resealer(cipher), opener(cipher)
            self.reseal_column = column_resealer(cipher)

    def active_header(self) -> bytes:
        """Return the 24 bytes every freshly sealed value starts with."""
        keyring = self._binding.keyring(self._field.context)
        return bytes(self._field.header(keyring.active))

    def reseal_in(self, stored: Any, row: Row) -> Stored | None:
        """Seal the stored form of a row anew, or return ``None`` if it is current."""
        if not self.is_bound:
            return self.reseal(stored)
        return self._cipher(row).reseal(stored, self._id(row))

    def reseal_into(self, new: list[Any], slot: int, stored: Any, row: Row) -> bool:
        """Put a value sealed anew into its slot, unless it is current; tell which."""
        resealed = self.reseal_in(stored, row)
        if resealed is not None:
            new[slot] = resealed
        return resealed is not None

    def open_in(self, stored: Any, row: Row) -> Any:
        """Return the value of the stored form of a row."""
        if not self.is_bound:
            return self.open(stored)
        return self._cipher(row).open(stored, self._id(row))

    def seal_in(self, value: Any, row: Row) -> Stored:
        """Return the stored form of a row's value, opened again and compared.

        Raises:
            EncodingError: the value does not fit the declared type.
            VerificationError: the new form does not open to the same value.

        """
        cipher, row_id = self._cipher(row), self._id(row)
        return cipher.seal_checked(value, row_id)

    def text_in(self, stored: Any, row: Row) -> str:
        """Return the text of a value, for a column that held it as text.

        Raises:
            EncodingError: values of the type have no text.

        """
        if not has_text(self._field.codec):
            raise EncodingError(
                f"{self.name}: values of its type have no text of their own; decrypt "
                "them to another column"
            )
        return write_text(self._field.codec, self.open_in(stored, row))

    def canonical(self, stored: Any, row: Row) -> bytes:
        """Return the canonical bytes of the sealed form of a row."""
        return self._cipher(row).open_bytes(stored, self._id(row))

    def migrated(self, stored: Any, row: Row) -> bytes:
        """Return the canonical bytes of what is not sealed: legacy, or plaintext.

        Raises:
            DecryptionError: no format opens it, or it is no text of the type.

        """
        beside = None if self._beside_at is None else row[self._beside_at]
        return self._cipher(row).migrate(stored, beside)

    def seal_bytes_in(self, plain: bytes, row: Row) -> Stored:
        """Return the stored form of canonical bytes, opened again and compared.

        Raises:
            VerificationError: the new form does not open to the same bytes.

        """
        return self._cipher(row).seal_bytes_checked(plain, self._id(row))

    def tenant(self, row: Row) -> str | None:
        """Return the tenant of a row, if values are tenant-scoped.

        Raises:
            MissingTenantError: neither the row nor ``tenant(...)`` names one.

        """
        if self._tenant_at is None:
            return None
        named = row[self._tenant_at]
        tenant = current_tenant() if named is None else tenant_id(named)
        if tenant is None:
            raise MissingTenantError(
                f"{self._field.context}: the row names no tenant; work inside "
                "`with tenant(name):`"
            )
        return tenant

    def _id(self, row: Row) -> bytes | None:
        return self._row_id(row[: self._width]) if self._row_id else None

    def _cipher(self, row: Row) -> FieldCipher:
        return cipher_of(self._binding, self._field, self.tenant(row))

    def _refuse(self, _stored: Any) -> Any:
        raise DecryptionError(f"{self._field.context}: the value needs its row")
