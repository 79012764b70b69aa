"""A merge that is undone was never: by hand, nested and in any order, or by the evidence itself."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Received, receive
from cdp.stewardship import undo
from tests.cdp.at_once import rows_of
from tests.cdp.histories import (
    AUTHOR,
    Merge,
    Tell,
    Told,
    all_histories,
    names_of,
    slice_of_histories,
    tells,
)
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition
from tests.cdp.soundness import require_sound
from tests.cdp.telling import Town

pytestmark = pytest.mark.anyio


def _merges_and_tells() -> st.SearchStrategy[list[Merge | Tell]]:
    pick = st.integers(0, 30)
    merges = st.one_of(
        st.builds(Merge, st.tuples(pick, pick)), st.builds(Merge, st.tuples(pick, pick, pick))
    )
    return st.lists(st.one_of(merges, tells()), min_size=3, max_size=9)


async def _is_undone_without_trace(
    connection: AsyncConnection, history: Sequence[Merge | Tell], seed: int
) -> None:
    """Merge, nested too, hear more in between, and undo in any order: as if never merged."""
    chance, told, merges = random.Random(seed), Told(connection), list[int]()
    for step in history:
        effect = await told.one(step)
        if effect is not None:
            merges.append(next(one.event_id for one in effect.changes if one.event_id))
        if merges and chance.random() < 0.2:
            await _undo(connection, merges.pop(chance.randrange(len(merges))))
    chance.shuffle(merges)
    for event_id in merges:
        await _undo(connection, event_id)
    await require_sound(connection)
    found = await facts_by_members(connection)
    await connection.rollback()
    await Told(connection).all([step for step in history if isinstance(step, Tell)])
    assert found == await facts_by_members(connection)
    await connection.rollback()


async def _undo(connection: AsyncConnection, event_id: int) -> None:
    await undo(connection, event_id, AUTHOR, WORKSPACE)


@slice_of_histories
@given(history=_merges_and_tells(), seed=st.integers(0, 2**32))
async def test_merges_undone_in_any_order_were_never(
    connection: AsyncConnection, history: list[Merge | Tell], seed: int
) -> None:
    await _is_undone_without_trace(connection, history, seed)


@all_histories
@given(history=_merges_and_tells(), seed=st.integers(0, 2**32))
async def test_ten_thousand_times_merges_undone_in_any_order_were_never(
    connection: AsyncConnection, history: list[Merge | Tell], seed: int, part: int
) -> None:
    await _is_undone_without_trace(connection, history, seed)


HERE, THERE = Town(1), Town(2)


def _of_two_towns() -> st.SearchStrategy[list[Tell]]:
    return st.lists(st.one_of(tells(HERE), tells(THERE)), min_size=1, max_size=6)


def _bridge() -> Tell:
    """A third source that takes somebody of one town and somebody of the other for one person."""
    ties = {"shop": HERE.key("1"), "till": THERE.key("1")}
    row = {"id": "bridge", "external_ids": ties, "updated_at": "2024-01-01T00:00:00Z"}
    bridge = receive("customers", row)
    assert isinstance(bridge, Received)
    return Tell([("mail", bridge)])


def _ends() -> Tell:
    """The two, as their own sources tell them first."""
    rows = (("shop", HERE), ("till", THERE))
    ends = [
        (source, receive("customers", {"id": town.key("1"), "updated_at": "2023-01-01T00:00:00Z"}))
        for source, town in rows
    ]
    return Tell([(source, end) for source, end in ends if isinstance(end, Received)])


async def _leaves_both_as_they_were(
    connection: AsyncConnection, history: Sequence[Tell], at: int
) -> None:
    """Undo what the evidence joined: but for the evidence itself, as if it had never come."""
    whole = [_ends(), *history]
    at %= len(whole) + 1
    await Told(connection).all([*whole[:at], _bridge(), *whole[at:]])
    event_id = await _joining(connection)
    await _undo(connection, event_id)
    await require_sound(connection)
    found = await partition(connection)
    await connection.rollback()
    await Told(connection).all(whole)
    wanted = await partition(connection)
    assert {members - {"mail/customers/bridge"} for members in found} - {frozenset()} == wanted
    await connection.rollback()


async def _joining(connection: AsyncConnection) -> int:
    """The entry by which the two came to be one customer."""
    names = {name: one for one, name in (await names_of(connection)).items()}
    ends = {names[f"shop/customers/{HERE.key('1')}"], names[f"till/customers/{THERE.key('1')}"]}
    walked = {one: one for one in names.values()}
    for event in await rows_of(connection, tables.merge_event):
        walked.update(dict.fromkeys(event["profile_ids"], event["customer_id"]))
        if len({walked[one] for one in ends}) == 1:
            event_id = event["id"]
            assert isinstance(event_id, int)
            return event_id
    raise AssertionError("they never were one")


@slice_of_histories
@given(history=_of_two_towns(), at=st.integers(0, 20))
async def test_an_automatic_merge_that_is_undone_leaves_both_sides_as_if_never_merged(
    connection: AsyncConnection, history: list[Tell], at: int
) -> None:
    await _leaves_both_as_they_were(connection, history, at)


@all_histories
@given(history=_of_two_towns(), at=st.integers(0, 20))
async def test_ten_thousand_automatic_merges_undone_leave_both_sides_as_if_never_merged(
    connection: AsyncConnection, history: list[Tell], at: int, part: int
) -> None:
    await _leaves_both_as_they_were(connection, history, at)
