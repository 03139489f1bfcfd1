"""The entry point: commands, and errors turned into one line and an exit code."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from sqlalchemy_sealed.errors import SealedError

__all__ = ["main"]

_HINT = "install the command with: pip install 'sqlalchemy-sealed[cli]'"


def main() -> None:
    """Run ``sealed``."""
    try:
        from sqlalchemy_sealed.cli.commands import cli  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich", "tomlkit"}:
            raise
        _fail(f"the module {error.name} is missing", _HINT)
    _run(cli)


def _run(cli: Any) -> None:
    from click import Abort, ClickException  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415

    try:
        code = cli.main(prog_name="sealed", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except ClickException as error:
        message = error.format_message()
        if "unexpected extra argument" in message:
            # It may be a secret that was given in the wrong place.
            message = "there is an argument too many; it is not repeated"
        _fail(message, "sealed --help", error.exit_code)
    except Abort:
        _fail("aborted", "a job goes on where it stopped, by the same command", 130)
    except SealedError as error:
        _fail(str(error))
    except DBAPIError as error:
        # One line only: PostgreSQL's DETAIL quotes the row.
        reason = str(error.orig).strip().partition("\n")[0]
        # SQLite quotes a text that it cannot decode.
        reason = re.sub(
            r"(Could not decode to UTF-8 column .*?) with text.*", r"\1", reason
        )
        _fail(f"the database says: {reason}", _hint(error))
    except SQLAlchemyError as error:
        _fail(f"SQLAlchemy: {str(error).partition(chr(10))[0]}")


def _hint(error: BaseException) -> str:
    from sqlalchemy_sealed.jobs.transient import Trouble, trouble_of  # noqa: PLC0415

    if trouble_of(error) is Trouble.GONE:
        return "look at --url, and whether the server can be reached"
    return "nothing of the failed transaction was written"


def _fail(message: str, hint: str | None = None, code: int = 1) -> NoReturn:
    # A key pasted into the wrong place is not repeated.
    message = re.sub(r"(sealed_root_)[\w-]+", r"\1...", message)
    sys.stderr.write(f"sealed: error: {message}\n")
    if hint:
        sys.stderr.write(f"sealed: hint: {hint}\n")
    sys.exit(code)
