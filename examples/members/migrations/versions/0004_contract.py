"""Contract: the plaintext goes. Until here, everything was in both columns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_column("members", "email")


def downgrade() -> None:
    op.add_column("members", sa.Column("email", sa.String(200)))
