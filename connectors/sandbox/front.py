"""The HTTP front that all emulators share: faults, counting, JSON in and out."""

import json
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.state import Dice, Draw, Faults, Item, Requests

Handler = Callable[[Request, Draw], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def answer(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json; charset=utf-8",
) -> Response:
    """Return body as a JSON response, with halves of surrogate pairs if it holds any."""
    try:
        raw = msgspec.json.encode(body)
    except UnicodeEncodeError:
        raw = json.dumps(body).encode()
    return Response(raw, status, dict(headers or {}), media_type)


async def body_of(request: Request) -> Item:
    """Return the request's JSON object; ValueError when it is none. An empty body is {}."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


class Front:
    """Wraps each operation: counts it, then lets chance break it."""

    def __init__(self, faults: Faults, requests: Requests, server_error: object) -> None:
        self._dice = Dice(faults)
        self._requests = requests
        self._server_error = server_error

    def endpoint(self, operation: str, handler: Handler) -> Endpoint:
        """Return what the router calls for one operation."""

        async def serve(request: Request) -> Response:
            draw = self._dice.draw()
            self._requests.served[operation] += 1
            if draw.server_error:
                self._requests.faults["server_error"] += 1
                return answer(self._server_error, 500)
            response = await handler(request, draw)
            if draw.truncated and response.status_code == 200:
                return self._truncated(response)
            return response

        return serve

    def _truncated(self, response: Response) -> Response:
        """Cut the body but keep the status: a proxy that gave up half-way looks like this."""
        self._requests.faults["truncated"] += 1
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        body = bytes(response.body)
        return Response(body[: len(body) // 2], response.status_code, headers)
