"""Opening and sealing the values of one column, as a job reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy_sealed.cipher import FieldCipher, Stored, cipher_of
from sqlalchemy_sealed.errors import DecryptionError, MissingTenantError
from sqlalchemy_sealed.fast import opener, resealer
from sqlalchemy_sealed.rowid import row_id_of
from sqlalchemy_sealed.scope import Binding, current_tenant, tenant_id
from sqlalchemy_sealed.targets import SealedColumn, SealedTable

__all__ = ["ColumnValues", "Row"]

#: Key columns first, then sealed columns, then tenants, as the driver gave them.
Row: TypeAlias = Any


class ColumnValues:
    """The values of one sealed column; those that are bound need their row.

    Attributes:
        name: the database name of the column.
        is_bound: whether a value needs its row.
        reseal: ``reseal(stored)``, for values that do not.
        open: ``open(stored)``, for values that do not.

    """

    def __init__(
        self, sealed: SealedTable, column: SealedColumn, binding: Binding
    ) -> None:
        self.name = column.name
        self.is_bound = column.is_bound
        self._binding = binding
        self._field = column.type.field()
        self._width = len(sealed.key)
        self._row_id = row_id_of(sealed.key) if column.type.row_bound else None
        self._tenant_at = None
        if column.tenant is not None:
            before = self._width + len(sealed.columns)
            self._tenant_at = before + sealed.tenants.index(column.tenant)
        self.reseal: Callable[[Any], Stored | None] = self._refuse
        self.open: Callable[[Any], Any] = self._refuse
        if not self.is_bound:
            cipher = cipher_of(binding, self._field)
            self.reseal, self.open = resealer(cipher), opener(cipher)

    def active_header(self) -> bytes:
        """Return the 24 bytes every freshly sealed value starts with."""
        keyring = self._binding.keyring(self._field.context)
        return bytes(self._field.header(keyring.active))

    def reseal_in(self, stored: Any, row: Row) -> Stored | None:
        """Seal the stored form of a row anew, or return ``None`` if it is current."""
        if not self.is_bound:
            return self.reseal(stored)
        return self._cipher(row).reseal(stored, self._id(row))

    def open_in(self, stored: Any, row: Row) -> Any:
        """Return the value of the stored form of a row."""
        if not self.is_bound:
            return self.open(stored)
        return self._cipher(row).open(stored, self._id(row))

    def _id(self, row: Row) -> bytes | None:
        return self._row_id(row[: self._width]) if self._row_id else None

    def _cipher(self, row: Row) -> FieldCipher:
        tenant = None
        if self._tenant_at is not None:
            named = row[self._tenant_at]
            tenant = current_tenant() if named is None else tenant_id(named)
            if tenant is None:
                raise MissingTenantError(
                    f"{self._field.context}: the row names no tenant; work inside "
                    "`with tenant(name):`"
                )
        return cipher_of(self._binding, self._field, tenant)

    def _refuse(self, _stored: Any) -> Any:
        raise DecryptionError(f"{self._field.context}: the value needs its row")
