"""Expand: a sealed column and its blind index, empty.

Deploy models/both.py after it: it writes both columns, and still reads the old one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sqlalchemy_sealed import BlindIndex, EncryptedType

revision = "0002"
down_revision = "0001"

KIND = EncryptedType(sa.String(200), index=BlindIndex(normalize="email"))


def upgrade() -> None:
    column = sa.Column("email_encrypted", EncryptedType(sa.String(200)))
    op.add_column("members", column)
    op.create_blind_index("members", "email_encrypted", KIND)


def downgrade() -> None:
    op.drop_blind_index("members", "email_encrypted", KIND)
    op.drop_column("members", "email_encrypted")
