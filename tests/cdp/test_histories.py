"""The map is what the evidence gives, whatever has happened: histories made at random.

Each is tried on a slice of histories, and under the marker `prove` on the full count; likewise in
`test_any_order` and `test_undone`.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.cdp.histories import Step, Told, all_histories, slice_of_histories, steps
from tests.cdp.soundness import require_folded, require_nothing_to_move, require_sound

pytestmark = pytest.mark.anyio


async def _is_sound(connection: AsyncConnection, history: Sequence[Step]) -> None:
    await Told(connection).all(history)
    await require_sound(connection)
    await require_nothing_to_move(connection)
    await require_folded(connection)
    await connection.rollback()


@slice_of_histories
@given(history=steps())
async def test_whatever_has_happened_the_map_is_what_all_evidence_at_once_gives(
    connection: AsyncConnection, history: list[Step]
) -> None:
    await _is_sound(connection, history)


@all_histories
@given(history=steps())
async def test_ten_thousand_histories_leave_the_map_that_all_evidence_at_once_gives(
    connection: AsyncConnection, history: list[Step], part: int
) -> None:
    await _is_sound(connection, history)
