"""Generated histories: what sources tell, and what people decide in between."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from hypothesis import strategies as st
from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.deciding import Author, Effect
from cdp.delivery import Batch
from cdp.errors import BadInput, NotFound
from cdp.identity.ledger import BY_THE_RULES
from cdp.identity.rules import Document, check_document, read_document, read_rules
from cdp.ingest import apply
from cdp.remap import fold, moment_of, write_map
from cdp.rulechange import apply_rules
from cdp.stewardship import decide, merge_customers, split_customer, undo
from cdp.values import CustomerId, ProfileId
from tests.cdp.at_once import rows_of
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.side_by_side import count_rows
from tests.cdp.telling import SOURCES, TOWN, Said, Telling, Town, number_of, things

MOST_STEPS: Final = 10  # after the first, in which everybody is told of
AUTHOR: Final = Author("ann", "They wrote to us.")


@dataclass(frozen=True, slots=True)
class Tell:
    """Sources tell something, in one batch each."""

    said: Sequence[Telling]


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
    """Other rules are put in force, for all who live side by side, before their step `at`."""

    at: int
    document: Document


Step: TypeAlias = Tell | Merge | Split | Undo | Answer | Score
Decision: TypeAlias = Merge | Split | Undo | Answer
Thing = TypeVar("Thing")


def tells(town: Town = TOWN) -> st.SearchStrategy[Tell]:
    """Some things that one source tells at once."""
    several = st.lists(things(town), min_size=1, max_size=4)
    return st.tuples(st.sampled_from(SOURCES), several).map(
        lambda one: Tell([Telling(one[0], *thing) for thing in one[1]])
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
    )


def steps() -> st.SearchStrategy[list[Step]]:
    """Whole histories, but for the rules in force."""
    everybody = st.tuples(st.sampled_from(SOURCES), things(TOWN))
    first = st.lists(everybody, min_size=4, max_size=10).map(
        lambda told: [Tell([Telling(source, *thing) for source, thing in told])]
    )
    rest = st.lists(st.one_of(tells(), tells(), decisions()), min_size=2, max_size=MOST_STEPS)
    parts: st.SearchStrategy[tuple[Sequence[Step], ...]] = st.tuples(first, rest)
    return parts.map(lambda several: [step for part in several for step in part])


def changes() -> st.SearchStrategy[list[Change]]:
    """The rules that are put in force while histories are lived through, from before the first."""
    at = st.one_of(st.just(0), st.integers(0, MOST_STEPS))
    return st.lists(st.builds(Change, at, documents()), max_size=3)


# Doing it -------------------------------------------------------------------------------------


@dataclass(slots=True)
class There:
    """What of one history is there to decide about, each in the order of its id."""

    profiles: list[RowMapping] = field(default_factory=list)
    event_ids: list[int] = field(default_factory=list)
    review_ids: list[int] = field(default_factory=list)

    @property
    def customers(self) -> list[list[ProfileId]]:
        """The source profiles of each customer."""
        found: dict[int, list[ProfileId]] = {}
        for row in self.profiles:
            found.setdefault(row["customer_id"], []).append(ProfileId(row["id"]))
        return list(found.values())


async def look(
    connection: AsyncConnection, number_of: Callable[[str], int] = lambda _: 0
) -> Mapping[int, There]:
    """What is there, by the number of the history that a source profile's key belongs to."""
    there: dict[int, There] = defaultdict(There)
    profile, event, review = tables.source_profile.c, tables.merge_event.c, tables.match_review.c
    events = await connection.execute(select(event.id, event.profile_ids).order_by(event.id))
    reviews = await connection.execute(select(review.id, review.left_ids).order_by(review.id))
    # Last: whom an entry or a question speaks of is there, whoever else is writing.
    columns = (profile.id, profile.customer_id, profile.key, profile.compared_digest)
    rows = await connection.execute(select(*columns).order_by(profile.id))
    whose = {}
    for row in rows.mappings():
        whose[row["id"]] = number_of(row["key"])
        there[whose[row["id"]]].profiles.append(row)
    for id_, profile_ids in events:
        there[whose[profile_ids[0]]].event_ids.append(id_)
    for id_, left_ids in reviews:
        there[whose[left_ids[0]]].review_ids.append(id_)
    return there


@dataclass(slots=True)
class Told:
    """Histories under way side by side: everything that each was told so far."""

    connection: AsyncConnection
    said: dict[int, list[Said]] = field(default_factory=lambda: defaultdict(list))

    async def all(
        self, histories: Sequence[Sequence[Step]], changes: Sequence[Change] = ()
    ) -> None:
        """One step of each after another; the rules change for whoever has come to an end too."""
        for at in range(MOST_STEPS + 1):
            await self.change(at, changes)
            now = steps_at(histories, at)
            if now:
                await self.one(now)
            if at == 0:
                await count_rows(self.connection)

    async def change(self, at: int, changes: Sequence[Change]) -> None:
        """Put in force what comes before this step."""
        for change in changes:
            if change.at == at:
                await apply_rules(
                    self.connection, change.document, WORKSPACE, actor="ann", reason="Other rules."
                )

    async def one(self, now: Mapping[int, Step]) -> Mapping[int, Effect]:
        """One step of each; what cannot be done as things are is left out."""
        await self.tell(
            [
                (number, telling.of(number))
                for number, step in now.items()
                if isinstance(step, Tell)
                for telling in step.said
            ]
        )
        there = await look(self.connection, number_of)
        effects = {}
        for number, step in now.items():
            if isinstance(step, Merge | Split | Undo | Answer):
                effect = await act(self.connection, step, there[number])
                if effect is not None:
                    effects[number] = effect
        await self._score([(step, there[n]) for n, step in now.items() if isinstance(step, Score)])
        return effects

    async def tell(self, said: Sequence[tuple[int, Said]]) -> None:
        """One batch for each source that says something, whatever the history."""
        for number, one in said:
            self.said[number].append(one)
        for name in SOURCES:
            part = [delivery for _, (source, delivery) in said if source == name]
            if part:
                batch = Batch(await a_source(self.connection, name), part)
                await apply(self.connection, batch, WORKSPACE)

    async def _score(self, scored: Sequence[tuple[Score, There]]) -> None:
        compared: list[ProfileId] = []
        for step, there in scored:
            if len(there.profiles) > 1:
                one = _of(there.profiles, step.left)
                other = _of([row for row in there.profiles if row is not one], step.right)
                left, right = sorted((one, other), key=lambda row: int(row["id"]))
                digests = left["compared_digest"], right["compared_digest"]
                await store_pair(self.connection, left["id"], right["id"], step.weight, digests)
                compared += [left["id"], right["id"]]
        if compared:
            await resolve_again(self.connection, compared)


def steps_at(histories: Sequence[Sequence[Thing]], at: int) -> dict[int, Thing]:
    """The step at this place of each that is so long, by its number."""
    return {number: one[at] for number, one in enumerate(histories) if at < len(one)}


async def act(connection: AsyncConnection, step: Decision, there: There) -> Effect | None:
    """Decide; None for what cannot be decided as things are."""
    with suppress(BadInput, NotFound):
        match step:
            case Merge(picks):
                chosen = [min(_of(there.customers, pick)) for pick in picks]
                return await merge_customers(connection, _ids(chosen), AUTHOR, WORKSPACE)
            case Split(pick, mask):
                members = sorted(_of(there.customers, pick))
                leaving = [one for bit, one in enumerate(members) if mask >> bit & 1]
                (mine,) = _ids([members[0]])
                return await split_customer(connection, mine, leaving, AUTHOR, WORKSPACE)
            case Undo(pick):
                return await undo(connection, _of(there.event_ids, pick), AUTHOR, WORKSPACE)
            case Answer(pick, same):
                review_id = _of(there.review_ids, pick)
                return await decide(connection, review_id, AUTHOR, WORKSPACE, same=same)
    return None


async def add_pair(
    connection: AsyncConnection, left: int, right: int, weight: float, digests: tuple[bytes, bytes]
) -> None:
    """Store a scored pair and resolve both ends."""
    await store_pair(connection, left, right, weight, digests)
    await resolve_again(connection, [left, right])


async def store_pair(
    connection: AsyncConnection, left: int, right: int, weight: float, digests: tuple[bytes, bytes]
) -> None:
    """Store a scored pair of the model in force; the first brings one."""
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
