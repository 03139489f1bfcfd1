"""Moving values between a plaintext column and a sealed one, either way."""

from __future__ import annotations

from typing import Any

from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from alembic_ext.columnop import ColumnOp
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import table_of
from sqlalchemy_sealed import Decryption, EncryptedType, Encryption

__all__ = ["decrypt_pair", "encrypt_pair"]


def encrypt_pair(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
) -> None:
    """Seal the values of a column into another, or in place; or mark the gap."""
    _move(operations, op, kind, plain, sealed, Encryption, "encrypt")


def decrypt_pair(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
) -> None:
    """Open the values of a column into another, or in place; or mark the gap."""
    _move(operations, op, kind, plain, sealed, Decryption, "decrypt")


def _move(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
    job: type[Encryption | Decryption],
    command: str,
) -> None:
    if is_offline(operations):
        pair = sealed if plain == sealed else f"{plain}={sealed}"
        leave_gap(operations, f"sealed {command} MODULE:MODEL --column {pair}")
        return
    kinds: dict[str, TypeEngine[Any] | None] = {plain: kind.inner}
    if kind.legacy:
        # What another library has written is read as it is.
        names = [one.beside for one in kind.legacy if one.beside is not None]
        kinds = dict.fromkeys([plain, *names])
    kinds[sealed] = kind

    def make(engine: Any, **options: Any) -> Encryption | Decryption:
        table = table_of(engine, op.table_name, op.schema, kinds)
        return job(engine, table, {plain: sealed}, **options)

    run_job(operations, make)
