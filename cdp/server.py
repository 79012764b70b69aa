"""Composition root of the server: puts the graph, the database and the web server together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from cdp.cli.session import Session
from cdp.database import Database
from cdp.errors import CdpError
from cdp.settings import Settings, read_settings
from migrations import current_revision, newest_revision
from schema.app import create_app

DRAIN_SECONDS: Final = 10  # for what is being answered when the server is told to stop
MOST_AT_ONCE: Final = 1_000  # connections; beyond it clients are told to come back


def application() -> Starlette:
    """The application as the environment configures it: what each worker of uvicorn imports."""
    return create_application(read_settings())


def create_application(settings: Settings) -> Starlette:
    """The application of given settings; it opens its database when it starts."""

    @asynccontextmanager
    async def database() -> AsyncIterator[Database]:
        async with Session(settings, is_json=False).database() as opened:
            yield opened

    return create_app(settings, database, why_not_ready=why_not_ready)


async def why_not_ready(database: Database) -> str | None:
    """Why the database cannot be read from; None where it can, and holds this release's schema."""
    try:
        async with database.read_only() as connection:
            revision = await current_revision(connection)
    except (OSError, SQLAlchemyError, CdpError):
        return "The database does not answer."
    if revision != newest_revision():
        return f"The database is at revision {revision}, not at {newest_revision()}."
    return None


def configuration(
    app: Starlette | str, *, host: str, port: int, workers: int = 1
) -> uvicorn.Config:
    """How uvicorn serves: fast loop and parser, nothing believed of what proxies say."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def create_server(settings: Settings, *, host: str, port: int) -> uvicorn.Server:
    """A server of one process, to be awaited with `serve()` and told to stop by `should_exit`."""
    return uvicorn.Server(configuration(create_application(settings), host=host, port=port))
