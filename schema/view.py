"""GraphQL over HTTP: reads a request within its bounds, runs one statement, answers its bytes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

import msgspec
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, execute
from graphql.execution.values import VariableValues
from starlette.types import Receive, Scope, Send

from cdp.database import Database
from cdp.errors import BadInput, Forbidden
from cdp.keys import Viewer
from cdp.survivorship_rules import Survivorship
from cdp.workspace import Workspace
from schema.context import new_context
from schema.errors import STATUS, CostLimit, error_bodies, walk_error_bodies
from schema.limits import BODY_SECONDS, EXECUTION_SECONDS, MAX_BODY_BYTES, require_text
from schema.metrics import LATENCY, REQUESTS, STATEMENTS
from schema.operation import Asked, Operation, Operations, Refused
from schema.perform import Performer, ReadWorkspace
from schema.statement import Given, Statement, Steps

JSON_TYPE: Final = "application/json"
GRAPHQL_TYPE: Final = "application/graphql-response+json"

GetViewer = Callable[[Scope], Awaitable[Viewer]]
GetWorkspace = Callable[[], Awaitable[Workspace]]
GetSurvivorship = Callable[[], Awaitable[Survivorship]]


class GraphQLRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a request; nothing is done with extensions."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: the body, and the status for a client that wants to be told by it."""

    body: bytes
    status: int = 200
    outcome: str = "ok"


@dataclass(frozen=True, slots=True)
class Told:
    """A change of a feed: its number there, and the answer that tells it."""

    number: int
    body: bytes


@dataclass(slots=True)
class Cost:
    """What an operation asks, took, and may take."""

    requested: int
    actual: int
    limit: int

    def demand(self, price: int) -> None:
        """Note what an operation asks. Raises CostLimit for more than it may take."""
        self.requested = price
        if price > self.limit:
            raise CostLimit(price, self.limit)

    def extensions(self) -> bytes:
        """As every answer carries it."""
        return b',"extensions":{"cost":{"requested":%d,"actual":%d,"limit":%d}}}' % (
            self.requested,
            self.actual,
            self.limit,
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """One request under way."""

    request: GraphQLRequest
    operation: Operation
    variables: VariableValues
    viewer: Viewer
    as_of: datetime
    cost: Cost


class _Refusal(Exception):
    """A request that is none: its status, whatever the client wants to be told by."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class GraphQLView:
    """The endpoint, as a bare ASGI callable for POST.

    `workspace` and `survivorship` tell the settings as they were some seconds ago, which is enough
    to read by; `read_workspace` those of a transaction, for what is written.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        database: Callable[[], Database],
        viewer_of: GetViewer,
        workspace: GetWorkspace,
        survivorship: GetSurvivorship,
        read_workspace: ReadWorkspace,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schema = schema
        self._operations = Operations(schema)
        self._database = database
        self._viewer_of = viewer_of
        self._workspace = workspace
        self._survivorship = survivorship
        self._read_workspace = read_workspace
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        media_type = JSON_TYPE
        started = perf_counter()
        try:
            media_type = _accepted(headers.get(b"accept", b"*/*").decode("latin-1"))
            body = await _read_body(receive)
            started = perf_counter()
            answer = await self._answer(scope, _read_request(headers, body))
            status = answer.status if media_type == GRAPHQL_TYPE or answer.status == 401 else 200
        except _Refusal as refusal:
            answer = _refused([BadInput(refusal.message)], Cost(0, 0, 0))
            status = refusal.status
        REQUESTS.labels(answer.outcome).inc()
        LATENCY.observe(perf_counter() - started)
        await _send(send, status, media_type, answer.body)

    async def _answer(self, scope: Scope, request: GraphQLRequest) -> Answer:
        cost = Cost(0, 0, 0)
        try:
            async with asyncio.timeout(EXECUTION_SECONDS):
                viewer = await self._viewer_of(scope)
                cost.limit = viewer.most_cost
                turn = self.turn(request, viewer, cost)
                if turn.operation.is_subscription:
                    raise BadInput(
                        "A subscription is not answered by one answer.",
                        todo="Open a WebSocket here, of the protocol graphql-transport-ws.",
                    )
                if not turn.operation.is_mutation:
                    return await self._read(turn)
                steps = turn.operation.steps(await self.asked(turn))
            return await self._perform(turn, steps)  # which has a time of its own
        except Refused as refused:
            return _refused(refused.errors, cost)
        except Exception as error:  # noqa: BLE001  masked, and logged under a number
            return _refused([error], cost)

    def turn(self, request: GraphQLRequest, viewer: Viewer, cost: Cost) -> Turn:
        """A request of a viewer, begun now. Raises BadInput, GraphQLError and Refused."""
        operation = self._operations.read(request.query, request.operation_name)
        variables = operation.variables(request.variables or {})
        return Turn(request, operation, variables, viewer, self._now(), cost)

    async def asked(self, turn: Turn) -> Asked:
        """What a plan of it depends on."""
        given = turn.request.variables or {}
        workspace, survivorship = await self._workspace(), await self._survivorship()
        return Asked(given, turn.variables, turn.viewer, workspace, survivorship)

    async def _read(self, turn: Turn) -> Answer:
        """A query: one statement."""
        data: bytes = b"{}"
        if turn.operation.has_rows:
            if not turn.viewer.may_read_customers:
                raise Forbidden(f"The role {turn.viewer.role.value} does not read customers.")
            statement = turn.operation.statement(await self.asked(turn))
            turn.cost.demand(statement.price)
            given = Given(turn.variables, turn.as_of)
            data, turn.cost.actual = await self._fetch(statement, given)
        if turn.operation.has_rows and not turn.operation.is_walked:
            return Answer(b'{"data":' + data + turn.cost.extensions())
        return await self._walk(turn, data)

    async def told(self, turn: Turn, after: int) -> list[Told]:
        """The next changes of a subscription's feed after a number, each with its answer.

        Raises CostLimit for one that costs more than an operation may.
        """
        telling = turn.operation.telling(await self.asked(turn))
        turn.cost.demand(telling.batch.price)
        turn.cost.actual = telling.batch.price
        given = Given(turn.variables, turn.as_of, after=after)
        STATEMENTS.inc()
        rows = await self._database().reader.fetch(
            telling.batch.sql, *telling.batch.arguments(given)
        )
        end = turn.cost.extensions()
        return [Told(row["number"], b'{"data":' + row["data"] + end) for row in rows]

    async def _perform(self, turn: Turn, steps: Steps) -> Answer:
        """A mutation: a transaction for each of its fields."""
        price = sum(step.payload.price for step in steps.values() if step)
        turn.cost.demand(price)
        performer = Performer(
            self._database(), self._read_workspace, turn.viewer, turn.variables, turn.as_of
        )
        try:
            data = await performer.perform(steps)
        except GraphQLError as error:
            return _failed(error, turn.cost)
        turn.cost.actual = price
        if not turn.operation.is_walked:
            return Answer(b'{"data":' + data + turn.cost.extensions())
        async with asyncio.timeout(EXECUTION_SECONDS):
            return await self._walk(turn, data)

    async def _fetch(self, statement: Statement, given: Given) -> tuple[bytes, int]:
        STATEMENTS.inc()
        row = await statement.fetch(self._database().reader, given)
        return row["data"], row["actual"]

    async def _walk(self, turn: Turn, data: bytes) -> Answer:
        """Let an executor add what the statement lacks: introspection, and what is loaded."""
        running = execute(
            self._schema,
            turn.operation.document,
            root_value=msgspec.json.decode(data),
            context_value=new_context(
                turn.viewer, turn.as_of, self._database(), await self._workspace()
            ),
            variable_values=turn.request.variables,
            operation_name=turn.request.operation_name,
            hide_suggestions=True,
        )
        result = running if isinstance(running, ExecutionResult) else await running
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body = {"errors": walk_error_bodies(result.errors), **body}
        encoded = msgspec.json.encode(body)
        outcome = "error" if result.errors else "ok"
        return Answer(encoded[:-1] + turn.cost.extensions(), outcome=outcome)


def _refused(errors: list[Any], cost: Cost) -> Answer:
    """An answer without data."""
    bodies = error_bodies(errors)
    code = bodies[0]["extensions"]["code"]
    encoded = msgspec.json.encode({"errors": bodies})
    return Answer(encoded[:-1] + cost.extensions(), STATUS.get(code, 400), code.lower())


def _failed(error: GraphQLError, cost: Cost) -> Answer:
    """An answer whose data is null, because a field that cannot be null was not done."""
    encoded = msgspec.json.encode({"errors": walk_error_bodies([error]), "data": None})
    return Answer(encoded[:-1] + cost.extensions(), outcome="error")


def _accepted(accept: str) -> str:
    """The media type of the answer: what the client names first of the two that there are."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for given in ranges:
        if given in (GRAPHQL_TYPE, JSON_TYPE):
            return given
        if given in ("*/*", "application/*"):
            return JSON_TYPE
    raise _Refusal(406, f"Accept {GRAPHQL_TYPE} or {JSON_TYPE}.")


async def _read_body(receive: Receive) -> bytes:
    """The body, refused where it does not come in time: nobody has shown a key yet."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole_body(receive)
    except TimeoutError:
        raise _Refusal(408, f"The body did not come within {BODY_SECONDS:g} seconds.") from None


async def _whole_body(receive: Receive) -> bytes:
    """The body, refused as soon as it is too long, not when it has all come."""
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refusal(400, "The request ended early.")
        chunk = message.get("body", b"")
        length += len(chunk)
        if length > MAX_BODY_BYTES:
            raise _Refusal(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _read_request(headers: dict[bytes, bytes], body: bytes) -> GraphQLRequest:
    content_type, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if content_type.strip().lower() != JSON_TYPE:
        raise _Refusal(415, f"Send {JSON_TYPE}.")
    charset = parameters.strip().lower()
    if charset.startswith("charset=") and charset[8:].strip('"') not in ("utf-8", "utf8"):
        raise _Refusal(415, "Send UTF-8.")
    try:
        request = msgspec.json.decode(body, type=GraphQLRequest)
        require_text(request.variables)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _Refusal(400, f"The body is no GraphQL request: {error}.") from None
    except BadInput as error:
        raise _Refusal(400, error.message) from None
    return request


async def _send(send: Send, status: int, media_type: str, body: bytes) -> None:
    # What is left of a body that came too slowly is not waited for.
    closing = [(b"connection", b"close")] if status == 408 else []
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", f"{media_type}; charset=utf-8".encode()),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
                *closing,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
