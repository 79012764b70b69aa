"""The web application: GraphQL, its explorer, and what watches over a server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from cdp.database import Database
from cdp.identity.rules import read_survivorship
from cdp.operations import read_operations
from cdp.settings import Settings
from cdp.workspace import read_workspace
from schema import explorer
from schema.access import Access, Fresh
from schema.metrics import metrics
from schema.root import build_schema
from schema.socket import GraphQLSocket
from schema.subscription import Subscriptions
from schema.view import GraphQLView
from schema.watch import Watch

OpenDatabase = Callable[[], AbstractAsyncContextManager[Database]]
WhyNotReady = Callable[[Database], Awaitable[str | None]]
Beside = Callable[[Database], Coroutine[None, None, None]]


def create_app(
    settings: Settings,
    open_database: OpenDatabase,
    *,
    why_not_ready: WhyNotReady,
    beside: Beside | None = None,
    mounts: Sequence[BaseRoute] = (),
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The application; its lifespan owns the database.

    `why_not_ready` tells what the database lacks to be read; None: nothing. `beside` runs
    while the server does, and is cancelled when it stops. `mounts` are routes of others, such as
    webhooks of connectors. `now` is the moment as of which customers are read.
    """
    opened: list[Database] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with (
            open_database() as database,
            _running(beside, database),
            _running(watch.run, database),
        ):
            opened.append(database)
            try:
                yield
            finally:
                opened.clear()

    def database() -> Database:
        return opened[0]

    workspace_of = partial(read_workspace, overrides=settings.workspace)
    workspace = Fresh(database, workspace_of)
    survivorship = Fresh(database, read_survivorship)
    access = Access(database)
    watch = Watch(database)
    view = GraphQLView(
        build_schema()._schema,  # noqa: SLF001  Strawberry has no public name for it
        database,
        access.viewer_of,
        workspace.get,
        survivorship.get,
        workspace_of,
        now,
    )
    socket = GraphQLSocket(access.viewer_of, Subscriptions(view, watch).answers)
    page = partial(explorer.page, viewer_of=access.viewer_of)
    ready = partial(_ready, why_not_ready, database)
    told = partial(metrics, Fresh(database, read_operations).get)
    return Starlette(
        routes=[
            Route("/graphql", view, methods=["POST"]),
            Route("/graphql", page, methods=["GET"]),
            WebSocketRoute("/graphql", socket),
            Route("/graphiql/{name}", explorer.asset, methods=["GET"]),
            Route("/healthz", _alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/metrics", told, methods=["GET"]),
            *mounts,
        ],
        lifespan=lifespan,
    )


@asynccontextmanager
async def _running(beside: Beside | None, database: Database) -> AsyncIterator[None]:
    """Let it run beside what is within, and end it before the database closes."""
    if beside is None:
        yield
        return
    task = asyncio.create_task(beside(database))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _ready(
    why_not_ready: WhyNotReady, database: Callable[[], Database], _: Request
) -> Response:
    reason = await why_not_ready(database())
    body = {"ready": reason is None, "reason": reason}
    return JSONResponse(body, status_code=200 if reason is None else 503)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("alive\n")
