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

from cdp.identity.cluster import Join, Partition, Review, partition, too_shared
from cdp.identity.evidence import Evidence, Identifier, Rules
from cdp.identity.names import Person
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

STRIPES: Final = 256  # locks at most; PostgreSQL's table of locks has room for some thousands
STRIPE_LOCK: Final = 7_365_002  # the first key of the two-key advisory locks: any number
MAX_ROUNDS: Final = 5  # starts with more stripes; after that all of them are taken
MAX_HOPS: Final = 1_000  # from profile to profile; a longer chain is a fault of ours


@dataclass(frozen=True, slots=True)
class Move:
    """Source profiles that leave one customer for another, and the evidence."""

    kind: str
    customer_id: CustomerId
    from_customer_id: CustomerId
    profile_ids: tuple[ProfileId, ...]
    joins: Sequence[Join]


@dataclass(slots=True)
class Resolution:
    """The map for every profile of the touched components, and how it differs from before."""

    customer_of: dict[ProfileId, CustomerId] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    reviews: Sequence[Review] = ()
    values: Sequence[Identifier] = ()
    """The values that were weighed: those that more than one of them carries."""
    blocked: dict[Identifier, str] = field(default_factory=dict)
    """Values that join nobody from now on, and whether for their `persons` or their `holders`."""
    unblocked: set[Identifier] = field(default_factory=set)


@dataclass(slots=True)
class _Component:
    """The evidence read so far."""

    evidence: dict[ProfileId, Evidence]
    customer_of: dict[ProfileId, CustomerId]
    blocked: set[Identifier] = field(default_factory=set)
    newly_blocked: dict[Identifier, str] = field(default_factory=dict)
    unblocked: set[Identifier] = field(default_factory=set)
    values: set[Identifier] = field(default_factory=set)


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
    if not subjects:
        return Resolution()
    stripes = _stripes(value for one in subjects.values() for value in one.all)
    for round_number in range(MAX_ROUNDS + 1):
        if round_number == MAX_ROUNDS:
            stripes = set(range(STRIPES))
        savepoint = driver.transaction()
        await savepoint.start()
        await _lock(driver, stripes)
        component = await _read_component(driver, subjects, fresh, rules)
        wanted = _stripes(component.values)
        if wanted <= stripes:
            await savepoint.commit()
            break
        await savepoint.rollback()
        stripes |= wanted
    result = partition(component.evidence.values(), rules, component.blocked)
    return _compare(result, component)


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


async def _read_component(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId],
    rules: Rules,
) -> _Component:
    component = _Component(dict(subjects), {})
    known = {one: evidence for one, evidence in subjects.items() if one not in fresh}
    await _read_history(driver, component, known, is_subject=True)
    values = {v for one in component.evidence.values() for v in one.all}
    component.values |= values
    holders, was_blocked = await _sharers(driver, values, reads_blocked=True)
    hopeless = {value for value, reason in was_blocked.items() if reason == "holders"}
    component.blocked |= hopeless
    frontier: dict[ProfileId, Evidence] = {}
    own = _by_value(component.evidence.values())
    for value in values - hopeless:
        others = holders.get(value, {})
        if not others and len(own[value]) == 1:
            continue
        everyone = {**others, **own[value]}
        is_blocked = too_shared(value, everyone.values(), rules)
        if is_blocked:
            component.blocked.add(value)
            reason = "holders" if len(everyone) > rules.most_holders else "persons"
            if was_blocked.get(value) == reason:
                continue
            component.newly_blocked[value] = reason
        elif value in was_blocked:
            component.unblocked.add(value)
        frontier.update(others)
    for _ in range(MAX_HOPS):
        frontier = {i: one for i, one in frontier.items() if i not in component.evidence}
        if not frontier:
            return component
        frontier = await _hop(driver, component, frontier)
    raise AssertionError(f"a component of more than {MAX_HOPS} hops")


async def _hop(
    driver: Driver, component: _Component, frontier: dict[ProfileId, Evidence]
) -> dict[ProfileId, Evidence]:
    """Take the frontier in, and find who shares an unblocked value with it."""
    component.evidence.update(frontier)
    await _read_history(driver, component, frontier, is_subject=False)
    values = {v for one in frontier.values() for v in one.all} - component.values
    component.values |= values
    holders, blocked = await _sharers(driver, values, reads_blocked=False)
    component.blocked |= blocked.keys()
    found: dict[ProfileId, Evidence] = {}
    for others in holders.values():
        found.update(others)
    return found


async def _read_history(
    driver: Driver,
    component: _Component,
    wanted: Mapping[ProfileId, Evidence],
    *,
    is_subject: bool,
) -> None:
    """Complete the evidence of stored profiles: every identifier they ever carried, their map.

    What a subject says now is what it was handed in with; of a contact it adds to what it said.
    """
    if not wanted:
        return
    rows = await driver.fetch(
        "SELECT p.id, p.customer_id, i.kind, i.value, i.is_current"
        " FROM unnest($1::bigint[]) AS k(id) JOIN source_profile p USING (id)"
        " LEFT JOIN identifier i ON i.source_profile_id = p.id",
        list(wanted),
    )
    current: dict[ProfileId, set[Identifier]] = defaultdict(set)
    for profile_id, customer_id, kind, value, is_current in rows:
        component.customer_of[profile_id] = customer_id
        if kind is not None:
            identifier = Identifier(kind, value)
            wanted[profile_id].all.add(identifier)
            if is_current:
                current[profile_id].add(identifier)
    for profile_id, values in current.items():
        one = wanted[profile_id]
        if one.is_contact or not is_subject:
            one.current |= values


async def _sharers(
    driver: Driver, values: Collection[Identifier], *, reads_blocked: bool
) -> tuple[dict[Identifier, dict[ProfileId, Evidence]], dict[Identifier, str]]:
    """Who carries each value, as stored, and which values are blocked and why.

    Of a blocked value nobody is read, unless `reads_blocked` asks for those blocked for their
    persons, to be counted again. The identifiers of who is found are not read yet.
    """
    if not values:
        return {}, {}
    rows = await driver.fetch(
        "WITH k AS (SELECT * FROM unnest($1::text[], $2::text[]) AS k(kind, value))"
        " SELECT i.kind, i.value, NULL AS reason, p.id, s.name, p.stream, p.key, p.given_key,"
        " p.family_key, p.birth_date FROM k JOIN identifier i USING (kind, value)"
        " JOIN source_profile p ON p.id = i.source_profile_id JOIN source s ON s.id = p.source_id"
        " LEFT JOIN blocked_value b ON b.kind = i.kind AND b.value = i.value"
        " WHERE b.reason IS NULL OR (b.reason = 'persons' AND $3)"
        " UNION ALL SELECT b.kind, b.value, b.reason, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
        " FROM k JOIN blocked_value b USING (kind, value)",
        [one.kind for one in values],
        [one.value for one in values],
        reads_blocked,
    )
    seen: dict[ProfileId, Evidence] = {}
    holders: dict[Identifier, dict[ProfileId, Evidence]] = defaultdict(dict)
    blocked: dict[Identifier, str] = {}
    for kind, value, reason, profile_id, source, stream, key, given, family, born in rows:
        if profile_id is None:
            blocked[Identifier(kind, value)] = reason
            continue
        one = seen.get(profile_id)
        if one is None:
            rank, person = (source, stream, key), Person(given, family, born)
            one = Evidence(profile_id, rank, person, is_contact=stream == "contact")
            seen[profile_id] = one
        holders[Identifier(kind, value)][profile_id] = one
    return holders, blocked


def _by_value(evidence: Iterable[Evidence]) -> dict[Identifier, dict[ProfileId, Evidence]]:
    found: dict[Identifier, dict[ProfileId, Evidence]] = defaultdict(dict)
    for one in evidence:
        for value in one.all:
            found[value][one.profile_id] = one
    return found


def _compare(result: Partition, component: _Component) -> Resolution:
    """The new map, and what moves against the old one."""
    resolution = Resolution(
        reviews=result.reviews,
        values=[*result.shared, *component.newly_blocked],
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
    component: _Component,
    before: Mapping[CustomerId, set[ProfileId]],
    joins: Mapping[ProfileId, list[Join]],
) -> Iterable[Move]:
    left: dict[CustomerId, list[ProfileId]] = defaultdict(list)
    for profile_id in members:
        left[_old(component, profile_id)].append(profile_id)
    for old, moved in left.items():
        if old == customer_id:
            continue
        is_split = len(left) == 1 and len(moved) < len(before[old])
        evidence = {id(join): join for one in members for join in joins.get(one, ())}
        yield Move(
            "split" if is_split else "merged",
            customer_id,
            old,
            tuple(sorted(moved)),
            tuple(evidence.values()),
        )


def _old(component: _Component, profile_id: ProfileId) -> CustomerId:
    """The customer before; a profile that is not stored yet has the one that it reserves."""
    return component.customer_of.get(profile_id, CustomerId(profile_id))
