"""Records and decisions give the same customers in whatever order, batches and repetition."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.identity.evidence import Verdict
from cdp.identity.rules import Document, read_document
from cdp.identity.ties import write_decision
from cdp.remap import moment_of
from cdp.rulechange import apply_rules
from cdp.values import ProfileId
from tests.cdp.at_once import rows_of
from tests.cdp.histories import (
    Change,
    Step,
    Told,
    batches,
    changes,
    names_of,
    resolve_again,
    shuffled,
    steps,
    steps_at,
    store_pair,
)
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition
from tests.cdp.side_by_side import Claim, count_rows, in_parts, prove, try_slice
from tests.cdp.soundness import require_sound
from tests.cdp.telling import Said, number_of

pytestmark = pytest.mark.anyio


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


class _Again:
    """The records of one history in another order, cut otherwise and repeated."""

    def __init__(self, said: Sequence[Said], seed: int) -> None:
        self.chance = random.Random(seed)
        self.batches = list(batches(shuffled(said, self.chance), self.chance))


async def _tell_otherwise(
    connection: AsyncConnection, again: Sequence[_Again], heard: _Heard, ruled: int
) -> None:
    """The same records otherwise, and decisions, pairs and rules at other moments.

    The rules come before the batch `ruled`, or last where there are no more than those before it.
    """
    told = Told(connection)
    start = await moment_of(connection)
    waiting: list[tuple[int, _Decided | _Scored]] = list(
        enumerate([*heard.decisions, *heard.pairs])
    )
    longest = max(len(one.batches) for one in again)
    for at in range(longest + 1):
        if at == min(ruled, longest):
            await apply_rules(
                connection, heard.document, WORKSPACE, actor="ann", reason="The same rules."
            )
        now = steps_at([one.batches for one in again], at)
        await told.tell([(number, one) for number, batch in now.items() for one in batch])
        if at == 0:
            await count_rows(connection)
        ids = {name: one for one, name in (await names_of(connection)).items()}
        brought: list[tuple[float, int, _Decided | _Scored]] = []
        for number, one in waiting:
            names = _names(one)
            whose = again[number_of(next(iter(names)))]
            is_over, place = at >= len(whose.batches), whose.chance.random()
            if names <= ids.keys() and (is_over or place < 0.3):
                brought.append((place, number, one))
        for _, number, one in sorted(brought, key=lambda one: one[0]):
            await _bring(connection, one, start + timedelta(seconds=number), ids)
        if brought:
            ends = {ids[name] for _, _, one in brought for name in _names(one)}
            await resolve_again(connection, sorted(ends))
        there = {number for _, number, _ in brought}
        waiting = [one for one in waiting if one[0] not in there]
    assert not waiting


def _names(one: _Decided | _Scored) -> frozenset[str]:
    return one.left | one.right if isinstance(one, _Decided) else frozenset(one.ends)


async def _bring(
    connection: AsyncConnection, one: _Decided | _Scored, at: datetime, ids: Mapping[str, int]
) -> None:
    if isinstance(one, _Scored):
        (left, digest), (right, other) = sorted((ids[n], d) for n, d in one.ends.items())
        await store_pair(connection, left, right, one.weight, (digest, other))
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


async def _are_blind_to_order(
    connection: AsyncConnection,
    histories: Sequence[tuple[Sequence[Step], int]],
    world: tuple[Sequence[Change], int],
) -> None:
    changes, ruled = world
    told = Told(connection)
    await told.all([history for history, _ in histories], changes)
    wanted = await partition(connection), await _facts(connection)
    heard = await _heard(connection)
    await connection.rollback()
    again = [_Again(told.said[number], seed) for number, (_, seed) in enumerate(histories)]
    await _tell_otherwise(connection, again, heard, ruled)
    assert (await partition(connection), await _facts(connection)) == wanted
    await require_sound(connection)


async def _facts(connection: AsyncConnection) -> object:
    """What was bought, by whom; attributes may depend on arrival where sources tell no moment."""
    return {
        members: {column.name: row[column.name] for column in tables.FACT_COLUMNS}
        for members, row in (await facts_by_members(connection)).items()
    }


BLIND: Final = Claim(
    st.tuples(steps(), st.integers(0, 2**32)),
    st.tuples(changes(), st.integers(0, 8)),
    _are_blind_to_order,
)


async def test_records_and_decisions_in_any_order_batching_and_repetition_give_the_same_customers(
    connection: AsyncConnection,
) -> None:
    await try_slice(connection, BLIND)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_histories_in_any_order_give_the_same_customers(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, BLIND, part)
