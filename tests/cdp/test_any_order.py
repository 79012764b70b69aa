"""Records and decisions give the same customers in whatever order, batches and repetition."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import given
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
    Step,
    Told,
    add_pair,
    all_histories,
    batches,
    names_of,
    resolve_again,
    shuffled,
    slice_of_histories,
    steps,
)
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition
from tests.cdp.soundness import require_sound

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
