"""Rotate: every row moves to the key that is active by now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sqlalchemy_sealed import EncryptedType

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.reencrypt_columns("members", {"email_encrypted": EncryptedType(sa.String(200))})


def downgrade() -> None:
    """Former keys still open what they have sealed; nothing is to be undone."""
