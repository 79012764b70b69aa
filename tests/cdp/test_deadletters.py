"""A dead letter is taken whole, once, and keeps count of what was tried."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.deadletters import DeadLetter, dismiss_letters, get_letters, list_letters, retry_letters
from cdp.delivery import Batch, Delivery, Refused, receive
from cdp.errors import BadInput, NotFound
from cdp.ingest import apply
from cdp.sources import SourceRow, add_source
from cdp.tables import source_profile
from cdp.workspace import Workspace

pytestmark = pytest.mark.anyio


def as_they_are(letter: DeadLetter) -> list[Delivery]:
    row = letter.payload if isinstance(letter.payload, dict) else {}
    return [receive(letter.stream, row, place=letter.place)]


async def a_source(connection: AsyncConnection, name: str = "crm") -> SourceRow:
    return await add_source(connection, name, "file", {})


async def bury(connection: AsyncConnection, source: SourceRow, *rows: object) -> list[DeadLetter]:
    refused = [
        Refused("customers", None, "Too early.", "id", msgspec.json.encode(row), f"line {number}")
        for number, row in enumerate(rows, 1)
    ]
    await apply(connection, Batch(source.id, refused), Workspace())
    return await list_letters(connection, source_name=source.name, limit=10)


async def profile_count(connection: AsyncConnection) -> int:
    counted = await connection.execute(select(func.count()).select_from(source_profile))
    return int(counted.scalar_one())


async def test_letter_that_reads_now_is_taken_and_resolved(connection: AsyncConnection) -> None:
    letters = await bury(connection, await a_source(connection), {"id": "1"}, {"name": "x"})
    outcome = await retry_letters(connection, letters, Workspace(), as_they_are)
    assert outcome.taken == 1
    assert list(outcome.refused) == [letters[1].id]
    assert await profile_count(connection) == 1
    taken, refused = await get_letters(connection, [letter.id for letter in letters])
    assert (taken.attempts, taken.resolved_at is None) == (2, False)
    assert (refused.attempts, refused.resolved_at) == (2, None)


async def test_resolved_letter_is_left_as_it_is(connection: AsyncConnection) -> None:
    letters = await bury(connection, await a_source(connection), {"id": "1"})
    await retry_letters(connection, letters, Workspace(), as_they_are)
    again = await get_letters(connection, [letters[0].id])
    assert (await retry_letters(connection, again, Workspace(), as_they_are)).taken == 0
    assert await list_letters(connection, limit=10) == []
    assert len(await list_letters(connection, limit=10, is_resolved_too=True)) == 1


async def test_letter_is_taken_whole_or_not_at_all(connection: AsyncConnection) -> None:
    letters = await bury(connection, await a_source(connection), {"id": "1"})

    def half(letter: DeadLetter) -> list[Delivery]:
        return [*as_they_are(letter), *as_they_are(replace(letter, payload={"id": "a\0b"}))]

    outcome = await retry_letters(connection, letters, Workspace(), half)
    assert outcome.taken == 0
    assert "NUL" in outcome.refused[letters[0].id].reason
    assert await profile_count(connection) == 0


async def test_letter_whose_record_comes_anew_and_is_taken_is_resolved_by_that(
    connection: AsyncConnection,
) -> None:
    source = await a_source(connection)
    good, bad = {"id": "1", "country": "DE"}, {"id": "1", "country": "Germany"}
    other = {"id": "2", "country": "France"}
    await arrive(connection, source, good, bad, other)
    # What was taken before the letter says nothing of it.
    await arrive(connection, source, good)
    first, second = await list_letters(connection, limit=10)
    assert (first.key, second.key) == ("1", "2")
    await arrive(connection, await a_source(connection, "till"), {**bad, "country": "FR"})
    assert len(await list_letters(connection, limit=10)) == 2
    await arrive(connection, source, {**bad, "country": "FR"})
    assert await list_letters(connection, limit=10) == [second]
    # A page that brings both forms leaves the letter of the one that it could not take.
    await arrive(connection, source, bad, {**bad, "country": "IT"})
    assert len(await list_letters(connection, limit=10)) == 2


async def arrive(
    connection: AsyncConnection, source: SourceRow, *rows: Mapping[str, object]
) -> None:
    deliveries = [receive("customers", row, place=f"line {n}") for n, row in enumerate(rows, 1)]
    await apply(connection, Batch(source.id, deliveries), Workspace())


async def test_dismissed_letter_is_closed_with_who_and_why_and_stays_so_when_it_comes_again(
    connection: AsyncConnection,
) -> None:
    source = await a_source(connection)
    first, second = await bury(connection, source, {"id": 1}, {"name": "x"})
    assert await dismiss_letters(connection, "ann", "A line of totals.", ids=[first.id]) == 1
    assert await bury(connection, source, {"id": 1}) == [second]
    dismissed, open_one = await get_letters(connection, [first.id, second.id])
    assert (dismissed.dismissed_by, dismissed.dismissed_reason) == ("ann", "A line of totals.")
    assert (dismissed.resolved_at is None, dismissed.attempts) == (False, 2)
    assert (open_one.resolved_at, open_one.dismissed_by) == (None, None)
    assert await dismiss_letters(connection, "bob", "Me too.", ids=[first.id]) == 0


async def test_letters_are_dismissed_by_source_and_stream(connection: AsyncConnection) -> None:
    source = await a_source(connection)
    await bury(connection, source, {"id": "1"}, {"id": "2"})
    await bury(connection, await a_source(connection, "other"), {"id": "1"})
    assert await dismiss_letters(connection, "ann", "Old.", stream="orders") == 0
    closed = await dismiss_letters(connection, "ann", "Old.", source_name="crm", stream="customers")
    assert closed == 2
    assert [letter.source for letter in await list_letters(connection, limit=10)] == ["other"]


async def test_dismissing_nothing_or_nobody_is_refused(connection: AsyncConnection) -> None:
    with pytest.raises(BadInput, match="not told"):
        await dismiss_letters(connection, "ann", "Old.")
    with pytest.raises(NotFound, match="no dead letter 99"):
        await dismiss_letters(connection, "ann", "Old.", ids=[99])
    with pytest.raises(NotFound, match="no source"):
        await dismiss_letters(connection, "ann", "Old.", source_name="nobody")


async def test_dismissed_letter_that_is_named_is_tried_again(connection: AsyncConnection) -> None:
    letters = await bury(connection, await a_source(connection), {"id": "1"}, {"name": "x"})
    ids = [letter.id for letter in letters]
    await dismiss_letters(connection, "ann", "By mistake.", ids=ids)
    dismissed = await get_letters(connection, ids)
    assert (await retry_letters(connection, dismissed, Workspace(), as_they_are)).taken == 1
    taken, refused = await get_letters(connection, ids)
    assert (taken.resolved_at is None, taken.dismissed_by) == (False, None)
    assert (refused.resolved_at, refused.dismissed_by) == (None, None)


async def test_letters_are_found_by_source_stream_and_page(connection: AsyncConnection) -> None:
    await bury(connection, await a_source(connection, "other"), {"id": "1"})
    letters = await bury(connection, await a_source(connection), {"id": "1"}, {"id": "2"})
    assert [letter.source for letter in letters] == ["crm", "crm"]
    assert await list_letters(connection, stream="orders", limit=10) == []
    rest = await list_letters(connection, source_name="crm", after_id=letters[0].id, limit=1)
    assert rest == letters[1:]


async def test_id_that_is_none_is_refused(connection: AsyncConnection) -> None:
    with pytest.raises(NotFound, match="no dead letter 99"):
        await get_letters(connection, [99])
