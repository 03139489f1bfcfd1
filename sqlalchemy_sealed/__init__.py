"""Field-level encryption for SQLAlchemy.

Declare a column encrypted, bind a keyring to the engine, and the ORM does the rest:
plaintext in Python, ciphertext in the database::

    class Patient(Base):
        born: Mapped[date | None] = mapped_column(EncryptedType(Date))
        email = encrypted(String, index=BlindIndex(normalize="email"))

    bind_keyring(engine, Keyring.from_env())

Compatibility: bytes written by this version open in every later one. The format is
specified in docs/FORMAT.md.
"""

from __future__ import annotations

from sqlalchemy_sealed.automigration import auto_migrate
from sqlalchemy_sealed.closing import close_plaintext
from sqlalchemy_sealed.compound import compound_index
from sqlalchemy_sealed.descriptor import encrypted
from sqlalchemy_sealed.dualwrite import dual_write
from sqlalchemy_sealed.engine import (
    bind_keyring,
    plaintext_reads,
    set_default_keyring,
)
from sqlalchemy_sealed.envelope import SuiteId
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    DecryptionError,
    EncodingError,
    QueryError,
    ReencryptionError,
    SealedError,
)
from sqlalchemy_sealed.index import BlindIndex, plan_index
from sqlalchemy_sealed.jobs.decryption import Decryption
from sqlalchemy_sealed.jobs.encryption import Encryption
from sqlalchemy_sealed.jobs.fence import FenceKind
from sqlalchemy_sealed.jobs.indexfill import IndexFill
from sqlalchemy_sealed.jobs.migration import Migration
from sqlalchemy_sealed.jobs.pace import Pace
from sqlalchemy_sealed.jobs.progress import Progress
from sqlalchemy_sealed.jobs.reencryption import Reencryption
from sqlalchemy_sealed.jobs.window import Window
from sqlalchemy_sealed.keys.key import IndexKey, Key
from sqlalchemy_sealed.keys.keyring import Keyring
from sqlalchemy_sealed.keys.state import KeyState
from sqlalchemy_sealed.normalize import Normalizer
from sqlalchemy_sealed.padding import Blocks, Bucket, Padme
from sqlalchemy_sealed.policy import PlaintextPolicy
from sqlalchemy_sealed.residue.search import find_residue
from sqlalchemy_sealed.scope import ciphertext_only, tenant
from sqlalchemy_sealed.searching import index_term
from sqlalchemy_sealed.together import open_all
from sqlalchemy_sealed.types import EncryptedType
from sqlalchemy_sealed.unreadable import Ciphertext, Unreadable

__all__ = [
    "BlindIndex",
    "Blocks",
    "Bucket",
    "Ciphertext",
    "ConfigurationError",
    "Decryption",
    "DecryptionError",
    "EncodingError",
    "EncryptedType",
    "Encryption",
    "FenceKind",
    "IndexFill",
    "IndexKey",
    "Key",
    "KeyState",
    "Keyring",
    "Migration",
    "Normalizer",
    "Pace",
    "Padme",
    "PlaintextPolicy",
    "Progress",
    "QueryError",
    "Reencryption",
    "ReencryptionError",
    "SealedError",
    "SuiteId",
    "Unreadable",
    "Window",
    "auto_migrate",
    "bind_keyring",
    "ciphertext_only",
    "close_plaintext",
    "compound_index",
    "dual_write",
    "encrypted",
    "find_residue",
    "index_term",
    "open_all",
    "plaintext_reads",
    "plan_index",
    "set_default_keyring",
    "tenant",
]
