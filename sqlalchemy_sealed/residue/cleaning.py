"""Cleaning: the statements of findings, run one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed.residue.finding import Finding, How, last_of_each

__all__ = ["clean"]


def clean(
    engine: Engine,
    findings: Iterable[Finding],
    rewrite: bool,
    tell: Callable[[str], None],
) -> None:
    """Run what cleans the findings, as far as the database lets this user.

    Args:
        engine: a synchronous engine.
        findings: of a search; each statement is run once.
        rewrite: also run what locks a table while it is rewritten.
        tell: is told each statement, and why one failed.

    """
    wanted = {How.SQL, How.LOCKING} if rewrite else {How.SQL}
    remedies = [one for finding in findings for one in finding.remedies]
    commands = last_of_each(one.command for one in remedies if one.how in wanted)
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        for command in commands:
            tell(command)
            reason = None
            try:
                connection.execute(text(command.removesuffix(";"))).close()
            except DBAPIError as error:
                # One line only: others may quote a row.
                reason = str(error.orig).strip().partition("\n")[0]
            if reason is not None:
                tell(f"  the database says: {reason}")
