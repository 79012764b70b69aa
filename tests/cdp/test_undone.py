"""A merge that is undone was never: by hand, nested and in any order, or by the evidence itself."""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import AlreadyUndone
from cdp.stewardship import undo
from tests.cdp.at_once import rows_of
from tests.cdp.histories import (
    AUTHOR,
    Merge,
    Tell,
    Told,
    names_of,
    steps_at,
    tells,
)
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition
from tests.cdp.side_by_side import Claim, count_rows, in_parts, prove, try_slice
from tests.cdp.soundness import require_sound
from tests.cdp.telling import Telling, Town

pytestmark = pytest.mark.anyio


def _merges_and_tells() -> st.SearchStrategy[list[Merge | Tell]]:
    pick = st.integers(0, 30)
    merges = st.one_of(
        st.builds(Merge, st.tuples(pick, pick)), st.builds(Merge, st.tuples(pick, pick, pick))
    )
    return st.lists(st.one_of(merges, tells()), min_size=3, max_size=9)


async def _are_undone_without_trace(
    connection: AsyncConnection,
    histories: Sequence[tuple[Sequence[Merge | Tell], int]],
    world: None,
) -> None:
    """Merge, nested too, hear more in between, and undo in any order: as if never merged."""
    assert world is None
    chances = [random.Random(seed) for _, seed in histories]
    merges = [list[int]() for _ in histories]
    told = Told(connection)
    for at in range(max(len(history) for history, _ in histories)):
        now = steps_at([history for history, _ in histories], at)
        for number, effect in (await told.one(now)).items():
            merges[number].append(next(one.event_id for one in effect.changes if one.event_id))
        if at == 0:
            await count_rows(connection)
        for number in now:
            mine, chance = merges[number], chances[number]
            if mine and chance.random() < 0.2:
                await _undo(connection, mine.pop(chance.randrange(len(mine))))
    for mine, chance in zip(merges, chances, strict=True):
        chance.shuffle(mine)
        for event_id in mine:
            await _undo(connection, event_id)
    await require_sound(connection)
    found = await facts_by_members(connection)
    await connection.rollback()
    await _only_tell(connection, [history for history, _ in histories])
    assert found == await facts_by_members(connection)


async def _only_tell(
    connection: AsyncConnection, histories: Sequence[Sequence[Merge | Tell]]
) -> None:
    tells = [[step for step in history if isinstance(step, Tell)] for history in histories]
    await Told(connection).all(tells)


async def _undo(connection: AsyncConnection, event_id: int) -> None:
    await undo(connection, event_id, AUTHOR, WORKSPACE)


UNDONE: Final = Claim(
    st.tuples(_merges_and_tells(), st.integers(0, 2**32)), st.none(), _are_undone_without_trace
)


async def test_merges_undone_in_any_order_were_never(connection: AsyncConnection) -> None:
    await try_slice(connection, UNDONE)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_times_merges_undone_in_any_order_were_never(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, UNDONE, part)


HERE, THERE = Town(1), Town(2)


def _of_two_towns() -> st.SearchStrategy[list[Tell]]:
    return st.lists(st.one_of(tells(HERE), tells(THERE)), min_size=1, max_size=6)


def _bridge() -> Tell:
    """A third source that takes somebody of one town and somebody of the other for one person."""
    ties = {"shop": HERE.key("1"), "till": THERE.key("1")}
    key = HERE.key("bridge")
    row = {"id": key, "external_ids": ties, "updated_at": "2024-01-01T00:00:00Z"}
    return Tell([Telling("mail", "customers", key, row)])


def _ends() -> Tell:
    """The two, as their own sources tell them first."""
    ends = (("shop", HERE.key("1")), ("till", THERE.key("1")))
    since = {"updated_at": "2023-01-01T00:00:00Z"}
    return Tell([Telling(source, "customers", key, {"id": key, **since}) for source, key in ends])


async def _leave_both_as_they_were(
    connection: AsyncConnection, histories: Sequence[tuple[Sequence[Tell], int]], world: None
) -> None:
    """Undo what the evidence joined: but for the evidence itself, as if it had never come."""
    assert world is None
    whole = [[_ends(), *history] for history, _ in histories]
    bridged = []
    for one, (_, at) in zip(whole, histories, strict=True):
        place = at % (len(one) + 1)
        bridged.append([*one[:place], _bridge(), *one[place:]])
    await Told(connection).all(bridged)
    for event_id in await _joinings(connection, len(histories)):
        with suppress(AlreadyUndone):  # what came later has parted them
            await _undo(connection, event_id)
    await require_sound(connection)
    found = await partition(connection)
    await connection.rollback()
    await _only_tell(connection, whole)
    wanted = await partition(connection)
    bridges = {one.name(n) for n in range(len(histories)) for one in _bridge().said}
    assert {members - bridges for members in found} - {frozenset()} == wanted


async def _joinings(connection: AsyncConnection, count: int) -> list[int]:
    """The entry by which the two of each history came to be one customer."""
    names = {name: one for one, name in (await names_of(connection)).items()}
    walked = {one: one for one in names.values()}
    apart = {number: [names[one.name(number)] for one in _ends().said] for number in range(count)}
    found = []
    for event in await rows_of(connection, tables.merge_event):
        walked.update(dict.fromkeys(event["profile_ids"], event["customer_id"]))
        joined = [n for n, ends in apart.items() if len({walked[one] for one in ends}) == 1]
        for number in joined:
            del apart[number]
            found.append(event["id"])
    assert not apart, "they never were one"
    return found


PARTED: Final = Claim(
    st.tuples(_of_two_towns(), st.integers(0, 20)), st.none(), _leave_both_as_they_were
)


async def test_an_automatic_merge_that_is_undone_leaves_both_sides_as_if_never_merged(
    connection: AsyncConnection,
) -> None:
    await try_slice(connection, PARTED)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_automatic_merges_undone_leave_both_sides_as_if_never_merged(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, PARTED, part)
