"""An Alembic project of its own for a test: an env.py, revisions, a database."""

from __future__ import annotations

import io
from pathlib import Path
from textwrap import dedent, indent

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import Keyring, bind_keyring

ENV = """
from alembic import context
from sqlalchemy import create_engine
import alembic_ext

config = context.config
options = config.attributes

if context.is_offline_mode():
    context.configure(
        url=config.get_main_option("sqlalchemy.url"), literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(config.get_main_option("sqlalchemy.url"))
    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                sealed_keyring=options["keyring"],
                target_metadata=options.get("metadata"),
                render_as_batch=connection.dialect.name == "sqlite",
                transaction_per_migration=options.get("per_migration", False),
                **options.get("configure", {}),
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()
"""
ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
import alembic_ext

config = context.config

def migrate(connection):
    context.configure(
        connection=connection,
        sealed_keyring=config.attributes["keyring"],
        **config.attributes.get("configure", {}),
    )
    with context.begin_transaction():
        context.run_migrations()

async def run():
    engine = create_async_engine(config.attributes["async_url"])
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

asyncio.run(run())
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy_sealed import BlindIndex, EncryptedType

revision = "{name}"
down_revision = {before!r}

def upgrade():
{up}

def downgrade():
{down}
"""


class Project:
    """A folder with an env.py and revisions.

    Attributes:
        url: of the database.
        keyring: what env.py hands over.

    """

    def __init__(self, folder: Path, url: str, keyring: Keyring) -> None:
        self.url = url
        self.keyring = keyring
        self._last: str | None = None
        self._versions = folder / "migrations" / "versions"
        self._versions.mkdir(parents=True)
        self.env = folder / "migrations" / "env.py"
        self.env.write_text(ENV)
        template = folder / "migrations" / "script.py.mako"
        template.write_text((Path(command.__file__).parent / MAKO).read_text())
        self.output = io.StringIO()
        self.config = Config(stdout=self.output, output_buffer=self.output)
        self.config.set_main_option("script_location", str(folder / "migrations"))
        self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        self.config.attributes["keyring"] = keyring

    def revision(self, name: str, up: str, down: str) -> None:
        """Write the next revision."""
        body = REVISION.format(
            name=name,
            before=self._last,
            up=indent(dedent(up).strip() or "pass", "    "),
            down=indent(dedent(down).strip() or "pass", "    "),
        )
        (self._versions / f"{name}.py").write_text(body)
        self._last = name

    def write(self, name: str, body: str) -> None:
        """Write the next revision, with its functions as they are."""
        empty = "" if "def downgrade" in body else "\ndef downgrade():\n    pass\n"
        head = REVISION.partition("def upgrade")[0]
        text = head.format(name=name, before=self._last) + body + empty
        (self._versions / f"{name}.py").write_text(text)
        self._last = name

    def autogenerate(self, metadata, name: str) -> str:
        """Write a revision by autogenerate and return its text."""
        self.config.attributes["metadata"] = metadata
        script = command.revision(self.config, name, autogenerate=True, rev_id=name)
        self._last = name
        return Path(script.path).read_text()

    def check(self, metadata) -> None:
        """Refuse if autogenerate finds anything."""
        self.config.attributes["metadata"] = metadata
        command.check(self.config)

    def upgrade(self, to: str = "head", **options: bool) -> None:
        """Apply revisions."""
        command.upgrade(self.config, to, **options)

    def downgrade(self, to: str = "base", **options: bool) -> None:
        """Take revisions back."""
        command.downgrade(self.config, to, **options)

    def version(self) -> str | None:
        """Return the revision that the database is at."""
        return self.rows("SELECT version_num FROM alembic_version")[0][0]

    def engine(self, keyring: bool = True):
        """Return an engine of the application."""
        engine = create_engine(self.url)
        if keyring:
            bind_keyring(engine, self.keyring)
        return engine

    def rows(self, sql: str, **parameters: object):
        """Return what a query finds."""
        engine = self.engine(keyring=False)
        with engine.connect() as connection:
            found = connection.execute(text(sql), parameters).all()
        engine.dispose()
        return [tuple(row) for row in found]


MAKO = "templates/generic/script.py.mako"
