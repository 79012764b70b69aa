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

from cdp.database import by_index
from cdp.identity.bounds import tying
from cdp.identity.cluster import partition
from cdp.identity.component import Block, Component, hold_nothing, read_component
from cdp.identity.evidence import Decision, Evidence, Identifier, Ties
from cdp.identity.outcome import Join, Partition, Review
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
    unfollowed: Collection[Identifier] = ()
    """Values by which nobody was looked for: what is asked of them stands, as far as it can."""
    decisions: Collection[Decision] = ()
    """Those that speak of anybody here."""


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
    fresh: Collection[ProfileId] | None,
    rules: Rules,
) -> Component:
    """Everyone whom evidence ties to new and changed source profiles, locked and read.

    `fresh` are those of the subjects that are not stored yet; None: all are stored, and are read
    again once they are locked. Takes locks that are held until the caller's transaction ends.
    """
    if not subjects:
        return Component({}, (), hold_nothing)
    tied = (value for one in subjects.values() for value in tying(one, rules))
    wanted = _locks_of(tied)
    for round_number in range(MAX_ROUNDS + 1):
        locks, lock = _locked(driver, wanted, every=round_number == MAX_ROUNDS)
        try:
            async with by_index(driver, f"SAVEPOINT resolving; {lock}", _GO_ON):
                if fresh is None:
                    subjects = await read_profiles(driver, subjects, rules)
                return await read_component(driver, subjects, fresh or (), rules, locks.hold)
        except _Taken as taken:
            await driver.execute(_GIVE_BACK)
            wanted |= taken.locks
    raise AssertionError("who has locked every value is not refused any")


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
    stored = await read_profiles(driver, profile_ids, rules)
    return conclude(await gather(driver, stored, None, rules), rules)


async def peek(driver: Driver, profile_ids: Collection[ProfileId], rules: Rules) -> Resolution:
    """What these rules would make of stored source profiles, whatever other rules have blocked.

    Without a lock: for a reader with one view of the data.
    """
    subjects = await read_profiles(driver, profile_ids, rules)
    async with by_index(driver):
        component = await read_component(driver, subjects, (), rules, judges_anew=True)
    return conclude(component, rules)


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
        more = _locks_of(values, self.held)
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


def _locked(driver: Driver, wanted: set[int], *, every: bool) -> tuple[_Locks, str]:
    """The locks of values, and the statements that wait for them, in order.

    Many of them cost as much as every value does.
    """
    if every or len(wanted) > MOST_LOCKS:
        return _Locks(driver, None), f"SELECT pg_advisory_xact_lock({VALUE_LOCK}, {EVERY_VALUE})"
    some = f"SELECT pg_advisory_xact_lock_shared({VALUE_LOCK}, {EVERY_VALUE})"
    keys = ",".join(map(str, sorted(wanted)))
    # As text, and not as a parameter, so that they go with other statements in one message.
    each = f"SELECT pg_advisory_xact_lock({VALUE_LOCK}, k) FROM unnest('{{{keys}}}'::int[]) k"  # noqa: S608
    return _Locks(driver, set(wanted)), f"{some}; {each}"


_GO_ON: Final = "RELEASE SAVEPOINT resolving"
_GIVE_BACK: Final = f"ROLLBACK TO SAVEPOINT resolving; {_GO_ON}"
"""Whoever starts again gives all locks back: with more of them they would not be in order."""


def _locks_of(values: Iterable[Identifier], held: Collection[int] = ()) -> set[int]:
    """The locks of values, but for those held; too many to be locked singly are not all told."""
    locks: set[int] = set()
    for value in values:
        lock = _lock_of(value)
        if lock not in held:
            locks.add(lock)
            if len(locks) > MOST_LOCKS:
                break
    return locks


def _lock_of(value: Identifier) -> int:
    return zlib.crc32(f"{value.kind} {value.value}".encode()) >> 1  # a positive int of 32 bits


def _compare(result: Partition, component: Component) -> Resolution:
    """The new map, and what moves against the old one."""
    resolution = Resolution(
        before=component.customer_of,
        joins=result.joins,
        reviews=[one for one in result.reviews if one.identifier not in component.unfollowed],
        values=[
            one
            for one in (*result.weighed, *component.newly_blocked, *component.lapsed)
            if one not in component.unfollowed
        ],
        blocked=component.newly_blocked,
        unblocked=component.unblocked,
        unfollowed=component.unfollowed,
        decisions=component.decisions.values(),
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
