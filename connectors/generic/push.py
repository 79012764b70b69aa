"""A source whose records are handed to the platform, by the mutation `ingest`: nothing is read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from cdp.sources import PUSHED
from cdp.values import Json
from connectors.base import Abort, Connector, Page, Values


@dataclass(frozen=True, slots=True)
class PushSource:
    """A system that calls us, and is not asked."""

    connector: str = PUSHED
    streams: tuple[str, ...] = ()

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """There is no list to read. Raises Abort."""
        raise Abort(f"Nothing is read of {stream!r} at {cursor!r}: its records are pushed.")

    async def check(self) -> str:
        """Nobody is asked."""
        return "Its records are pushed by the mutation ingest: there is nothing to ask."

    async def close(self) -> None:
        """There is nothing to let go of."""


def _build(_: Values) -> PushSource:
    return PushSource()


PUSH = Connector(
    PUSHED, "generic", "A system that pushes its records by the mutation ingest.", (), _build
)
