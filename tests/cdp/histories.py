"""Generated histories: what sources tell, and what people decide in between."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.delivery import Batch
from cdp.errors import BadInput, NotFound
from cdp.identity.ledger import BY_THE_RULES
from cdp.identity.rules import Document, check_document, read_document, read_rules
from cdp.ingest import apply
from cdp.remap import fold, moment_of, write_map
from cdp.rulechange import apply_rules
from cdp.stewardship import Author, Effect, decide, merge_customers, split_customer, undo
from cdp.values import CustomerId, ProfileId
from tests.cdp.at_once import rows_of
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.telling import SOURCES, TOWN, Said, Town, deliveries

AUTHOR: Final = Author("ann", "They wrote to us.")


@dataclass(frozen=True, slots=True)
class Tell:
    """Sources tell something, in one batch each."""

    said: Sequence[Said]


@dataclass(frozen=True, slots=True)
class Merge:
    """Somebody merges customers, picked among those that there are."""

    picks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Somebody takes source profiles out of a customer; `mask` has a bit for each."""

    pick: int
    mask: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Somebody takes back an entry of the ledger."""

    pick: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody answers a question of the queue."""

    pick: int
    same: bool


@dataclass(frozen=True, slots=True)
class Score:
    """Linkage compares two source profiles as they are now."""

    left: int
    right: int
    weight: float


@dataclass(frozen=True, slots=True)
class Change:
    """Other rules are put in force."""

    document: Document


Thing = TypeVar("Thing")
Step: TypeAlias = Tell | Merge | Split | Undo | Answer | Score | Change


def tells(town: Town = TOWN) -> st.SearchStrategy[Tell]:
    """Some things that one source tells at once."""
    several = st.lists(deliveries(town), min_size=1, max_size=4)
    return st.tuples(st.sampled_from(SOURCES), several).map(
        lambda one: Tell([(one[0], delivery) for delivery in one[1]])
    )


# What people decide ---------------------------------------------------------------------------


def documents() -> st.SearchStrategy[Document]:
    """Rules, mostly so tight that a history of a few records meets every bound."""

    def whole(bounds: dict[str, int], email: dict[str, int], linkage: dict[str, float]) -> Document:
        kinds = {"email": {"strength": "common", **email}}
        return check_document({**bounds, "kinds": kinds, "linkage": linkage})

    return st.builds(
        whole,
        st.fixed_dictionaries(
            {
                "most_persons_per_component": st.sampled_from([2, 4, 200]),
                "most_profiles_per_component": st.sampled_from([2, 4, 7, 5_000]),
                "most_holders": st.sampled_from([2, 4, 1_000]),
                "most_identifiers": st.sampled_from([3, 4, 6, 1_000]),
            }
        ),
        st.fixed_dictionaries(
            {
                "most_per_customer": st.sampled_from([1, 2, 8]),
                "most_persons": st.sampled_from([1, 2, 10]),
            }
        ),
        st.fixed_dictionaries(
            {"join_weight": st.sampled_from([3.0, 8.0]), "review_weight": st.just(0.0)}
        ),
    )


def decisions() -> st.SearchStrategy[Step]:
    """What people and linkage do."""
    pick = st.integers(0, 30)
    weight = st.sampled_from([-5.0, 2.0, 5.0, 12.0])
    return st.one_of(
        st.builds(Merge, st.tuples(pick, pick)),
        st.builds(Merge, st.tuples(pick, pick, pick)),
        st.builds(Split, pick, st.integers(1, 30)),
        st.builds(Undo, pick),
        st.builds(Undo, pick),
        st.builds(Answer, pick, st.booleans()),
        st.builds(Score, pick, pick, weight),
        st.builds(Change, documents()),
    )


def steps() -> st.SearchStrategy[list[Step]]:
    """Whole histories."""
    rules = st.lists(st.builds(Change, documents()), max_size=1)
    everybody = st.tuples(st.sampled_from(SOURCES), deliveries(TOWN))
    first = st.lists(everybody, min_size=4, max_size=10).map(lambda told: [Tell(told)])
    rest = st.lists(st.one_of(tells(), decisions()), min_size=2, max_size=10)
    parts: st.SearchStrategy[tuple[Sequence[Step], ...]] = st.tuples(rules, first, rest)
    return parts.map(lambda several: [step for part in several for step in part])


# Doing it -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Told:
    """A history under way: everything that was said so far."""

    connection: AsyncConnection
    said: list[Said] = field(default_factory=list)

    async def all(self, history: Sequence[Step]) -> None:
        """One step after another."""
        for step in history:
            await self.one(step)

    async def one(self, step: Step) -> Effect | None:
        """One step; what cannot be done as things are is left out."""
        match step:
            case Tell(said):
                await self.tell(said)
            case Score():
                await self._score(step)
            case Change(document):
                await apply_rules(
                    self.connection, document, WORKSPACE, actor="ann", reason="Other rules."
                )
            case _:
                with suppress(BadInput, NotFound):
                    return await self._act(step)
        return None

    async def tell(self, said: Sequence[Said]) -> None:
        """One batch for each source that says something."""
        self.said += said
        for name in SOURCES:
            part = [delivery for source, delivery in said if source == name]
            if part:
                batch = Batch(await a_source(self.connection, name), part)
                await apply(self.connection, batch, WORKSPACE)

    async def _act(self, step: Merge | Split | Undo | Answer) -> Effect | None:
        connection = self.connection
        match step:
            case Merge(picks):
                there = await self.customers()
                chosen = [min(_of(there, pick)) for pick in picks if there]
                return await merge_customers(connection, _ids(chosen), AUTHOR, WORKSPACE)
            case Split(pick, mask):
                members = sorted(_of(await self.customers(), pick))
                leaving = [one for bit, one in enumerate(members) if mask >> bit & 1]
                (mine,) = _ids([members[0]])
                return await split_customer(connection, mine, leaving, AUTHOR, WORKSPACE)
            case Undo(pick):
                events = await rows_of(connection, tables.merge_event)
                event_id = _of(events, pick)["id"]
                return await undo(connection, event_id, AUTHOR, WORKSPACE)
            case Answer(pick, same):
                asked = await rows_of(connection, tables.match_review)
                review_id = _of(asked, pick)["id"]
                return await decide(connection, review_id, AUTHOR, WORKSPACE, same=same)

    async def customers(self) -> list[list[ProfileId]]:
        """The source profiles of each customer."""
        found: dict[int, list[ProfileId]] = {}
        for row in await rows_of(self.connection, tables.source_profile):
            found.setdefault(row["customer_id"], []).append(ProfileId(row["id"]))
        return list(found.values())

    async def _score(self, step: Score) -> None:
        connection = self.connection
        rows = await rows_of(connection, tables.source_profile)
        if len(rows) < 2:
            return
        one = _of(rows, step.left)
        other = _of([row for row in rows if row["id"] != one["id"]], step.right)
        left, right = sorted((one, other), key=lambda row: int(row["id"]))
        digests = left["compared_digest"], right["compared_digest"]
        await add_pair(connection, left["id"], right["id"], step.weight, digests)


async def add_pair(
    connection: AsyncConnection, left: int, right: int, weight: float, digests: tuple[bytes, bytes]
) -> None:
    """Store a scored pair of the model in force, the first brings one, and resolve both ends."""
    model = await _model(connection)
    table = tables.match_pair
    await connection.execute(
        table.delete().where(table.c.left_id == left, table.c.right_id == right)
    )
    await connection.execute(
        insert(table).values(
            left_id=left,
            right_id=right,
            weight=weight,
            probability=1 / (1 + 2**-weight),
            parts={},
            model_version=model,
            left_digest=digests[0],
            right_digest=digests[1],
        )
    )
    await resolve_again(connection, [left, right])


async def _model(connection: AsyncConnection) -> int:
    _, document, model = await read_document(await driver(connection))
    if model is None:
        table = tables.linkage_model
        model = await connection.scalar(
            insert(table).values(document={}).returning(table.c.version)
        )
        assert model is not None
        await apply_rules(
            connection, document, WORKSPACE, actor="ann", reason="A model.", model_version=model
        )
    return model


async def resolve_again(connection: AsyncConnection, profile_ids: Sequence[int]) -> None:
    """Bring the map up to date for profiles whose ties have changed."""
    rules = await read_rules(await driver(connection))
    at = await moment_of(connection)
    profiles = [ProfileId(one) for one in profile_ids]
    remap = await write_map(connection, profiles, rules, BY_THE_RULES, at)
    await fold(connection, remap, WORKSPACE)


async def names_of(connection: AsyncConnection) -> dict[int, str]:
    """What each source profile is called, whatever its id: `shop/customers/1`."""
    sources = {row["id"]: row["name"] for row in await rows_of(connection, tables.source)}
    return {
        row["id"]: f"{sources[row['source_id']]}/{row['stream']}/{row['key']}"
        for row in await rows_of(connection, tables.source_profile)
    }


def shuffled(said: Sequence[Said], chance: random.Random) -> list[Said]:
    """The same in another order, some of it twice."""
    again = [*said, *chance.choices(said, k=len(said) // 3)]
    chance.shuffle(again)
    return again


def batches(said: Sequence[Said], chance: random.Random) -> Iterator[Sequence[Said]]:
    """Cut into batches of any size, in their order."""
    start = 0
    while start < len(said):
        size = chance.randint(1, 8)
        yield said[start : start + size]
        start += size


def _of(several: Sequence[Thing], pick: int) -> Thing:
    if not several:
        raise NotFound("There is nothing to pick from.")
    return several[pick % len(several)]


def _ids(profiles: Sequence[ProfileId]) -> list[CustomerId]:
    return [CustomerId(one) for one in profiles]


# How many ------------------------------------------------------------------------------------

SLICE_COUNT: Final = 12
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
