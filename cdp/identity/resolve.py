"""Online resolution: what new evidence does to the map from source profile to customer.

The components that new evidence touches are read whole, clustered again, and compared with the map.
Writers that touch the same values take turns, by advisory locks: on the values of the subjects in
order, then on those that the component reaches, without waiting. Where one of these is taken, the
resolution starts again with all of them in order.
"""

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg

from cdp.identity.bounds import tying
from cdp.identity.cluster import Join, Partition, Review, partition
from cdp.identity.component import Block, Component, read_component
from cdp.identity.evidence import Evidence, Identifier, Ties
from cdp.identity.rules import Rules
from cdp.identity.stored import read_profiles
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

VALUE_LOCK: Final = 7_365_002  # the first key of the two-key advisory locks: any number
EVERY_VALUE: Final = -1  # the second key: shared by who locks some values, alone for all of them
MOST_LOCKS: Final = 300  # of one writer: PostgreSQL's table of locks has room for 6,400 as it comes
MAX_ROUNDS: Final = 5  # starts with more values; after that every value is locked


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
    """Resolve new and changed source profiles, before they are written.

    `fresh` are those of the subjects that are not stored yet. Takes locks that are held until the
    caller's transaction ends.
    """
    return await _resolve(driver, subjects, fresh, rules)


async def resolve_stored(
    driver: Driver, profile_ids: Collection[ProfileId], rules: Rules
) -> Resolution:
    """Resolve stored source profiles whose ties have changed: by a decision, a pair, or a rule.

    Takes the same locks as `resolve`.
    """
    return await _resolve(driver, await read_profiles(driver, profile_ids, rules), None, rules)


async def _resolve(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId] | None,
    rules: Rules,
) -> Resolution:
    """Resolve; where `fresh` is None the subjects are stored, and read once they are locked."""
    if not subjects:
        return Resolution()
    wanted = {_lock_of(value) for one in subjects.values() for value in tying(one, rules)}
    for round_number in range(MAX_ROUNDS + 1):
        savepoint = driver.transaction()
        await savepoint.start()
        try:
            locks = await _lock(driver, wanted, every=round_number == MAX_ROUNDS)
            if fresh is None:
                subjects = await read_profiles(driver, subjects, rules)
            component = await read_component(driver, subjects, fresh or (), rules, locks.hold)
        except _Taken as taken:
            await savepoint.rollback()
            wanted |= taken.locks
        else:
            await savepoint.commit()
            return _compare(_partition(component, rules), component)
    raise AssertionError("who has locked every value is not refused any")


async def peek(driver: Driver, profile_ids: Collection[ProfileId], rules: Rules) -> Resolution:
    """What these rules would make of stored source profiles, whatever other rules have blocked.

    Without a lock: for a reader with one view of the data.
    """
    subjects = await read_profiles(driver, profile_ids, rules)
    component = await read_component(driver, subjects, (), rules, judges_anew=True)
    return _compare(_partition(component, rules), component)


def _partition(component: Component, rules: Rules) -> Partition:
    ties = Ties(tuple(component.decisions.values()), tuple(component.pairs.values()))
    return partition(component.evidence.values(), rules, component.blocked, ties)


class _Taken(Exception):
    """Another writer has locked one of these values, or there are too many to be locked singly."""

    def __init__(self, locks: set[int]) -> None:
        super().__init__()
        self.locks = locks


@dataclass(slots=True)
class _Locks:
    """The values that one resolution has locked; `held` is None where it is every value."""

    driver: Driver
    held: set[int] | None

    async def hold(self, values: Iterable[Identifier]) -> None:
        """Lock more values. Waits for nobody, who may be waiting for us: raises _Taken."""
        if self.held is None:
            return
        more = {_lock_of(value) for value in values} - self.held
        if not more:
            return
        if len(self.held) + len(more) > MOST_LOCKS or not await self._try(more):
            raise _Taken(more)
        self.held |= more

    async def _try(self, locks: Iterable[int]) -> bool:
        return bool(
            await self.driver.fetchval(
                "SELECT bool_and(pg_try_advisory_xact_lock($1, key))"
                " FROM unnest($2::int[]) AS k(key)",
                VALUE_LOCK,
                list(locks),
            )
        )


async def _lock(driver: Driver, wanted: set[int], *, every: bool) -> _Locks:
    """Wait for the locks of values, in order; many of them cost as much as every value does."""
    if every or len(wanted) > MOST_LOCKS:
        await driver.execute("SELECT pg_advisory_xact_lock($1, $2)", VALUE_LOCK, EVERY_VALUE)
        return _Locks(driver, None)
    await driver.execute(
        "SELECT pg_advisory_xact_lock_shared($1, $2) UNION ALL"
        " SELECT pg_advisory_xact_lock($1, key) FROM unnest($3::int[]) AS k(key)",
        VALUE_LOCK,
        EVERY_VALUE,
        sorted(wanted),
    )
    return _Locks(driver, set(wanted))


def _lock_of(value: Identifier) -> int:
    return zlib.crc32(f"{value.kind} {value.value}".encode()) >> 1  # a positive int of 32 bits


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
    before: dict[CustomerId, set[ProfileId]] = defaultdict(set)
    for profile_id in component.evidence:
        before[_old(component, profile_id)].add(profile_id)
    for members in result.customers:
        customer_id = CustomerId(min(members))
        if len(members) == 1 and members[0] not in component.customer_of:
            resolution.customer_of[members[0]] = customer_id
            continue
        for profile_id in members:
            resolution.customer_of[profile_id] = customer_id
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
