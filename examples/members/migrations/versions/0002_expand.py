"""Expand: a sealed column and its blind index, empty.

Deploy models/both.py after it: it writes both columns, and still reads the old one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TERM = sa.LargeBinary().with_variant(sa.VARBINARY(32), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("members", sa.Column("email_encrypted", sa.LargeBinary))
    op.add_column("members", sa.Column("email_encrypted_bidx", TERM))
    op.create_index(
        "ix_members_email_encrypted_bidx", "members", ["email_encrypted_bidx"]
    )


def downgrade() -> None:
    op.drop_index("ix_members_email_encrypted_bidx", "members")
    op.drop_column("members", "email_encrypted_bidx")
    op.drop_column("members", "email_encrypted")
