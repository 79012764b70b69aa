"""GraphQL over WebSockets: the protocol graphql-transport-ws, within bounds, for subscriptions.

The protocol: github.com/enisdenjo/graphql-ws, PROTOCOL.md. Its messages are JSON in text frames.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from cdp.errors import CdpError
from cdp.keys import Viewer
from schema.errors import AWAY, Unauthenticated, error_bodies
from schema.limits import MAX_BODY_BYTES, require_text
from schema.metrics import SOCKETS
from schema.operation import Refused
from schema.view import GetViewer, GraphQLRequest

PROTOCOL: Final = "graphql-transport-ws"

MAX_SOCKETS: Final = 500  # of one process: half of its connections stay free for requests
MAX_SUBSCRIPTIONS: Final = 100  # of one socket; a page has some dozens
MAX_ID: Final = 200  # characters of a subscription's name; clients draw a UUID
MAX_REASON: Final = 120  # bytes that a closing frame has for its sentence
INIT_SECONDS: Final = 10  # from the handshake to connection_init
KEY_SECONDS: Final = 20  # how often the key is looked at again; a revoked one ends the socket
SEND_SECONDS: Final = 60  # whoever takes no byte for so long is not there any more

BAD_MESSAGE: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
NO_PROTOCOL: Final = 4406
TOO_LATE: Final = 4408
TAKEN: Final = 4409
TWICE: Final = 4429
TRY_LATER: Final = 1013

Answers = Callable[[GraphQLRequest, Viewer], AsyncGenerator[bytes]]


class _Init(msgspec.Struct, tag_field="type", tag="connection_init"):
    payload: dict[str, Any] | None = None


class _Ping(msgspec.Struct, tag_field="type", tag="ping"):
    payload: dict[str, Any] | None = None


class _Pong(msgspec.Struct, tag_field="type", tag="pong"):
    payload: dict[str, Any] | None = None


class _Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    id: str
    payload: GraphQLRequest


class _Complete(msgspec.Struct, tag_field="type", tag="complete"):
    id: str


_Message: TypeAlias = _Init | _Ping | _Pong | _Subscribe | _Complete
_MESSAGES: Final = msgspec.json.Decoder(_Message)


class _Over(Exception):
    """The socket ends: with a code and a sentence, or because the client, or the server, left."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _TooMany(CdpError):
    """More subscriptions on a socket than it may have."""

    def __init__(self) -> None:
        super().__init__(
            "RATE_LIMITED",
            f"This socket has {MAX_SUBSCRIPTIONS} subscriptions, which are the most.",
            todo="End one of them, or open another socket.",
        )


class GraphQLSocket:
    """The endpoint, as a bare ASGI callable for WebSockets."""

    def __init__(self, viewer_of: GetViewer, answers: Answers) -> None:
        self._viewer_of = viewer_of
        self._answers = answers
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until it ends."""
        speaks = PROTOCOL in scope["subprotocols"]
        await receive()  # websocket.connect, which comes first
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if speaks else None})
        session = _Session(scope, receive, send, self._viewer_of, self._answers)
        if not speaks:
            return await session.close(_Over(NO_PROTOCOL, f"Speak {PROTOCOL}."))
        if self._open >= MAX_SOCKETS:
            return await session.close(_Over(TRY_LATER, "Too many sockets are open."))
        self._open += 1
        SOCKETS.inc()
        try:
            await session.run()
        finally:
            self._open -= 1
            SOCKETS.dec()


class _Session:
    """One socket: what it subscribes to, and for whom."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        viewer_of: GetViewer,
        answers: Answers,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._viewer_of = viewer_of
        self._answers = answers
        self._viewer: Viewer | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Take messages until somebody ends it; then end all that it began."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._initialise(group)
                while True:
                    await self._take(await self._message(), group)
        except* _Over as ended:
            over = next(one for one in ended.exceptions if isinstance(one, _Over))
            if over.code is not None:
                await self.close(over)

    async def close(self, over: _Over) -> None:
        """Tell the client why; one that takes nothing is left without."""
        reason = over.reason.encode()[:MAX_REASON].decode(errors="ignore")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send({"type": "websocket.close", "code": over.code, "reason": reason})
        except OSError:
            return  # it has left, which is what was wanted

    # The client's messages --------------------------------------------------------------------

    async def _message(self) -> _Message:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise _Over
        text = event.get("text")
        if text is None:
            raise _Over(BAD_MESSAGE, "Send text frames.")
        if len(text) > MAX_BODY_BYTES:
            raise _Over(BAD_MESSAGE, f"The message is longer than {MAX_BODY_BYTES} characters.")
        try:
            message: _Message = _MESSAGES.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _Over(BAD_MESSAGE, f"No message of the protocol: {error}.") from None
        return message

    async def _initialise(self, group: asyncio.TaskGroup) -> None:
        """Wait for connection_init, and find who asks."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                message = await self._message()
                while isinstance(message, (_Ping, _Pong)):
                    await self._answer(message)
                    message = await self._message()
        except TimeoutError:
            raise _Over(TOO_LATE, "connection_init did not come in time.") from None
        if not isinstance(message, _Init):
            raise _Over(UNAUTHORIZED, "connection_init comes first.")
        asking = _asking(self._scope, message.payload or {})
        try:
            self._viewer = await self._viewer_of(asking)
        except Unauthenticated as error:
            raise _Over(FORBIDDEN, str(error)) from None
        except AWAY:
            raise _Over(TRY_LATER, "The database does not answer. Try again soon.") from None
        await self._tell({"type": "connection_ack"})
        group.create_task(self._keep_looking(asking))

    async def _keep_looking(self, asking: Scope) -> None:
        """End the socket once its key opens nothing any more."""
        while True:
            await asyncio.sleep(KEY_SECONDS)
            try:
                await self._viewer_of(asking)
            except Unauthenticated as error:
                raise _Over(FORBIDDEN, str(error)) from None
            except AWAY:
                continue  # as nothing is told meanwhile either

    async def _take(self, message: _Message, group: asyncio.TaskGroup) -> None:
        match message:
            case _Init():
                raise _Over(TWICE, "Too many initialisation requests.")
            case _Ping() | _Pong():
                await self._answer(message)
            case _Complete():
                task = self._tasks.pop(message.id, None)
                if task is not None:
                    task.cancel()
            case _Subscribe():
                await self._subscribe(message, group)

    async def _answer(self, message: _Ping | _Pong) -> None:
        if isinstance(message, _Ping):
            await self._tell({"type": "pong"})

    async def _subscribe(self, message: _Subscribe, group: asyncio.TaskGroup) -> None:
        name = message.id
        if not name or len(name) > MAX_ID:
            raise _Over(BAD_MESSAGE, f"An id has 1 to {MAX_ID} characters.")
        if name in self._tasks:
            raise _Over(TAKEN, f"Subscriber for {name} already exists")
        if len(self._tasks) >= MAX_SUBSCRIPTIONS:
            await self._tell_error(name, _TooMany())
            return
        task = group.create_task(self._follow(name, message.payload))
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:  # the name may be somebody else's by now
            del self._tasks[name]

    # The server's -----------------------------------------------------------------------------

    async def _follow(self, name: str, request: GraphQLRequest) -> None:
        """Tell each answer; at the end, or where one fails, say so: nothing comes after it."""
        assert self._viewer is not None, "who subscribes has been let in"
        opening = b'{"id":' + msgspec.json.encode(name) + b',"type":"next","payload":'
        try:
            require_text(request.variables)
            async with aclosing(self._answers(request, self._viewer)) as answers:
                async for answer in answers:
                    await self._tell_text((opening + answer + b"}").decode())
        except _Over:
            raise
        except Exception as error:  # noqa: BLE001  masked, and logged under a number
            await self._tell_error(name, error)

    async def _tell_error(self, name: str, error: Exception) -> None:
        errors = error_bodies(error.errors if isinstance(error, Refused) else [error])
        await self._tell({"id": name, "type": "error", "payload": errors})

    async def _tell(self, message: Mapping[str, object]) -> None:
        await self._tell_text(msgspec.json.encode(message).decode())

    async def _tell_text(self, text: str) -> None:
        """Send, when the client has taken enough of what was sent before.

        Raises _Over for one that has left, and for one that takes nothing.
        """
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise _Over(TRY_LATER, "Nothing was taken for too long.") from None
        except OSError:
            raise _Over from None


def _asking(scope: Scope, payload: Mapping[str, object]) -> Scope:
    """The handshake as a request that bears the key of connection_init, if that has one."""
    for name, value in payload.items():
        if name.lower() == "authorization" and isinstance(value, str):
            others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
            key = (b"authorization", value.encode("latin-1", "replace"))
            return {**scope, "headers": [*others, key]}
    return scope
