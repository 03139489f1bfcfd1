"""Move: what is there is sealed beside the application, and the database keeps it so.

Deploy models/sealed.py after it: it knows the sealed column only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sqlalchemy_sealed import BlindIndex, EncryptedType

revision = "0003"
down_revision = "0002"

KIND = EncryptedType(sa.String(200), index=BlindIndex(normalize="email"))


def upgrade() -> None:
    op.encrypt_column("members", "email", KIND, into="email_encrypted")
    op.seal_fence("members", "email_encrypted", KIND)


def downgrade() -> None:
    op.drop_seal_fence("members", "email_encrypted", KIND)
    # What models/sealed.py has written meanwhile is in the sealed column only.
    op.decrypt_column(
        "members", "email_encrypted", KIND, into="email", source_wins=True
    )
