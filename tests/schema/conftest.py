"""The small business behind a server: one database for all tests that only read."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cdp.database import Database, open_database
from cdp.keys import Role, create_key
from tests.schema.business import open_business
from tests.schema.client import Graph, serving
from tests.server import Server


def _fill(url: str) -> None:
    async def fill() -> None:
        async with open_database(url) as database, database.transaction() as connection:
            await open_business(connection)

    asyncio.run(fill())


@pytest.fixture(scope="session")
def business_template(server: Server, template: str) -> str:
    """The name of a database that holds the business; nothing connects to it."""
    return server.built("business", _fill, template)


@pytest.fixture(scope="session")
async def business(
    server: Server, business_template: str
) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    """The business in a database of this worker's own, and a key of each role."""
    name = server.draw()
    await server.create(name, business_template)
    keys: dict[str, str] = {}
    async with open_database(server.url_of(name)) as database:
        async with database.transaction() as connection:
            for role in Role:
                _, keys[role.value] = await create_key(connection, role, role.value)
        yield database, keys
    await server.drop(name)


@pytest.fixture
async def graph(business: tuple[Database, dict[str, str]]) -> AsyncIterator[Graph]:
    """The server in front of it."""
    async with serving(*business) as graph:
        yield graph
