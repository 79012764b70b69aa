"""Looks at the feeds that somebody waits for: one statement an interval, however many wait."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from cdp.database import Database
from cdp.errors import NotFound
from cdp.segments.feed import ends_of
from schema.errors import AWAY
from schema.limits import EXECUTION_SECONDS

POLL_SECONDS: Final = 1  # segments themselves follow within seconds: a shorter one shows no sooner

_LOG: Final = logging.getLogger(__name__)


def _gone() -> NotFound:
    return NotFound(
        "There is no segment of that id.", todo="Read the list of segments.", path="segmentId"
    )


@dataclass(slots=True)
class Watched:
    """The feed of one segment. `end`: the number of its last change; None once it is deleted."""

    end: int | None
    readers: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, end: int | None) -> None:
        """Where it ends now. Wakes whoever waits, if that is somewhere else."""
        if end != self.end:
            self.end = end
            self.moved.set()
            self.moved = asyncio.Event()

    async def beyond(self, number: int) -> None:
        """Wait until there is a change after the number. Raises NotFound for a deleted segment."""
        while self.end is not None and self.end <= number:
            await self.moved.wait()
        if self.end is None:
            raise _gone()


class Watch:
    """The feeds of segments that are followed by this process."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._watched: dict[int, Watched] = {}

    @asynccontextmanager
    async def over(self, segment_id: int) -> AsyncIterator[tuple[Watched, int]]:
        """Follow a feed while this is open; also the number of its last change just now.

        Raises NotFound where there is no such segment, and what is AWAY.
        """
        async with asyncio.timeout(EXECUTION_SECONDS):
            end = (await ends_of(self._database(), [segment_id])).get(segment_id)
        if end is None:
            raise _gone()
        watched = self._watched.setdefault(segment_id, Watched(end))
        watched.readers += 1
        try:
            yield watched, end
        finally:
            watched.readers -= 1
            if watched.readers == 0:
                del self._watched[segment_id]

    async def run(self, database: Database) -> None:
        """Look again and again; never returns. While the database is away, everybody waits."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look(database)
            except AWAY:
                pass  # readiness tells of it, and the feeds go on where they stood
            except Exception:  # noqa: BLE001  logged; the next time may go well
                _LOG.exception("The feeds of segments could not be looked at.")

    async def _look(self, database: Database) -> None:
        asked = dict(self._watched)
        if not asked:
            return
        async with asyncio.timeout(EXECUTION_SECONDS):
            ends = await ends_of(database, asked.keys())
        for segment_id, watched in asked.items():
            watched.note(ends.get(segment_id))
