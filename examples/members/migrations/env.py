"""How Alembic runs here: a database from DATABASE_URL, keys from SEALED_KEYS."""

from __future__ import annotations

import os
from logging.config import fileConfig

from alembic import context
from models.sealed import Base
from sqlalchemy import create_engine

import alembic_ext  # noqa: F401 - its operations, and what autogenerate notices
from sqlalchemy_sealed import Keyring, Pace

fileConfig(context.config.config_file_name or "")


def migrate() -> None:
    """Apply revisions."""
    engine = create_engine(os.environ["DATABASE_URL"])
    # Slowly beside an application; MIGRATION_RATE=0 in a maintenance window.
    rate = float(os.environ.get("MIGRATION_RATE", "2000"))
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            sealed_keyring=Keyring.from_env(),
            sealed_pace=Pace(rate=rate) if rate else Pace.full_speed(),
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


migrate()
