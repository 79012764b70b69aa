"""A client of the WebSocket in tests: it speaks ASGI to the application in the same process.

What the server sends is taken one by one, and nothing is taken ahead: as slow as the test is.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from starlette.types import ASGIApp, Message

from schema.socket import PROTOCOL
from tests.schema.client import Value

PATIENCE_SECONDS = 60  # a busy machine fails no test

CHANGES = """subscription ($id: ID!, $after: String) {
    segmentChanges(segmentId: $id, after: $after) {
        cursor kind cause customerId customer { name purchases { orderCount } } } }"""


START = base64.b64encode(b'["segment-changes", 0]').decode()
"""A cursor before the first change of any segment."""


class Closed(Exception):
    """The server has closed the socket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Client:
    """One socket."""

    def __init__(self) -> None:
        self._to_server: asyncio.Queue[Message] = asyncio.Queue()
        self._to_client: asyncio.Queue[Message] = asyncio.Queue()
        self._wanted = asyncio.Semaphore(0)

    async def handshake(self) -> Message:
        """What the server says first."""
        self.event(type="websocket.connect")
        return await self._next()

    def leave(self) -> None:
        """Go, and hold up nothing that is being said."""
        self.event(type="websocket.disconnect", code=1001)
        self._wanted.release()

    async def _next(self) -> Message:
        self._wanted.release()
        return await asyncio.wait_for(self._to_client.get(), PATIENCE_SECONDS)

    async def receive(self) -> Message:
        """What the server hears."""
        return await self._to_server.get()

    async def send(self, message: Message) -> None:
        """What the server says: it waits until somebody listens."""
        await self._wanted.acquire()
        self._to_client.put_nowait(message)

    def event(self, **message: object) -> None:
        """Any event, also one that no client of the protocol would cause."""
        self._to_server.put_nowait(message)

    def say(self, type_: str, **more: Value) -> None:
        """A message of the protocol."""
        self.event(type="websocket.receive", text=json.dumps({"type": type_, **more}))

    async def hear(self) -> dict[str, Any]:
        """The next message. Raises Closed."""
        event = await self._next()
        if event["type"] == "websocket.close":
            raise Closed(event["code"], event["reason"])
        assert event["type"] == "websocket.send", event
        return cast("dict[str, Any]", json.loads(event["text"]))

    async def init(self, payload: Mapping[str, object] | None = None) -> None:
        """Be let in."""
        self.say("connection_init", payload=payload)
        assert await self.hear() == {"type": "connection_ack"}

    def subscribe(self, query: str, name: str = "1", **variables: Value) -> None:
        """Ask for changes."""
        self.say("subscribe", id=name, payload={"query": query, "variables": variables})

    async def next(self, name: str = "1") -> dict[str, Any]:
        """The data of the next answer to a subscription."""
        message = await self.hear()
        assert (message["type"], message["id"]) == ("next", name), message
        assert "errors" not in message["payload"], message
        return cast("dict[str, Any]", message["payload"]["data"])

    async def changes(self, count: int, name: str = "1") -> list[dict[str, Any]]:
        """The next so many changes."""
        return [(await self.next(name))["segmentChanges"] for _ in range(count)]

    async def refusal(self, name: str = "1") -> tuple[str, str]:
        """Code and message of the error that ends a subscription."""
        message = await self.hear()
        assert (message["type"], message["id"]) == ("error", name), message
        error, *_ = message["payload"]
        return error["extensions"]["code"], error["message"]


async def _run(serving: Awaitable[None]) -> None:
    await serving


@asynccontextmanager
async def connected(
    app: ASGIApp,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (PROTOCOL,),
) -> AsyncIterator[Client]:
    """A socket of this machine; at the end it leaves, and the server has let go of it."""
    client = Client()
    given = {"host": "localhost", **(headers or {})}
    scope = {
        "type": "websocket",
        "path": "/graphql",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "subprotocols": list(subprotocols),
        "client": ("127.0.0.1", 5),
    }
    serving = asyncio.create_task(_run(app(scope, client.receive, client.send)))
    try:
        accepted = await client.handshake()
        assert accepted["type"] == "websocket.accept", accepted
        yield client
    finally:
        client.leave()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)
