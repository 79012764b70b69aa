"""The map is what the evidence gives, whatever has happened: histories made at random.

Each claim is tried on a slice of histories, and under the marker `prove` on the full count; so are
those of `test_any_order`, `test_undone`, `test_consent_histories` and `loyalty/test_histories`.
"""

from collections.abc import Sequence
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.cdp.histories import Change, Step, Told, changes, steps
from tests.cdp.side_by_side import Claim, in_parts, prove, try_slice
from tests.cdp.soundness import require_folded, require_nothing_to_move, require_sound

pytestmark = pytest.mark.anyio


async def _are_sound(
    connection: AsyncConnection, histories: Sequence[Sequence[Step]], world: Sequence[Change]
) -> None:
    await Told(connection).all(histories, world)
    await require_sound(connection)
    await require_nothing_to_move(connection)
    await require_folded(connection)


SOUND: Final = Claim(steps(), changes(), _are_sound)


async def test_whatever_has_happened_the_map_is_what_all_evidence_at_once_gives(
    connection: AsyncConnection,
) -> None:
    await try_slice(connection, SOUND)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_histories_leave_the_map_that_all_evidence_at_once_gives(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, SOUND, part)
