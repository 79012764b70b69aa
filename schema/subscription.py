"""A subscription under way: the answers of a feed's changes, one by one, in their order."""

import asyncio
from collections.abc import AsyncGenerator

from cdp.errors import BadInput, Forbidden
from cdp.keys import Viewer
from schema.errors import AWAY
from schema.limits import EXECUTION_SECONDS
from schema.view import Cost, GraphQLRequest, GraphQLView, Told, Turn
from schema.watch import POLL_SECONDS, Watch


class Subscriptions:
    """What subscribes for a viewer. The view plans and reads as it does for a query."""

    def __init__(self, view: GraphQLView, watch: Watch) -> None:
        self._view = view
        self._watch = watch

    async def answers(self, request: GraphQLRequest, viewer: Viewer) -> AsyncGenerator[bytes]:
        """Each change as an answer, in JSON; without end.

        The next batch is read when the last answer of the one before was taken: whoever takes none
        holds one batch. While the database is away it waits. Raises what a query raises, and
        NotFound once the segment is deleted.
        """
        turn = self._view.turn(request, viewer, Cost(0, 0, viewer.most_cost))
        if not turn.operation.is_subscription:
            raise BadInput("Here one subscribes.", todo="Send queries and mutations by POST.")
        if not viewer.may_read_customers:
            raise Forbidden(f"The role {viewer.role.value} does not read customers.")
        # Refuses before anything is waited for what no change could be told with.
        async with asyncio.timeout(EXECUTION_SECONDS):
            telling = turn.operation.telling(await self._view.asked(turn))
        turn.cost.demand(telling.batch.price)
        given = telling.arguments(turn.variables)
        source, start = telling.feed.source(given), telling.feed.start(given)
        async with self._watch.over(source) as (watched, end):
            number = end if start is None else start
            while True:
                await watched.beyond(number)
                turn = self._view.turn(request, viewer, turn.cost)
                changes = await self._next(turn, number)
                for change in changes:
                    yield change.body
                    number = change.number
                if not changes:  # the database is away, or the segment was deleted just now
                    await asyncio.sleep(POLL_SECONDS)

    async def _next(self, turn: Turn, number: int) -> list[Told]:
        """The next changes; none while the database is away."""
        try:
            async with asyncio.timeout(EXECUTION_SECONDS) as limit:
                return await self._view.told(turn, number)
        except AWAY:
            if limit.expired():
                raise
            return []
