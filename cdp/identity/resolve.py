"""Online resolution: what new evidence does to the map from source profile to customer.

The components that new evidence touches are read whole, clustered again, and compared with the map.
Writers that touch the same values take turns, by advisory locks on stripes of values, taken in
order; a component that reaches into further stripes starts again with all of them.
"""

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg

from cdp.database import by_index
from cdp.identity.bounds import tying
from cdp.identity.cluster import Join, Partition, Review, partition
from cdp.identity.component import Block, Component, read_component
from cdp.identity.evidence import Evidence, Identifier, Ties
from cdp.identity.rules import Rules
from cdp.identity.stored import read_profiles
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

STRIPES: Final = 256  # locks at most; PostgreSQL's table of locks has room for some thousands
STRIPE_LOCK: Final = 7_365_002  # the first key of the two-key advisory locks: any number
MAX_ROUNDS: Final = 5  # starts with more stripes; after that all of them are taken


@dataclass(frozen=True, slots=True)
class Move:
    """Source profiles that leave one customer for another, and the evidence."""

    kind: str
    customer_id: CustomerId
    from_customer_id: CustomerId
    profile_ids: tuple[ProfileId, ...]
    other_ids: tuple[ProfileId, ...]
    """Whom they joined, or left."""
    joins: Sequence[Join]


@dataclass(slots=True)
class Resolution:
    """The map for every profile of the touched components, and how it differs from before."""

    customer_of: dict[ProfileId, CustomerId] = field(default_factory=dict)
    before: Mapping[ProfileId, CustomerId] = field(default_factory=dict)
    """The map as it was, for those that are stored."""
    joins: Sequence[Join] = ()
    """All evidence that joins them, whether or not anybody moves."""
    moves: list[Move] = field(default_factory=list)
    reviews: Sequence[Review] = ()
    values: Sequence[Identifier] = ()
    """The evidence that was weighed: reviews of it are those here, no more."""
    blocked: dict[Identifier, Block] = field(default_factory=dict)
    """Values that join nobody from now on."""
    unblocked: set[Identifier] = field(default_factory=set)


async def resolve(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId],
    rules: Rules,
) -> Resolution:
    """Resolve new and changed source profiles, before they are written."""
    return conclude(await gather(driver, subjects, fresh, rules), rules)


async def gather(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId],
    rules: Rules,
) -> Component:
    """Everyone whom evidence ties to new and changed source profiles, locked and read.

    `fresh` are those of the subjects that are not stored yet. Takes locks that are held until the
    caller's transaction ends.
    """
    if not subjects:
        return Component({}, set())
    stripes = _stripes(value for one in subjects.values() for value in tying(one, rules))
    for round_number in range(MAX_ROUNDS + 1):
        if round_number == MAX_ROUNDS:
            stripes = set(range(STRIPES))
        savepoint = driver.transaction()
        await savepoint.start()
        await _lock(driver, stripes)
        async with by_index(driver):
            component = await read_component(driver, subjects, fresh, rules)
        wanted = _stripes(component.values)
        if wanted <= stripes:
            await savepoint.commit()
            return component
        await savepoint.rollback()
        stripes |= wanted
    raise AssertionError("with every stripe there is none to be wanted")


def conclude(component: Component, rules: Rules) -> Resolution:
    """The new map of everyone in a component, and how it differs from before; asks nobody."""
    ties = Ties(tuple(component.decisions.values()), tuple(component.pairs.values()))
    tied = (one for key, one in component.evidence.items() if key not in component.alone)
    resolution = _compare(partition(tied, rules, component.blocked, ties), component)
    resolution.customer_of.update({one: CustomerId(one) for one in component.alone})
    return resolution


async def resolve_stored(
    driver: Driver, profile_ids: Collection[ProfileId], rules: Rules
) -> Resolution:
    """Resolve stored source profiles whose ties have changed: by a decision, a pair, or a rule.

    Takes the same locks as `resolve`.
    """
    return await resolve(driver, await read_profiles(driver, profile_ids, rules), (), rules)


async def peek(driver: Driver, profile_ids: Collection[ProfileId], rules: Rules) -> Resolution:
    """What these rules would make of stored source profiles, whatever other rules have blocked.

    Without a lock: for a reader with one view of the data.
    """
    subjects = await read_profiles(driver, profile_ids, rules)
    async with by_index(driver):
        component = await read_component(driver, subjects, (), rules, judges_anew=True)
    return conclude(component, rules)


def _stripes(values: Iterable[Identifier]) -> set[int]:
    stripes: set[int] = set()
    for kind, value in values:
        stripes.add(zlib.crc32(f"{kind} {value}".encode()) % STRIPES)
        if len(stripes) == STRIPES:
            break
    return stripes


async def _lock(driver: Driver, stripes: set[int]) -> None:
    await driver.execute(
        "SELECT pg_advisory_xact_lock($1, stripe) FROM unnest($2::int[]) AS s(stripe)",
        STRIPE_LOCK,
        sorted(stripes),
    )


def _compare(result: Partition, component: Component) -> Resolution:
    """The new map, and what moves against the old one."""
    resolution = Resolution(
        before=component.customer_of,
        joins=result.joins,
        reviews=result.reviews,
        values=[*result.weighed, *component.newly_blocked, *component.lapsed],
        blocked=component.newly_blocked,
        unblocked=component.unblocked,
    )
    joins: dict[ProfileId, list[Join]] = defaultdict(list)
    for join in result.joins:
        for profile_id in join.profile_ids:
            joins[profile_id].append(join)
    known: list[Sequence[ProfileId]] = []
    for members in result.customers:
        customer_id = CustomerId(min(members))
        for profile_id in members:
            resolution.customer_of[profile_id] = customer_id
        # Whoever is new and alone leaves nobody, and nobody has left them.
        if len(members) > 1 or members[0] in component.customer_of:
            known.append(members)
    before: dict[CustomerId, set[ProfileId]] = defaultdict(set)
    for members in known:
        for profile_id in members:
            before[_old(component, profile_id)].add(profile_id)
    for members in known:
        customer_id = resolution.customer_of[members[0]]
        resolution.moves += _moves(members, customer_id, component, before, joins)
    return resolution


def _moves(
    members: Sequence[ProfileId],
    customer_id: CustomerId,
    component: Component,
    before: Mapping[CustomerId, set[ProfileId]],
    joins: Mapping[ProfileId, list[Join]],
) -> Iterable[Move]:
    left: dict[CustomerId, list[ProfileId]] = defaultdict(list)
    for profile_id in members:
        left[_old(component, profile_id)].append(profile_id)
    together = set(left.get(customer_id, ()))
    for old, moved in sorted(left.items()):
        if old == customer_id:
            continue
        # The first of those who take an id of their own leave somebody, and join nobody yet.
        evidence = {id(join): join for one in members for join in joins.get(one, ())}
        yield Move(
            "merged" if together else "split",
            customer_id,
            old,
            tuple(sorted(moved)),
            tuple(sorted(together or before[old].difference(moved))),
            tuple(evidence.values()),
        )
        together.update(moved)


def _old(component: Component, profile_id: ProfileId) -> CustomerId:
    """The customer before; a profile that is not stored yet has the one that it reserves."""
    return component.customer_of.get(profile_id, CustomerId(profile_id))
