"""What every command shares: its database, its way of printing, and how a mistake is told."""

import errno
import functools
import getpass
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec

import click
import msgspec
from rich.console import Console

from cdp import event_loop
from cdp.database import Database, open_database
from cdp.errors import CdpError
from cdp.postgres import embedded
from cdp.settings import Settings, read_settings
from cdp.workspace import Workspace, read_workspace
from migrations import current_revision, newest_revision, require_known, upgrade

Parameters = ParamSpec("Parameters")

SWITCH_SECONDS = 0.001  # before a thread that computes lets another go on


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command."""

    settings: Settings
    is_json: bool

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """The configured database, or the embedded one, brought to this release's schema.

        A database of one's own that holds an older release is never migrated unasked.
        """
        async with AsyncExitStack() as stack:
            url = self.settings.database_url
            if url is None:
                url = stack.enter_context(embedded(self.settings.home))
            database = await stack.enter_async_context(open_database(url))
            await _prepare(database, may_migrate=self.settings.database_url is None)
            yield database

    async def workspace(self, database: Database) -> Workspace:
        """The settings of the workspace, the environment's first."""
        async with database.read_only() as connection:
            return await read_workspace(connection, self.settings.workspace)

    @property
    def console(self) -> Console:
        """For people: progress and tables, on standard error so that output can be piped."""
        return Console(stderr=True, highlight=False)

    def show(self, value: object, text: str) -> None:
        """The result: `value` as one JSON document with --json, else `text`."""
        click.echo(msgspec.json.encode(value).decode() if self.is_json else text)


def actor() -> str:
    """Who runs the command, as the system knows them, such as `cli:ann`: kept with what is done."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


async def _prepare(database: Database, *, may_migrate: bool) -> None:
    async with database.transaction() as connection:
        await require_known(connection)
        revision = await current_revision(connection)
        if revision == newest_revision():
            return
        if revision is None or may_migrate:
            await upgrade(connection)
            return
    raise CdpError(
        "OLDER_DATABASE",
        f"The database is at revision {revision}, this release wants {newest_revision()}.",
        todo="Run cdp migrate.",
    )


def runs(
    function: Callable[Concatenate[Session, Parameters], Awaitable[None]],
) -> Callable[Parameters, None]:
    """Give a command --json and --database-url, run it, and tell a refusal in one sentence."""

    @click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")
    @click.option(
        "--database-url", metavar="URL", help="PostgreSQL to use (default: CDP_DATABASE_URL)."
    )
    @functools.wraps(function)
    def run(*args: Parameters.args, **options: Parameters.kwargs) -> None:
        database_url = options.pop("database_url")
        is_json = bool(options.pop("is_json"))
        # While a thread works out the next page, whoever has an answer of the database waits that
        # long to go on, and the database waits for them; by default five times as long.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            settings = read_settings()
            if isinstance(database_url, str):
                settings = replace(settings, database_url=database_url)
            event_loop.run(_await(function(Session(settings, is_json), *args, **options)))
        except CdpError as error:
            if is_json:
                click.echo(msgspec.json.encode({"error": error.code, "message": str(error)}))
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            # The reader of our output has left; say nothing more to it, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(1) from None
        except OSError as error:
            if error.filename is None and error.errno != errno.ENOSPC:
                raise
            if error.filename is None:  # nothing more goes there, not even at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            place = error.filename or "The output"
            raise click.ClickException(f"{place} cannot be used: {error.strerror}.") from error

    return run


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable
