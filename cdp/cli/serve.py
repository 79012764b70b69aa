"""`cdp serve`: GraphQL over HTTP, until it is interrupted."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Final

import click
import msgspec
import uvicorn
from uvicorn.supervisors import Multiprocess

from cdp.cli.listening import listen
from cdp.cli.session import Session
from cdp.errors import CdpError
from cdp.keys import any_key_exists
from cdp.postgres import embedded
from cdp.settings import Settings, read_settings

MOST_WORKERS: Final = 64


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True)
@click.option(
    "--workers", type=click.IntRange(1, MOST_WORKERS), default=1, show_default=True,
    help="Processes that answer; about one a core.",
)  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--database-url", metavar="URL", help="PostgreSQL to use (default: CDP_DATABASE_URL)."
)
def serve(host: str, port: int, workers: int, database_url: str | None, *, is_json: bool) -> None:
    """Serve the customer graph: POST /graphql, and GraphiQL in a browser."""
    try:
        settings = read_settings()
        if database_url is not None:
            settings = replace(settings, database_url=database_url)
        with ExitStack() as stack, suppress(KeyboardInterrupt):
            listener = stack.enter_context(listen(host, port))
            # Held until the end, so that workers that come and go find the server running.
            url = settings.database_url or stack.enter_context(embedded(settings.home))
            has_keys = asyncio.run(_prepare(settings))
            _tell(listener, host, has_keys=has_keys, is_json=is_json)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            _run(listener, host, workers, url)
    except CdpError as error:
        if is_json:
            click.echo(msgspec.json.encode({"error": error.code, "message": str(error)}))
        raise click.ClickException(str(error)) from error


async def _prepare(settings: Settings) -> bool:
    """Bring the database up before anybody connects; tell whether a key was ever made."""
    async with (
        Session(settings, is_json=False).database() as database,
        database.read_only() as connection,
    ):
        return await any_key_exists(connection)


def _tell(listener: socket.socket, host: str, *, has_keys: bool, is_json: bool) -> None:
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listener.getsockname()[1]}/graphql"
    if is_json:
        click.echo(msgspec.json.encode({"graphql": url, "has_keys": has_keys}))
        return
    click.echo(f"GraphQL: {url}", err=True)
    if not has_keys:
        click.echo(
            "No key is configured: only this machine is answered. Make one with cdp key create.",
            err=True,
        )


def _run(listener: socket.socket, host: str, workers: int, url: str) -> None:
    """Serve until a signal; each worker reads the environment and opens its own database."""
    # Imported here: a port in use, or a database that is not there, is told before the graph loads.
    from cdp.server import configuration

    os.environ["CDP_DATABASE_URL"] = url
    port = listener.getsockname()[1]
    config = configuration("cdp.server:application", host=host, port=port, workers=workers)
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
    else:
        Multiprocess(config, sockets=[listener]).run()
