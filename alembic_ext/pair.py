"""Moving values between a plaintext column and a sealed one, either way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from alembic_ext.columnop import ColumnOp, ValuesOp
from alembic_ext.moving import is_offline, leave_gap, run_job
from alembic_ext.table import columns_of, plain_type, table_of
from sqlalchemy_sealed import Decryption, EncryptedType, Encryption

__all__ = ["decrypt_pair", "encrypt_pair", "is_done"]


def encrypt_pair(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
    *,
    source_wins: bool = False,
) -> None:
    """Seal the values of a column into another, or in place; or mark the gap."""
    job = partial(Encryption, source_wins=source_wins)
    _move(operations, op, kind, plain, sealed, job, "encrypt")


def decrypt_pair(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
    *,
    source_wins: bool = False,
) -> None:
    """Open the values of a column into another, or in place; or mark the gap."""
    job = partial(Decryption, source_wins=source_wins)
    _move(operations, op, kind, plain, sealed, job, "decrypt")


def is_done(operations: Operations, op: ValuesOp) -> bool:
    """Tell whether an operation that ends with a dropped column has ended already.

    The revision was killed, or failed, after it and before it was written down.
    """
    if is_offline(operations) or op.into is None or not op.drop:
        return False
    known = columns_of(operations.get_bind(), op.table_name, op.schema)
    return op.column_name not in known and op.into in known


def _move(
    operations: Operations,
    op: ColumnOp,
    kind: EncryptedType[Any],
    plain: str,
    sealed: str,
    job: Callable[..., Encryption | Decryption],
    command: str,
) -> None:
    if is_offline(operations):
        pair = sealed if plain == sealed else f"{plain}={sealed}"
        leave_gap(operations, f"sealed {command} MODULE:MODEL --column {pair}")
        return
    inner = plain_type(operations, kind.inner)
    kinds: dict[str, TypeEngine[Any] | None] = {plain: inner}
    if kind.legacy:
        # What another library has written is read as it is.
        names = [one.beside for one in kind.legacy if one.beside is not None]
        kinds = dict.fromkeys([plain, *names])
    kinds[sealed] = kind

    def make(engine: Any, **options: Any) -> Encryption | Decryption:
        table = table_of(engine, op.table_name, op.schema, kinds)
        return job(engine, table, {plain: sealed}, **options)

    run_job(operations, make, compares=plain != sealed)
