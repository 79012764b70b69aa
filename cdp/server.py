"""Composition root of the server: puts the graph, the database and the web server together."""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from cdp.cli.session import Session
from cdp.database import Database
from cdp.errors import CdpError, DatabaseUnavailable
from cdp.patience import PatientProtocol
from cdp.refresh import follow
from cdp.settings import Settings, read_settings
from cdp.workspace import read_workspace
from migrations import current_revision, newest_revision
from schema.app import create_app
from schema.limits import MAX_BODY_BYTES

DRAIN_SECONDS: Final = 10  # for what is being answered when the server is told to stop
REFRESH_SECONDS: Final = 5  # how late a segment may be, or a fact that time changes
MOST_AT_ONCE: Final = 900  # connections; many systems let a process have 1,024 files open

_LOG: Final = logging.getLogger(__name__)


def application() -> Starlette:
    """The application as the environment configures it: what each worker of uvicorn imports."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    return create_application(read_settings())


def _end_with_the_parent() -> None:
    """Stop as if told to once the process that started this one is gone, even by kill -9.

    A worker that stayed would hold the port, and ask a database that has stopped.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def create_application(settings: Settings) -> Starlette:
    """The application of given settings; it opens its database when it starts."""

    @asynccontextmanager
    async def database() -> AsyncIterator[Database]:
        async with Session(settings, is_json=False).database() as opened:
            yield opened

    async def beside(database: Database) -> None:
        await follow_the_clock(database, settings.workspace)

    return create_app(settings, database, why_not_ready=why_not_ready, beside=beside)


async def follow_the_clock(database: Database, overrides: Mapping[str, str]) -> None:
    """Every few seconds, bring up to date what follows; never returns, and outlives every failure.

    `overrides` are the settings of the workspace that the environment holds.
    """
    while True:
        try:
            async with database.read_only() as connection:
                workspace = await read_workspace(connection, overrides)
            await follow(database, workspace)
        except DatabaseUnavailable:
            pass  # readiness tells of it; what is due waits until it is back
        except Exception:  # noqa: BLE001  logged; the next time may go well
            _LOG.exception(
                "What follows from records and from the clock could not be brought up to date."
            )
        await asyncio.sleep(REFRESH_SECONDS)


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
    """How uvicorn serves: fast, patient within bounds, nothing believed of what proxies say.

    It asks by itself, every 20 seconds, whether whoever holds a WebSocket is still there.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=PatientProtocol,
        ws="websockets-sansio",
        ws_max_size=MAX_BODY_BYTES,
        ws_per_message_deflate=False,  # a few bytes could become a long message
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
