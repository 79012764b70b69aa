"""A watch reads round after round, and keeps within what a vendor allows."""

from contextlib import aclosing
from pathlib import Path

import pytest

from cdp.cli.session import Session
from cdp.cli.sync import rounds
from cdp.database import Database
from cdp.settings import read_settings
from cdp.sources import SourceRow, add_source
from connectors.conformance.bench import BEGIN, FAST, KEY, WRONG_KEY
from connectors.conformance.cases import CASES
from connectors.opened import OpenSources
from connectors.sandbox.bluesky import BlueskySandbox
from connectors.sandbox.server import serving

pytestmark = pytest.mark.anyio

LOGIN = "com.atproto.server.createSession"


async def a_source(database: Database, url: str, password: str) -> SourceRow:
    settings = {"identifier": "brand.example.com", "password": password, "url": url}
    async with database.transaction() as connection:
        return await add_source(connection, "net", "bluesky", settings)


async def statuses(database: Database, count: int) -> list[list[str]]:
    """How the runs of so many rounds ended."""
    session = Session(read_settings(), is_json=True)
    told: list[list[str]] = []
    async with aclosing(rounds(session, database, (), full=False)) as read:
        async for reports in read:
            told.append([report.status for report in reports])
            if len(told) == count:
                break
    return told


async def test_rounds_of_a_watch_log_in_once(database: Database) -> None:
    sandbox = BlueskySandbox(password=KEY, faults=FAST)
    CASES["bluesky"].put(sandbox, 0, "Ann", BEGIN)
    async with serving(sandbox.app) as url:
        await a_source(database, url, KEY)
        assert await statuses(database, 3) == [["ok"]] * 3
    assert sandbox.requests.served[LOGIN] == 1


async def test_source_that_failed_rests(database: Database) -> None:
    sandbox = BlueskySandbox(password=KEY, faults=FAST)
    async with serving(sandbox.app) as url:
        await a_source(database, url, WRONG_KEY)
        assert await statuses(database, 3) == [["failed"], [], []]
    assert sandbox.requests.served[LOGIN] == 1


async def test_source_whose_secret_changes_is_opened_anew(
    database: Database, tmp_path: Path
) -> None:
    place = tmp_path / "password"
    place.write_text("first")
    row = await a_source(database, "https://example.com", f"file:{place}")
    async with aclosing(OpenSources()) as sources:
        first = await sources.open(row)
        assert await sources.open(row) is first
        place.write_text("second")
        assert await sources.open(row) is not first


async def test_folder_is_looked_at_anew_in_each_round(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as connection:
        row = await add_source(connection, "drop", "file", {"path": str(tmp_path)})
    async with aclosing(OpenSources()) as sources:
        (tmp_path / "customers.csv").write_text("id\n1\n")
        assert (await sources.open(row)).streams == ("customers.csv",)
        (tmp_path / "orders.csv").write_text("id\n1\n")
        assert (await sources.open(row)).streams == ("customers.csv", "orders.csv")
