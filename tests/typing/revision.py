"""Checked by mypy, never run: a revision, as a type checker sees its operations."""

from __future__ import annotations

from typing import assert_type

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from alembic_ext import op
from sqlalchemy_sealed import BlindIndex, EncryptedType

revision = "2"
down_revision = "1"


def upgrade() -> None:
    kind = EncryptedType(sa.String(20), index=BlindIndex())
    op.add_column("patients", sa.Column("ssn_encrypted", kind))
    op.encrypt_column("patients", "ssn", kind, into="ssn_encrypted", drop=True)
    op.encrypt_column("patients", "note", kind, strategy="in-place")
    op.reencrypt_columns("patients", {"ssn_encrypted": kind})
    op.seal_fence("patients", "ssn_encrypted", kind)
    op.rename_sealed_column("patients", "ssn_encrypted", "social", kind)
    op.rename_sealed_table("patients", "clients", {"social": kind}, schema="own")
    assert_type(op.get_bind(), Connection)
    with op.batch_alter_table("patients") as batch:
        batch.drop_column("note")


def downgrade() -> None:
    kind = EncryptedType(sa.String(20))
    op.drop_seal_fence("patients", "ssn_encrypted", kind)
    op.decrypt_column("patients", "ssn_encrypted", kind, into="ssn")
    # Each line must be an error: mypy reports an ignore that is not needed.
    op.encrypt_column("patients", 5, kind)  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
    op.encrypt_column("patients", "ssn", kind, strategy="magic")  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
    op.encrypt_colum("patients", "ssn", kind)  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
