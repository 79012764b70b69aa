"""The small business behind a server: one database for all tests that only read."""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from cdp.database import Database, open_database
from cdp.keys import Role, create_key
from tests.schema.business import open_business
from tests.schema.client import Graph, serving


@pytest.fixture(scope="session")
async def business(
    server_url: str, template: str
) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    """The business in a database of its own, and a key of each role."""
    name = f"{template}_graph_{secrets.token_hex(4)}"
    administrator = await asyncpg.connect(server_url)
    await administrator.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    keys: dict[str, str] = {}
    async with open_database(url) as database:
        async with database.transaction() as connection:
            await open_business(connection)
            for role in Role:
                _, keys[role.value] = await create_key(connection, role, role.value)
        yield database, keys
    await administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await administrator.close()


@pytest.fixture
async def graph(business: tuple[Database, dict[str, str]]) -> AsyncIterator[Graph]:
    """The server in front of it."""
    async with serving(*business) as graph:
        yield graph
