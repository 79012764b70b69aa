"""The connector of docs/connectors.md works as it is printed there."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp.database import Database
from cdp.sources import add_source
from cdp.workspace import Workspace
from connectors.base import Connector, read_values
from connectors.runner import sync
from connectors.sandbox.server import serving

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "connectors.md"
LINES_OF_A_CONNECTOR = 80


def example() -> str:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


async def guests(request: Request) -> JSONResponse:
    if request.headers["Authorization"] != "Bearer a-secret":
        return JSONResponse({"error": "no"}, 401)
    number = int(request.query_params.get("page", "1"))
    guest = {
        "number": str(number),
        "name": f"Ann {number}",
        "contact": {"mail": f"ann{number}@example.com"},
        "changed": f"2026-01-01T00:00:0{number}Z",
    }
    return JSONResponse({"guests": [guest], "next_page": str(number + 1) if number < 3 else None})


def test_example_is_short() -> None:
    code = [line for line in example().splitlines() if line.strip()]
    assert len(code) <= LINES_OF_A_CONNECTOR


async def test_example_syncs(database: Database) -> None:
    module = ModuleType("guestbook")
    exec(compile(example(), str(DOCUMENT), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    connector = module.GUESTBOOK
    assert isinstance(connector, Connector)
    async with serving(Starlette(routes=[Route("/guests", guests)])) as url:
        source = connector.build(read_values(connector, {"url": url, "key": "a-secret"}))
        async with database.transaction() as connection:
            row = await add_source(connection, "guests", "guestbook", {})
        report = await sync(database, row, source, Workspace())
        again = await sync(database, row, source, Workspace())
        await source.close()
    assert (report.status, report.counts["new"]) == ("ok", 3)
    assert (again.status, again.counts["new"], again.counts["changed"]) == ("ok", 0, 0)
