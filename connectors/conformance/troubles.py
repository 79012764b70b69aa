"""What goes wrong between a connector and its vendor: servers that refuse, runs that end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cdp.values import Json
from connectors.base import Page, Source


class Throttling:
    """In front of an emulator: the first request and the third are one too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusals = iter(({"Retry-After": "0"}, None, {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        headers = next(self._refusals, None)
        if headers is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": "slow down"}, 429, headers)(scope, receive, send)


class Failing:
    """A server that only fails."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fail."""
        await JSONResponse({"error": "down"}, 503)(scope, receive, send)


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it and go on."""


@dataclass(slots=True)
class Paused:
    """A source that does something after so many pages of a stream."""

    inner: Source
    stream: str
    after_pages: int
    act: Callable[[], Awaitable[None]]

    @property
    def connector(self) -> str:
        """That of the inner source."""
        return self.inner.connector

    @property
    def streams(self) -> tuple[str, ...]:
        """Those of the inner source."""
        return self.inner.streams

    async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Those of the inner source; before the page that is one too many, `act`."""
        seen = 0
        async for page in self.inner.pages(stream, cursor):
            if stream == self.stream and seen == self.after_pages:
                await self.act()
            yield page
            seen += 1

    async def check(self) -> str:
        """Ask the inner source."""
        return await self.inner.check()

    async def close(self) -> None:
        """Close the inner source."""
        await self.inner.close()
