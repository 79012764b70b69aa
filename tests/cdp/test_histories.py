"""Identity holds whatever has happened: histories of records and decisions, made at random.

Each property is tried on a slice of histories, and under the marker `prove` on the full count.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.delivery import Received, receive
from cdp.identity.evidence import Verdict
from cdp.identity.rules import Document, read_document
from cdp.identity.ties import write_decision
from cdp.remap import moment_of
from cdp.rulechange import apply_rules
from cdp.stewardship import undo
from cdp.values import ProfileId
from tests.cdp.at_once import rows_of
from tests.cdp.histories import (
    AUTHOR,
    Merge,
    Step,
    Tell,
    Told,
    Town,
    add_pair,
    batches,
    names_of,
    resolve_again,
    shuffled,
    steps,
    tells,
)
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition
from tests.cdp.soundness import require_folded, require_nothing_to_move, require_sound

pytestmark = pytest.mark.anyio

SLICE_COUNT: Final = 40
FULL_COUNT: Final = 10_000
PARTS: Final = 10  # of the full count: each is a test of its own, and takes its own chance

Test = TypeVar("Test", bound=Callable[..., object])


def _histories(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


slice_of_histories: Final = _histories(SLICE_COUNT)
"""How many are tried whenever tests run."""


def all_histories(test: Test) -> Test:
    """How many are tried where proofs are made."""
    for mark in (pytest.mark.parametrize("part", range(PARTS)), pytest.mark.prove):
        test = mark(test)
    return _histories(FULL_COUNT // PARTS)(test)


# Sound, and as if computed at once -------------------------------------------------------------


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


# Any order ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision as sets of profiles by name, wherever they are stored under whatever id."""

    verdict: Verdict
    left: frozenset[str]
    right: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Scored:
    """A scored pair by name, with the digests of what was compared."""

    ends: dict[str, bytes]
    weight: float


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of a history beside its records: in force at its end; decisions in their order."""

    document: Document
    decisions: Sequence[_Decided]
    pairs: Sequence[_Scored]


async def _heard(connection: AsyncConnection) -> _Heard:
    names = await names_of(connection)
    sides: dict[tuple[int, str], set[str]] = {}
    for row in await rows_of(connection, tables.decision_member):
        side = sides.setdefault((row["decision_id"], row["side"]), set())
        side.add(names[row["source_profile_id"]])
    decisions = await rows_of(connection, tables.identity_decision)
    return _Heard(
        (await read_document(await driver(connection)))[1],
        [
            _Decided(
                Verdict(row["kind"]),
                frozenset(sides.get((row["id"], "left"), ())),
                frozenset(sides.get((row["id"], "right"), ())),
            )
            for row in sorted(decisions, key=lambda row: (row["at"], row["id"]))
            if row["retracted_at"] is None
        ],
        [
            _Scored(
                {
                    names[row["left_id"]]: row["left_digest"],
                    names[row["right_id"]]: row["right_digest"],
                },
                row["weight"],
            )
            for row in await rows_of(connection, tables.match_pair)
        ],
    )


async def _tell_otherwise(
    connection: AsyncConnection, told: Told, heard: _Heard, chance: random.Random
) -> None:
    """The same records in another order, cut otherwise and repeated; the rest at any moment."""
    again = Told(connection)
    start = await moment_of(connection)
    waiting: list[tuple[int, _Decided | _Scored]] = list(
        enumerate([*heard.decisions, *heard.pairs])
    )
    chance.shuffle(waiting)
    cut = list(batches(shuffled(told.said, chance), chance))
    ruled = chance.randint(0, len(cut))
    for number in range(len(cut) + 1):
        if number == ruled:
            await apply_rules(
                connection, heard.document, WORKSPACE, actor="ann", reason="The same rules."
            )
        if number < len(cut):
            await again.tell(cut[number])
        ids = {name: one for one, name in (await names_of(connection)).items()}
        for one in list(waiting):
            there = _names(one[1]) <= ids.keys()
            if there and (number == len(cut) or chance.random() < 0.3):
                waiting.remove(one)
                await _bring(connection, one[1], start + timedelta(seconds=one[0]), ids)
    assert not waiting


def _names(one: _Decided | _Scored) -> frozenset[str]:
    return one.left | one.right if isinstance(one, _Decided) else frozenset(one.ends)


async def _bring(
    connection: AsyncConnection, one: _Decided | _Scored, at: datetime, ids: Mapping[str, int]
) -> None:
    if isinstance(one, _Scored):
        (left, digest), (right, other) = sorted((ids[n], d) for n, d in one.ends.items())
        await add_pair(connection, left, right, one.weight, (digest, other))
        return
    sides = [[ProfileId(ids[name]) for name in side] for side in (one.left, one.right)]
    await write_decision(
        await driver(connection),
        one.verdict,
        *sides,
        action="merge",
        at=at,
        actor="ann",
        reason="x",
    )
    await resolve_again(connection, [*sides[0], *sides[1]])


async def _is_blind_to_order(
    connection: AsyncConnection, history: Sequence[Step], seed: int
) -> None:
    told = Told(connection)
    await told.all(history)
    wanted = await partition(connection), await _facts(connection)
    heard = await _heard(connection)
    await connection.rollback()
    await _tell_otherwise(connection, told, heard, random.Random(seed))
    assert (await partition(connection), await _facts(connection)) == wanted
    await require_sound(connection)
    await connection.rollback()


async def _facts(connection: AsyncConnection) -> object:
    """What was bought, by whom; attributes may depend on arrival where sources tell no moment."""
    return {
        members: {column.name: row[column.name] for column in tables.FACT_COLUMNS}
        for members, row in (await facts_by_members(connection)).items()
    }


@slice_of_histories
@given(history=steps(), seed=st.integers(0, 2**32))
async def test_records_and_decisions_in_any_order_batching_and_repetition_give_the_same_customers(
    connection: AsyncConnection, history: list[Step], seed: int
) -> None:
    await _is_blind_to_order(connection, history, seed)


@all_histories
@given(history=steps(), seed=st.integers(0, 2**32))
async def test_ten_thousand_histories_in_any_order_give_the_same_customers(
    connection: AsyncConnection, history: list[Step], seed: int, part: int
) -> None:
    await _is_blind_to_order(connection, history, seed)


# Undone ---------------------------------------------------------------------------------------


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
