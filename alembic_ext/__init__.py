"""Alembic operations for sealed columns.

One line in ``env.py`` makes them known, in every version of Alembic that has
``op``::

    import alembic_ext

Revisions then have ``op.encrypt_column``, ``op.decrypt_column``,
``op.reencrypt_columns``, ``op.create_blind_index``, ``op.seal_fence``,
``op.rename_sealed_column`` and others; docs/MIGRATIONS.md lists them. They move rows
with the jobs of ``sqlalchemy_sealed``: in batches that are committed one by one,
resumable, verified.
Autogenerate notices columns that became sealed, and writes these operations.
"""

from __future__ import annotations

from alembic_ext.autogenerate import compare
from alembic_ext.blindindex import CreateBlindIndexOp, DropBlindIndexOp
from alembic_ext.decrypt import DecryptColumnOp
from alembic_ext.encrypt import EncryptColumnOp
from alembic_ext.fence import DropSealFenceOp, SealFenceOp
from alembic_ext.plainindex import CreatePlainIndexOp, DropPlainIndexOp
from alembic_ext.record import ForgetSealedColumnOp, RecordSealedColumnOp
from alembic_ext.reencrypt import ReencryptColumnsOp
from alembic_ext.rename import RenameSealedColumnOp
from alembic_ext.renametable import RenameSealedTableOp
from alembic_ext.storage import ChangeSealedStorageOp

__all__ = [
    "ChangeSealedStorageOp",
    "CreateBlindIndexOp",
    "CreatePlainIndexOp",
    "DecryptColumnOp",
    "DropBlindIndexOp",
    "DropPlainIndexOp",
    "DropSealFenceOp",
    "EncryptColumnOp",
    "ForgetSealedColumnOp",
    "RecordSealedColumnOp",
    "ReencryptColumnsOp",
    "RenameSealedColumnOp",
    "RenameSealedTableOp",
    "SealFenceOp",
    "compare",
]
