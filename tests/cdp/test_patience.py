"""Clients that keep the server waiting: they are closed in time, and make room for others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cdp.patience import PatientProtocol
from cdp.server import configuration

pytestmark = pytest.mark.anyio

MOST: Final = 5  # connections
SOON: Final = 0.2
LATER: Final = 1.0  # for what a busy machine must have done before
UNTIL: Final = 20.0  # for what comes sooner on any machine
ASKED: Final = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
OWING: Final = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"


class _Hasty(PatientProtocol):
    head_seconds = SOON


class _Calmer(PatientProtocol):
    head_seconds = LATER


@asynccontextmanager
async def served(http: type[PatientProtocol] | None = None) -> AsyncIterator[int]:
    """The port of a server whose page `/held` is answered when the block has ended."""
    end = asyncio.Event()

    async def page(request: Request) -> Response:
        if request.url.path == "/held":
            await end.wait()
        await request.body()
        return PlainTextResponse("well\n")

    app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
    config = configuration(app, host="127.0.0.1", port=0)
    config.http, config.limit_concurrency, config.lifespan = http or config.http, MOST, "off"
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        end.set()
        await server.shutdown()


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> bytes:
        """What comes back first; nothing where the connection was closed."""
        self.writer.write(data)
        try:
            return await asyncio.wait_for(self.reader.read(65_536), UNTIL)
        except ConnectionError:
            return b""

    async def is_closed(self) -> bool:
        return await self.says(b"") == b""


@asynccontextmanager
async def connected(port: int, first: bytes = b"") -> AsyncIterator[_Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(first)
        await writer.drain()
        yield _Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_connection_without_a_request_is_closed(first: bytes) -> None:
    async with served(_Hasty) as port, connected(port, first) as client:
        assert await client.is_closed()


async def test_head_without_end_is_refused() -> None:
    async with served() as port, connected(port, b"GET / HTTP/1.1\r\nX-Long: ") as client:
        assert b"The head of the request is too long." in await client.says(b"x" * 100_000)
        assert await client.is_closed()


async def test_long_body_is_no_head() -> None:
    async with served() as port, connected(port) as client:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        assert b"200 OK" in await client.says(head + b"x" * 300_000)


async def test_client_that_is_being_answered_is_waited_for() -> None:
    async with served(_Calmer) as port, connected(port, ASKED % b"held") as client:
        await asyncio.sleep(1.5 * LATER)
        assert not client.reader.at_eof()


async def test_body_that_drips_after_its_answer_is_not_waited_for() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with served(_Calmer) as port, connected(port) as client:
        assert b"405" in await client.says(head)
        for _ in range(1_000):
            client.writer.write(b" ")
            await asyncio.sleep(LATER / 20)
            if client.reader.at_eof():
                break
        assert await client.is_closed()


@pytest.mark.parametrize("first", [b"", OWING])
async def test_who_has_owed_for_the_longest_makes_room(first: bytes) -> None:
    async with served() as port, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connected(port, first)) for _ in range(2 * MOST)]
        client = await stack.enter_async_context(connected(port))
        assert b"200 OK" in await client.says(ASKED % b"")
        assert await silent[0].is_closed()


async def test_health_is_told_even_while_all_others_are_refused() -> None:
    async with served() as port, AsyncExitStack() as stack:
        for _ in range(MOST):
            await stack.enter_async_context(connected(port, ASKED % b"held"))
        client = await stack.enter_async_context(connected(port))
        assert b"503" in await client.says(ASKED % b"")
        for path in (b"healthz", b"readyz?why"):
            client = await stack.enter_async_context(connected(port))
            assert b"200 OK" in await client.says(ASKED % path)
