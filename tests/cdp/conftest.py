"""A shop of people alike, told once for all tests of what linkage makes of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cdp.database import Database, open_database
from tests.cdp.alike import deliver
from tests.server import Server


def _fill(url: str) -> None:
    async def fill() -> None:
        async with open_database(url) as database:
            await deliver(database)

    asyncio.run(fill())


@pytest.fixture(scope="session")
def people_alike(server: Server, template: str) -> str:
    """The name of a database that holds them; nothing connects to it."""
    return server.built("people_alike", _fill, template)


@pytest.fixture
async def shop(server: Server, people_alike: str) -> AsyncIterator[Database]:
    """A copy of the test's own, open."""
    with server.copy(people_alike) as url:
        async with open_database(url) as database:
            yield database
