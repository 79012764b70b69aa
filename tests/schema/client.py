"""A client of the graph in tests: asks over HTTP in the same process, and counts statements."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

import asyncpg
import httpx
from starlette.applications import Starlette

from cdp.database import Database
from cdp.server import why_not_ready
from cdp.settings import Settings
from schema.app import create_app
from tests.schema.business import NOW

Value: TypeAlias = Any
"""JSON whose shape the test knows."""

SETTINGS = Settings(
    None, Path("unused"), {"currency": "EUR", "region": "GB", "timezone": "Europe/Berlin"}
)


class CountingReader:
    """The read pool, with the statements that went through it."""

    def __init__(self, reader: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._reader = reader
        self.statements: list[str] = []

    async def fetch(self, sql: str, *arguments: object) -> object:
        """As the pool does."""
        self.statements.append(sql)
        return await self._reader.fetch(sql, *arguments)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["CountingConnection"]:
        """A connection on which statements are prepared anew."""
        async with self._reader.acquire() as connection:
            yield CountingConnection(connection, self.statements)


@dataclass
class CountingConnection:
    """One connection of the pool."""

    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
    statements: list[str]

    async def prepare(self, sql: str) -> "asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]":
        """As the connection does; whoever prepares a statement runs it."""
        self.statements.append(sql)
        return await self.connection.prepare(sql)


@dataclass
class Graph:
    """The server, and the keys of each role."""

    http: httpx.AsyncClient
    reader: CountingReader
    database: Database
    keys: Mapping[str, str]
    app: Starlette

    async def post(self, query: str, role: str = "admin", **variables: Value) -> httpx.Response:
        """The answer as it came."""
        return await self.http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {self.keys[role]}"} if self.keys else {},
        )

    async def answer(self, query: str, role: str = "admin", **variables: Value) -> dict[str, Any]:
        """The whole answer."""
        return cast("dict[str, Any]", (await self.post(query, role, **variables)).json())

    async def read(self, query: str, role: str = "admin", **variables: Value) -> dict[str, Any]:
        """The data of an answer without errors."""
        answer = await self.answer(query, role, **variables)
        assert "errors" not in answer, answer["errors"]
        return cast("dict[str, Any]", answer["data"])

    async def refusal(self, query: str, role: str = "admin", **variables: Value) -> tuple[str, str]:
        """Code and message of the first error."""
        answer = await self.answer(query, role, **variables)
        assert answer.get("data") is None, answer
        error = answer["errors"][0]
        return error["extensions"]["code"], error["message"]


@asynccontextmanager
async def serving(
    database: Database,
    keys: Mapping[str, str],
    client: tuple[str, int] = ("127.0.0.1", 5),
    now: datetime = NOW,
) -> AsyncIterator[Graph]:
    """The application over a database, at the moment NOW or at the given one."""
    reader = CountingReader(database.reader)
    counted = Database(database.url, database.engine, cast("asyncpg.Pool[asyncpg.Record]", reader))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        yield counted

    app = create_app(SETTINGS, opened, why_not_ready=why_not_ready, now=lambda: now)
    transport = httpx.ASGITransport(app, client=client)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        yield Graph(http, reader, database, keys, app)
