"""Alembic's ``op`` with the operations of this package, for type checkers.

Written by tests/migrations/stub.py from the operations themselves; do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from alembic.op import *

from alembic_ext.strategy import Strategy
from sqlalchemy_sealed import EncryptedType
from sqlalchemy_sealed.former import Legacy

def change_sealed_storage(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Store the envelopes of a column as text instead of bytes, or back.

    Another column is filled, and takes the name: as the model changes at one
    moment, so does the column. No value is opened.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration from now on, with ``storage="text"``, or without.
        schema: of the table.

    Raises:
        CommandError: a value is no envelope, an application keeps writing, or a
            fence is around the column.

    """

def create_blind_index(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Add the columns of a blind index, and compute the terms of every row.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration, with ``index=BlindIndex(...)``.
        schema: of the table.

    Raises:
        CommandError: a value could not be opened, or the type has no index.

    """

def create_plain_index(
    index_name: str,
    table_name: str,
    columns: Sequence[str],
    *,
    kind: Literal["index", "unique index", "unique constraint"] = "index",
    schema: str | None = None,
) -> None:
    """Create an index of plaintext, if it is not there.

    Args:
        index_name: its name.
        table_name: the table.
        columns: names of its columns.
        kind: ``"index"``, ``"unique index"`` or ``"unique constraint"``.
        schema: of the table.

    """

def decrypt_column(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    into: str | None = None,
    schema: str | None = None,
    drop: bool = False,
    nullable: bool = True,
    strategy: Strategy | None = None,
    source_wins: bool = False,
) -> None:
    """Open the values of a sealed column, into another one or under its name.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        into: the column for the plaintext, added if it is not there; without it
            the column itself is used.
        schema: of the table.
        drop: drop the sealed column at the end.
        nullable: whether the column for the plaintext may hold NULL at the end.
        strategy: as of ``op.encrypt_column``.
        source_wins: overwrite a plaintext of ``into`` that differs: it is out of
            date where an application has written the sealed column only.
            Otherwise it stops the revision, and both are left.

    Raises:
        CommandError: the strategy does not fit, or a value could not be opened;
            nothing was dropped.

    """

def drop_blind_index(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Drop the columns of a blind index; the sealed values stay.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration, with the index that goes.
        schema: of the table.

    Raises:
        CommandError: the type has no index.

    """

def drop_plain_index(
    index_name: str,
    table_name: str,
    columns: Sequence[str],
    *,
    kind: Literal["index", "unique index", "unique constraint"] = "index",
    schema: str | None = None,
) -> None:
    """Drop an index of plaintext, if it is there.

    Args:
        index_name: its name.
        table_name: the table.
        columns: names of its columns, for the way back.
        kind: ``"index"``, ``"unique index"`` or ``"unique constraint"``.
        schema: of the table.

    """

def drop_seal_fence(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Take a fence down, before values are decrypted.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    """

def encrypt_column(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    into: str | None = None,
    schema: str | None = None,
    drop: bool = False,
    nullable: bool = True,
    legacy: Legacy = (),
    strategy: Strategy | None = None,
) -> None:
    """Seal the values of a column, into another one or under its own name.

    The sealed column is added if it is not there. Rows are moved in batches that
    are committed one by one, after what the revision did before; a revision that
    is killed goes on when it is applied again.

    Args:
        table_name: the table.
        column_name: the column with the plaintext.
        type_: the declaration of the sealed column, as in the model.
        into: the sealed column. Without it the column keeps its name: with
            ``storage="text"`` values change in place, otherwise another column is
            filled, and takes its place at the end.
        schema: of the table.
        drop: drop the plaintext column at the end. Values are kept otherwise, for
            the application that still reads them.
        nullable: whether the sealed column may hold NULL at the end.
        legacy: formats of ``sqlalchemy_sealed.legacy`` that the column holds
            instead of plaintext. A binary column of theirs is sealed in place. The
            way back gives plaintext: readers do not write.
        strategy: ``"expand-contract"`` (with ``into=``), ``"swap"`` (another
            column is filled and takes the name) or ``"in-place"`` (a character
            column, ``storage="text"``, after a look at what is in the way).

    Raises:
        CommandError: the strategy does not fit, or something is in its way, and
            nothing was written; or a value could not be moved.

    """

def forget_sealed_column(
    table_name: str, column_name: str, *, schema: str | None = None
) -> None:
    """Forget a sealed column that goes, with its values.

    Args:
        table_name: the table.
        column_name: the column.
        schema: of the table.

    """

def record_sealed_column(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Remember that a new column is sealed: autogenerate cannot see it.

    Args:
        table_name: the table.
        column_name: the sealed column, which has no plaintext.
        type_: its declaration.
        schema: of the table.

    """

def reencrypt_column(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Move one sealed column of a table to the active key.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration; see ``op.reencrypt_columns``.
        schema: of the table.

    Raises:
        CommandError: a value could not be moved, or old ones keep appearing.

    """

def reencrypt_columns(
    table_name: str,
    columns: Mapping[str, EncryptedType[Any]],
    *,
    schema: str | None = None,
) -> None:
    """Move sealed columns of a table to the active key, in one pass.

    Args:
        table_name: the table.
        columns: declaration of each sealed column by name. Values that look
            otherwise, of another suite or padding, are moved to it if it names
            the declaration they had: ``accepts=``.
        schema: of the table.

    Raises:
        CommandError: a value could not be moved, or old ones keep appearing.

    """

def rename_sealed_column(
    table_name: str,
    column_name: str,
    new_column_name: str,
    type_: EncryptedType[Any],
    *,
    terms: Mapping[str, str] | None = None,
    schema: str | None = None,
) -> None:
    """Rename a sealed column with its blind index; no value is moved.

    Args:
        table_name: the table.
        column_name: the column.
        new_column_name: its new name.
        type_: its declaration with ``context=``, the field that its values are
            sealed for: its first table and name. The model declares it, too.
        terms: former and new name of columns of index terms that ``type_`` does
            not name, as beside ``encrypted()``.
        schema: of the table.

    Raises:
        CommandError: no field is pinned, or another one than that of the values;
            or a fence is around the column.

    """

def rename_sealed_table(
    table_name: str,
    new_table_name: str,
    columns: Mapping[str, EncryptedType[Any]],
    *,
    schema: str | None = None,
) -> None:
    """Rename a table with sealed columns; no value is moved.

    Args:
        table_name: the table.
        new_table_name: its new name.
        columns: declaration of each sealed column by name, with ``context=``, the
            field that its values are sealed for. The model declares it, too.
        schema: of the table.

    Raises:
        CommandError: a column is missing, or pins another field than that of its
            values; or a fence is around one.

    """

def seal_fence(
    table_name: str,
    column_name: str,
    type_: EncryptedType[Any],
    *,
    schema: str | None = None,
) -> None:
    """Put a fence up: whatever writes plaintext fails in the database.

    Args:
        table_name: the table.
        column_name: the sealed column.
        type_: its declaration.
        schema: of the table.

    Raises:
        FenceError: a row holds something else; nothing was put up.

    """
