"""Whatever happens, in whatever order: no point is lost, none counts twice."""

from collections.abc import Sequence
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.cdp.loyalty.club import open_club
from tests.cdp.loyalty.histories import HISTORIES, PROGRAMME, TIMES, Event, Histories
from tests.cdp.loyalty.promises import require_kept, require_still
from tests.cdp.side_by_side import Claim, in_parts, prove, try_slice

pytestmark = pytest.mark.anyio


async def _keep_promises(
    connection: AsyncConnection, events: Sequence[Sequence[Event]], times: Sequence[int]
) -> None:
    await open_club(connection, PROGRAMME)
    histories = Histories(connection, len(events))
    await histories.run(events, times)
    await require_kept(histories)
    await require_still(histories)


KEPT: Final = Claim(HISTORIES, TIMES, _keep_promises)


async def test_every_history_keeps_the_promises_of_the_ledger(connection: AsyncConnection) -> None:
    await try_slice(connection, KEPT)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_histories_keep_the_promises_of_the_ledger(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, KEPT, part)
