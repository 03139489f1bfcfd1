"""Apache Airflow: ``connection.password``, ``connection.extra``, ``variable.val``."""

from __future__ import annotations

from sqlalchemy_sealed.legacy.fernet import FernetTokens

__all__ = ["AirflowFernet"]


class AirflowFernet(FernetTokens):
    """Fernet tokens under ``[core] fernet_key``, which may be several with commas.

    Rows whose ``is_encrypted`` is false hold plaintext: declare ``plaintext="read"``
    beside it where there are some.

    Args:
        key: the setting as it is, newest first.

    """
