"""Files of secrets: names in the clear, every value sealed and bound to its name.

::

    secrets = SecretsFile.open("secrets.enc", Keyring.from_env())
    secrets["slack_bot_token"]
"""

from __future__ import annotations

from sqlalchemy_sealed.secretsfile.census import Entry, Report, SecretState, check
from sqlalchemy_sealed.secretsfile.migration import MigrationReport, migrate
from sqlalchemy_sealed.secretsfile.restoring import RollbackReport, rollback
from sqlalchemy_sealed.secretsfile.rotation import RotationReport, rotate
from sqlalchemy_sealed.secretsfile.secretsfile import SecretsFile
from sqlalchemy_sealed.secretsfile.storing import store

__all__ = [
    "Entry",
    "MigrationReport",
    "Report",
    "RollbackReport",
    "RotationReport",
    "SecretState",
    "SecretsFile",
    "check",
    "migrate",
    "rollback",
    "rotate",
    "store",
]
