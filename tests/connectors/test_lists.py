"""A list that the vendor refuses is told by check and by sync, and holds up no other."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cdp.cli.session import Session
from cdp.cli.sync import rounds
from cdp.database import Database
from cdp.settings import read_settings
from cdp.sources import add_source
from cdp.workspace import Workspace
from connectors.base import Abort, Source
from connectors.conformance.bench import BEGIN, FAST, KEY
from connectors.conformance.cases import CASES
from connectors.registry import build
from connectors.runner import RunReport, sync
from connectors.sandbox.server import serving
from connectors.sandbox.shopify import SCOPES, ShopifySandbox

pytestmark = pytest.mark.anyio


class WithoutEvents:
    """In front of Square: the token is one of OAuth, which the Events API refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "http" and scope["path"] == "/v2/events":
            await JSONResponse({"errors": [{"code": "FORBIDDEN"}]}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@asynccontextmanager
async def opened(
    database: Database, connector: str, app: ASGIApp
) -> AsyncIterator[tuple[Source, RunReport]]:
    """A source of that app, with how its first run ended."""
    async with serving(app) as url:
        async with database.transaction() as connection:
            settings = {**CASES[connector].settings, "url": url}
            row = await add_source(connection, connector, connector, settings)
        source = build(row)
        try:
            yield source, await sync(database, row, source, Workspace(), backoff_seconds=0.001)
        finally:
            await source.close()


async def test_square_without_events_reads_everything_else(database: Database) -> None:
    case = CASES["square"]
    sandbox = case.sandbox(FAST)
    case.put(sandbox, 0, "Ann", BEGIN)
    moment = "2026-01-05T10:00:00.000Z"
    sandbox.put(
        "locations", {"id": "PLACE", "name": "Till", "status": "ACTIVE", "created_at": moment}
    )
    sandbox.put(
        "orders",
        {
            "id": "ORDER",
            "location_id": "PLACE",
            "state": "COMPLETED",
            "created_at": moment,
            "updated_at": moment,
            "total_money": {"amount": 100, "currency": "EUR"},
            "version": 1,
        },
    )
    async with opened(database, "square", WithoutEvents(sandbox.app)) as (source, report):
        assert (report.status, report.counts["new"]) == ("failed", 2)
        assert (report.records["customers"], report.records["orders"]) == (1, 1)
        error = report.error or ""
        assert error.startswith(
            "square (square): The list deleted_customers was refused: Square answered 403"
        )
        assert "no OAuth token, and knows of nothing before PUT /v2/events/enable" in error
        with pytest.raises(Abort, match="The list deleted_customers was refused"):
            await source.check()


async def test_watch_lets_no_source_rest_of_which_one_list_is_refused(database: Database) -> None:
    session, told = Session(read_settings(), is_json=True), []
    async with serving(WithoutEvents(CASES["square"].sandbox(FAST).app)) as url:
        async with database.transaction() as connection:
            settings = {**CASES["square"].settings, "url": url}
            await add_source(connection, "till", "square", settings)
        async with aclosing(rounds(session, database, (), full=False)) as read:
            async for reports in read:
                told.append([report.status for report in reports])
                if len(told) == 2:
                    break
    assert told == [["failed"], ["failed"]]


async def test_shopify_without_products_reads_the_orders(database: Database) -> None:
    sandbox = ShopifySandbox(
        access_token=KEY, faults=FAST, scopes=("read_customers", "read_orders")
    )
    CASES["shopify"].put(sandbox, 0, "Ann", BEGIN)
    async with opened(database, "shopify", sandbox.app) as (source, report):
        assert (report.status, report.counts["new"]) == ("failed", 1)
        assert "The list products was refused" in (report.error or "")
        assert report.records["orders"] == 0
        with pytest.raises(Abort, match=r"list products was refused.*Check what the token may"):
            await source.check()


@pytest.mark.parametrize(("scopes", "is_told"), [(SCOPES, False), (SCOPES[1:], True)])
async def test_shopify_that_gives_recent_orders_alone_is_told_by_check(
    database: Database, scopes: tuple[str, ...], *, is_told: bool
) -> None:
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST, scopes=scopes)
    async with opened(database, "shopify", sandbox.app) as (source, _):
        told = await source.check()
    assert ("orders of the last 60 days alone: the token lacks read_all_orders" in told) is is_told
