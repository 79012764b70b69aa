"""Components: everyone whom evidence ties to given source profiles, read from the database."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, TypeAlias

import asyncpg

from cdp.identity.cluster import Components, too_shared, tying
from cdp.identity.evidence import CONTACT, Decision, Evidence, Identifier, Pair
from cdp.identity.names import Person
from cdp.identity.rules import Rules, Strength
from cdp.identity.ties import has_ties, read_decisions, read_pairs
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MAX_HOPS: Final = 1_000  # from profile to profile; a longer chain is a fault of ours
MAX_SHOWN: Final = 20  # of the many who share a blocked value, in the review of it
READ_AT_MOST: Final = 2  # times the largest component: two such may just have been tied together

PERSONS: Final = "persons"
HOLDERS: Final = "holders"
"""Why a value joins nobody: shared by too many persons, or by too many source profiles."""


@dataclass(frozen=True, slots=True)
class Block:
    """Why a value joins nobody, and some of those who carry it."""

    reason: str
    profile_ids: tuple[ProfileId, ...]


@dataclass(slots=True)
class Component:
    """The evidence read so far; `lapsed`: scored pairs of records that have changed since."""

    evidence: dict[ProfileId, Evidence]
    customer_of: dict[ProfileId, CustomerId]
    blocked: set[Identifier] = field(default_factory=set)
    newly_blocked: dict[Identifier, Block] = field(default_factory=dict)
    unblocked: set[Identifier] = field(default_factory=set)
    values: set[Identifier] = field(default_factory=set)
    decisions: dict[int, Decision] = field(default_factory=dict)
    pairs: dict[Identifier, Pair] = field(default_factory=dict)
    lapsed: set[Identifier] = field(default_factory=set)
    hanging: Components = field(default_factory=lambda: Components({}))
    """Which of them share a value, blocked or not."""
    carrier_of: dict[Identifier, ProfileId] = field(default_factory=dict)
    """The first of those who carry each value."""
    alone: set[ProfileId] = field(default_factory=set)
    """New source profiles whom nothing ties to anybody: customers of their own."""
    has_ties: bool = False
    judges_anew: bool = False
    """Whether stored blocks are passed over: for rules that may block other values."""


async def read_component(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId],
    rules: Rules,
    *,
    judges_anew: bool = False,
) -> Component:
    """Everyone whom any evidence ties to the subjects, as far as the bounds of the rules allow.

    `fresh` are those of the subjects that are not stored yet. `judges_anew` reads as if no value
    had been blocked so far. The component may be several that do not hang together.
    """
    component = Component(dict(subjects), {}, judges_anew=judges_anew)
    component.has_ties = await has_ties(driver)
    known = {one: evidence for one, evidence in subjects.items() if one not in fresh}
    await _read_history(driver, component, known, rules, is_subject=True)
    frontier = await _sharing(driver, component, component.evidence, rules, is_subject=True)
    frontier.update(await _tied(driver, component, known, rules))
    for _ in range(MAX_HOPS):
        frontier = {i: one for i, one in frontier.items() if i not in component.evidence}
        if not frontier:
            break
        frontier = await _hop(driver, component, frontier, rules)
    else:
        raise AssertionError(f"a component of more than {MAX_HOPS} hops")
    _drop_lapsed(component)
    component.alone = {
        one
        for one in fresh
        if one not in component.hanging.tied
        and len(component.evidence[one].all) <= rules.most_identifiers
    }
    return component


async def _hop(
    driver: Driver, component: Component, frontier: dict[ProfileId, Evidence], rules: Rules
) -> dict[ProfileId, Evidence]:
    """Take the frontier in, and find who is tied to it."""
    component.evidence.update(frontier)
    await _read_history(driver, component, frontier, rules, is_subject=False)
    found = await _sharing(driver, component, frontier, rules, is_subject=False)
    found.update(await _tied(driver, component, frontier, rules))
    return found


async def _sharing(
    driver: Driver,
    component: Component,
    profiles: Mapping[ProfileId, Evidence],
    rules: Rules,
    *,
    is_subject: bool,
) -> dict[ProfileId, Evidence]:
    """Who shares a value with the given profiles and may be tied by it.

    Of a subject's values it is counted again whether too many share them.
    """
    own = _by_value(profiles.values(), rules)
    _hang_together(component, own)
    values = own.keys() - component.values
    # Every value is locked, also one that joins nobody: a person's decision may yet tie them.
    component.values |= values
    values = rules.unblocked(values)
    if len(component.evidence) > READ_AT_MOST * rules.most_profiles_per_component:
        values = _of_small_components(component, values, rules)
    reads = (PERSONS, HOLDERS) if component.judges_anew else (PERSONS,) if is_subject else ()
    holders, blocked = await _sharers(driver, values, reads)
    unread = {value for value, reason in blocked.items() if reason not in reads}
    component.blocked |= unread
    shared = {value for value, who in own.items() if len(who) > 1}
    found: dict[ProfileId, Evidence] = {}
    for value in values & shared.union(holders) - unread:
        others = holders.get(value, {})
        everyone = {**others, **{one.profile_id: one for one in own[value]}}
        was = None if component.judges_anew else blocked.get(value)
        if _judge(component, value, everyone, was, rules):
            found.update(others)
    return found


def _judge(
    component: Component,
    value: Identifier,
    holders: Mapping[ProfileId, Evidence],
    was: str | None,
    rules: Rules,
) -> bool:
    """Count anew how many share a value; `was` says why it has joined nobody so far, if so.

    Returns whether its holders matter: those of a value that stays blocked do not.
    """
    if not too_shared(value, holders.values(), rules):
        if was is not None:
            component.unblocked.add(value)
        return True
    component.blocked.add(value)
    reason = HOLDERS if len(holders) > rules.most_holders else PERSONS
    if was == reason:
        return False
    who = sorted(holders.values(), key=lambda one: one.rank)[:MAX_SHOWN]
    component.newly_blocked[value] = Block(reason, tuple(one.profile_id for one in who))
    return True


def _hang_together(component: Component, own: Mapping[Identifier, Sequence[Evidence]]) -> None:
    """Tie those who are new here to those with whom they share a value."""
    for value, who in own.items():
        first = component.carrier_of.setdefault(value, who[0].profile_id)
        if len(who) > 1 or first != who[0].profile_id:
            component.hanging.tie((first, *(one.profile_id for one in who)))


def _of_small_components(
    component: Component, values: set[Identifier], rules: Rules
) -> set[Identifier]:
    """The values by which to read on, where much has been read already.

    A component that is known to be larger than the rules allow joins by unique identifiers alone,
    so that only those need to be followed.
    """
    large = component.hanging.larger_than(rules.most_profiles_per_component)
    if not large:
        return values
    by_value = _by_value(component.evidence.values(), rules)
    return {
        value
        for value in values
        if rules.of(value.kind).strength is Strength.UNIQUE
        or large.isdisjoint(one.profile_id for one in by_value[value])
    }


def _drop_lapsed(component: Component) -> None:
    """A pair holds only for the records that it compared, as far as both ends are here."""
    component.lapsed |= {
        name
        for name, pair in component.pairs.items()
        if pair.left not in component.evidence or pair.right not in component.evidence
    }
    for name in component.lapsed:
        component.pairs.pop(name, None)


async def _read_history(
    driver: Driver,
    component: Component,
    wanted: Mapping[ProfileId, Evidence],
    rules: Rules,
    *,
    is_subject: bool,
) -> None:
    """Complete the evidence of stored profiles: every identifier they ever carried, their map.

    Of one that carries more than the rules allow only so many are read as show it. What a subject
    says now is what it was handed in with; of a contact it adds to what it said.
    """
    if not wanted:
        return
    rows = await driver.fetch(
        "SELECT p.id, p.customer_id, i.kind, i.value, i.is_current"
        " FROM unnest($1::bigint[]) AS k(id) JOIN source_profile p USING (id)"
        " LEFT JOIN LATERAL (SELECT kind, value, is_current FROM identifier"
        " WHERE source_profile_id = p.id LIMIT $2) i ON true",
        list(wanted),
        rules.most_identifiers + 1,
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


_PROFILE: Final = "p.id, s.name, p.stream, p.key, p.given_key, p.family_key, p.birth_date, p.digest"
"""What of a stored profile is evidence beside its identifiers; `_evidence` reads it."""


def _evidence(row: Sequence[Any]) -> Evidence:
    profile_id, source, stream, key, given, family, born, digest = row
    person = Person(given, family, born)
    is_contact = stream == CONTACT
    return Evidence(profile_id, (source, stream, key), person, is_contact, digest=digest)


async def read_profiles(
    driver: Driver, profile_ids: Collection[ProfileId]
) -> dict[ProfileId, Evidence]:
    """Stored profiles as evidence, with what they say now; `resolve` reads what they said once."""
    rows = await driver.fetch(
        f"SELECT {_PROFILE}, i.kind, i.value FROM unnest($1::bigint[]) AS k(id)"  # noqa: S608  # our own constant
        " JOIN source_profile p USING (id) JOIN source s ON s.id = p.source_id"
        " LEFT JOIN identifier i ON i.source_profile_id = p.id AND i.is_current",
        list(profile_ids),
    )
    found: dict[ProfileId, Evidence] = {}
    said: dict[ProfileId, set[Identifier]] = defaultdict(set)
    for *profile, kind, value in rows:
        one = found.get(profile[0]) or found.setdefault(profile[0], _evidence(profile))
        if kind is not None:
            said[one.profile_id].add(Identifier(kind, value))
    for profile_id, identifiers in said.items():
        found[profile_id].current = frozenset(identifiers)
        found[profile_id].all |= identifiers
    return found


async def _sharers(
    driver: Driver, values: Collection[Identifier], reads_blocked: Collection[str]
) -> tuple[dict[Identifier, dict[ProfileId, Evidence]], dict[Identifier, str]]:
    """Who carries each value, as stored, and which values are blocked and why.

    Of a blocked value nobody is read, unless `reads_blocked` has the reason. The identifiers of
    who is found are not read yet.
    """
    if not values:
        return {}, {}
    # As the index is sorted, so that a page of it is looked up once for all values that it holds.
    wanted = sorted(values, key=attrgetter("value"))
    rows = await driver.fetch(
        "WITH k AS (SELECT * FROM unnest($1::text[], $2::text[]) AS k(kind, value))"  # noqa: S608  # our own constant
        f" SELECT i.kind, i.value, NULL AS reason, {_PROFILE} FROM k"
        " CROSS JOIN LATERAL (SELECT * FROM identifier"
        " WHERE kind = k.kind AND value = k.value OFFSET 0) i"
        " JOIN source_profile p ON p.id = i.source_profile_id JOIN source s ON s.id = p.source_id"
        " LEFT JOIN blocked_value b ON b.kind = i.kind AND b.value = i.value"
        " WHERE b.reason IS NULL OR b.reason = ANY($3::text[])"
        " UNION ALL SELECT b.kind, b.value, b.reason,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM k JOIN blocked_value b"
        " USING (kind, value)",
        [one.kind for one in wanted],
        [one.value for one in wanted],
        list(reads_blocked),
    )
    seen: dict[ProfileId, Evidence] = {}
    holders: dict[Identifier, dict[ProfileId, Evidence]] = defaultdict(dict)
    blocked: dict[Identifier, str] = {}
    for kind, value, reason, *profile in rows:
        if reason is not None:
            blocked[Identifier(kind, value)] = reason
            continue
        one = seen.get(profile[0]) or seen.setdefault(profile[0], _evidence(profile))
        holders[Identifier(kind, value)][one.profile_id] = one
    return holders, blocked


async def _tied(
    driver: Driver, component: Component, known: Mapping[ProfileId, Evidence], rules: Rules
) -> dict[ProfileId, Evidence]:
    """Whom decisions and scored pairs tie stored profiles to, as far as they are not here yet."""
    if not (known and component.has_ties):
        return {}
    decisions = await read_decisions(driver, known)
    component.decisions.update({one.decision_id: one for one in decisions})
    others = {one for decision in decisions for whole in decision.wholes for one in whole}
    for compared in await read_pairs(driver, known, rules.model_version):
        name = compared.pair.name
        if compared.holds_for(component.evidence):
            component.pairs[name] = compared.pair
            others |= {compared.pair.left, compared.pair.right}
        else:
            component.lapsed.add(name)
    missing = others - component.evidence.keys()
    return await read_profiles(driver, missing) if missing else {}


def _by_value(evidence: Iterable[Evidence], rules: Rules) -> dict[Identifier, list[Evidence]]:
    found: dict[Identifier, list[Evidence]] = defaultdict(list)
    for one in evidence:
        for value in tying(one, rules):
            found[value].append(one)
    return found
