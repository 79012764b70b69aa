"""Components: everyone whom evidence ties to given source profiles, walked from tie to tie."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, TypeAlias

import asyncpg

from cdp.identity.bounds import anchors, is_overgrown, overgrown_name, too_shared, tying
from cdp.identity.components import Components
from cdp.identity.evidence import Decision, Evidence, Identifier, Pair
from cdp.identity.rules import Rules, Strength
from cdp.identity.stored import (
    read_around,
    read_history,
    read_members,
    read_overgrown,
    read_profiles,
    read_sharers,
)
from cdp.identity.ties import has_ties, read_decisions, read_pairs
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Holders: TypeAlias = dict[ProfileId, Evidence]
Hold: TypeAlias = Callable[[Iterable[Identifier]], Awaitable[None]]
"""Keeps others from values that are about to be read; asked for the same ones, it does nothing."""

NEAR_HOPS: Final = 8  # from profile to profile, one by one; people hang together within three
AROUND_VALUES: Final = 4  # read ahead with each profile of a longer chain, on average
MAX_HOPS: Final = 1_000  # each reads thousands ahead; more is a fault of ours
MAX_SHOWN: Final = 20  # of the many who share a blocked value, in the review of it

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
    """The evidence read so far; it may be of several components that do not hang together.

    `judges_anew`: stored blocks are passed over, for rules that may block other values.
    """

    evidence: Holders
    subjects: Collection[ProfileId]
    hold: Hold
    judges_anew: bool = False
    has_ties: bool = False
    customer_of: dict[ProfileId, CustomerId] = field(default_factory=dict)
    blocked: set[Identifier] = field(default_factory=set)
    newly_blocked: dict[Identifier, Block] = field(default_factory=dict)
    unblocked: set[Identifier] = field(default_factory=set)
    values: set[Identifier] = field(default_factory=set)
    """Everything that somebody here carries and whose sharers were looked for, blocked or not."""
    unfollowed: set[Identifier] = field(default_factory=set)
    """Values of large zones by which nobody was looked for: what is asked of them stands."""
    decisions: dict[int, Decision] = field(default_factory=dict)
    pairs: dict[Identifier, Pair] = field(default_factory=dict)
    outgrown: set[ProfileId] = field(default_factory=set)
    """Subjects that have come to carry more identifiers than the rules allow."""
    lapsed: set[Identifier] = field(default_factory=set)
    """Evidence that ties nobody any more: pairs of records that have changed, and the like."""
    whole: set[CustomerId] = field(default_factory=set)
    """Customers of whom everybody is here."""
    sharing: set[ProfileId] = field(default_factory=set)
    """Subjects that share a value with anybody, blocked or not."""
    alone: set[ProfileId] = field(default_factory=set)
    """Subjects that are new and that nothing ties to anybody."""


async def hold_nothing(_values: Iterable[Identifier]) -> None:
    """For whoever has one view of the data from start to end."""


async def read_component(
    driver: Driver,
    subjects: Mapping[ProfileId, Evidence],
    fresh: Collection[ProfileId],
    rules: Rules,
    hold: Hold = hold_nothing,
    *,
    judges_anew: bool = False,
) -> Component:
    """Everyone whom any evidence ties to the subjects, as far as the bounds of the rules allow.

    `fresh` are those of the subjects that are not stored yet. `hold` raises what it likes where it
    cannot. `judges_anew` reads as if no value had been blocked so far.
    """
    component = Component(dict(subjects), subjects.keys(), hold, judges_anew)
    component.has_ties = await has_ties(driver)
    known = {one: evidence for one, evidence in subjects.items() if one not in fresh}
    await _complete(driver, component, known, rules, is_subject=True)
    sharing = await _sharing(driver, component, component.evidence, rules, is_subject=True)
    tied = await _tied(driver, component, known, rules)
    for hop in range(MAX_HOPS):
        sharing = {i: one for i, one in sharing.items() if i not in component.evidence}
        if sharing and hop >= NEAR_HOPS:
            tied |= await _around(driver, component, sharing, rules)
        elif not (sharing or tied):
            tied = await _left_behind(driver, component, rules)
        if not (sharing or tied):
            break
        sharing, tied = await _hop(driver, component, sharing, tied, rules)
    else:
        raise AssertionError(f"a component of more than {MAX_HOPS} hops")
    _drop_lapsed(component)
    component.alone = {
        one
        for one in fresh
        if one not in component.sharing and not is_overgrown(component.evidence[one], rules)
    }
    return component


async def _hop(
    driver: Driver, component: Component, sharing: Holders, tied: Holders, rules: Rules
) -> tuple[Holders, Holders]:
    """Take in who was found, and find who shares a value with them or is tied otherwise.

    `sharing` were read when a value of theirs was held, so that nobody else was about to write
    them; `tied` otherwise, and are read again once their values are.
    """
    if tied:
        await _complete(driver, component, tied, rules, is_subject=False)
        await component.hold(_all_of(tied.values(), rules))
        tied = await read_profiles(driver, tied, rules)
    frontier = tied | sharing
    component.evidence.update(frontier)
    await _complete(driver, component, frontier, rules, is_subject=False)
    found = await _sharing(driver, component, frontier, rules, is_subject=False)
    return found, await _tied(driver, component, frontier, rules)


async def _left_behind(driver: Driver, component: Component, rules: Rules) -> Holders:
    """Whoever is one with somebody here, and tied to nobody here any more.

    Evidence can end: a pair lapses, a value comes to be shared by too many. Those whom it joined
    are parted only where both sides are here.
    """
    customers = set(component.customer_of.values()) - component.whole
    if not customers:
        return {}
    component.whole |= customers
    members = await read_members(driver, customers)
    return await _missing(driver, component, members, rules)


async def _around(driver: Driver, component: Component, frontier: Holders, rules: Rules) -> Holders:
    """Those who come after the frontier of a long chain, whom a walk would find one by one."""
    most = AROUND_VALUES * rules.most_profiles_per_component
    near = await read_around(driver, frontier, most)
    return await _missing(driver, component, set(near) - frontier.keys(), rules)


async def _missing(
    driver: Driver, component: Component, profile_ids: Iterable[ProfileId], rules: Rules
) -> Holders:
    missing = set(profile_ids) - component.evidence.keys()
    return await read_profiles(driver, missing, rules) if missing else {}


async def _complete(
    driver: Driver, component: Component, wanted: Holders, rules: Rules, *, is_subject: bool
) -> None:
    """Complete the evidence of stored profiles: every identifier they ever carried, their map.

    What a subject says now is what it was handed in with; of a contact it adds to what it said.
    """
    if not wanted:
        return
    for profile_id, history in (await read_history(driver, wanted, rules)).items():
        one = wanted[profile_id]
        component.customer_of[profile_id] = history.customer_id
        one.all |= history.all
        if one.is_contact or not is_subject:
            one.current |= history.current
        if len(history.all) <= rules.most_identifiers < len(one.all):
            component.outgrown.add(profile_id)


# Who shares a value -----------------------------------------------------------------------------


async def _sharing(
    driver: Driver, component: Component, profiles: Holders, rules: Rules, *, is_subject: bool
) -> Holders:
    """Who shares a value with the given profiles and may be tied by it.

    Of a subject's values it is counted again whether too many share them.
    """
    values = _values_of(component, profiles.values(), rules)
    await component.hold(chain(values, _all_of(profiles.values(), rules)))
    component.values |= values
    values = rules.unblocked(values)
    reads = _rereads(component, profiles, is_subject=is_subject)
    stored, blocked = await read_sharers(driver, values, reads)
    unread = {value for value, reason in blocked.items() if reason not in reads}
    component.blocked |= unread
    own = _by_value(profiles.values(), rules)
    # What one profile carries alone, as most values, ties nobody.
    shared = {value for value, who in own.items() if len(who) > 1}.union(stored, blocked)
    if is_subject:
        component.sharing.update(one for value in shared for one in own.get(value, ()))
    holders = {
        value: _holding(component, value, {**stored.get(value, {}), **own.get(value, {})}, rules)
        for value in values & shared - unread
    }
    await _leave_out_overgrown(driver, component, holders, rules)
    matter = set()
    for value, who in holders.items():
        was = None if component.judges_anew else blocked.get(value)
        if _judge(component, value, who, was, rules):
            matter.add(value)
    if len(component.evidence) - len(component.subjects) > rules.most_profiles_per_component:
        # What joins nobody, as is known by now of everything that they carry, makes no zone.
        tie = values - component.blocked
        unfollowed = tie - _of_small_zones(component, tie, rules)
        component.unfollowed |= unfollowed
        matter -= unfollowed
    return {one: evidence for value in matter for one, evidence in holders[value].items()}


def _values_of(component: Component, profiles: Iterable[Evidence], rules: Rules) -> set[Identifier]:
    """Whose sharers to look for, of what the given profiles carry.

    A subject that has just come to carry too much ties nobody any more, which is to be seen once
    for all that it has tied so far.
    """
    values: set[Identifier] = set()
    for one in profiles:
        if one.profile_id in component.outgrown:
            component.lapsed |= one.all - anchors(one)
            values |= one.all
        else:
            values |= tying(one, rules)
    return values - component.values


def _all_of(profiles: Iterable[Evidence], rules: Rules) -> Iterator[Identifier]:
    """What to hold so that nobody else writes the given profiles: also what joins nobody.

    One that carries too much is held by a name of its own.
    """
    for one in profiles:
        yield from tying(one, rules)
        if is_overgrown(one, rules):
            yield overgrown_name(one)


def _rereads(component: Component, profiles: Holders, *, is_subject: bool) -> tuple[str, ...]:
    """For which reasons a value may be blocked and its sharers are counted all the same.

    The number of source profiles that carry a value falls only where one of them is outgrown.
    """
    if component.judges_anew or not component.outgrown.isdisjoint(profiles):
        return (PERSONS, HOLDERS)
    return (PERSONS,) if is_subject else ()


def _holding(component: Component, value: Identifier, holders: Holders, rules: Rules) -> Holders:
    """The holders of a value, but for those whom it is known not to tie."""
    return {
        one: evidence
        for one, evidence in holders.items()
        if one not in component.evidence or value in tying(component.evidence[one], rules)
    }


async def _leave_out_overgrown(
    driver: Driver,
    component: Component,
    holders: Mapping[Identifier, Holders],
    rules: Rules,
) -> None:
    """Whoever carries too much counts for no value: looked at only where it makes a difference."""
    crowded = [value for value, who in holders.items() if too_shared(value, who.values(), rules)]
    unknown = {one for value in crowded for one in holders[value]} - component.evidence.keys()
    overgrown = await read_overgrown(driver, unknown, rules)
    for value in crowded:
        for one in overgrown & holders[value].keys():
            if value not in anchors(holders[value][one]):
                del holders[value][one]


def _judge(
    component: Component, value: Identifier, holders: Holders, was: str | None, rules: Rules
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
        component.lapsed.discard(value)  # what is told of it stands
        return False
    who = sorted(holders.values(), key=lambda one: one.rank)[:MAX_SHOWN]
    component.newly_blocked[value] = Block(reason, tuple(one.profile_id for one in who))
    # Whom it has joined is one customer with them; whom it asks about is found here alone.
    return was is None and not component.judges_anew


def _of_small_zones(component: Component, values: set[Identifier], rules: Rules) -> set[Identifier]:
    """The values by which to read on, where much has been read already.

    A zone is what hangs together without the subjects. One that is larger than a component may be
    was so before them: it joins by unique identifiers alone, and only those need to be followed.
    A smaller one is read to its end, however many they tie together.
    """
    others = (one for i, one in component.evidence.items() if i not in component.subjects)
    by_value = _by_value(others, rules)
    ties = {
        value: list(who)
        for value, who in by_value.items()
        if len(who) > 1 and value not in component.blocked and not rules.blocks(value)
    }
    large = {
        one
        for _, members in Components(ties).each(rules)
        if len(members) > rules.most_profiles_per_component
        for one in members
    }
    return {
        value
        for value in values
        if rules.of(value.kind).strength is Strength.UNIQUE or large.isdisjoint(by_value[value])
    }


def _by_value(evidence: Iterable[Evidence], rules: Rules) -> dict[Identifier, Holders]:
    found: dict[Identifier, Holders] = defaultdict(dict)
    for one in evidence:
        for value in tying(one, rules):
            found[value][one.profile_id] = one
    return found


# Decisions and scored pairs ---------------------------------------------------------------------


async def _tied(driver: Driver, component: Component, known: Holders, rules: Rules) -> Holders:
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
    return await _missing(driver, component, others, rules)


def _drop_lapsed(component: Component) -> None:
    """A pair holds only for the records that it compared, as far as both ends are here."""
    component.lapsed |= {
        name
        for name, pair in component.pairs.items()
        if pair.left not in component.evidence or pair.right not in component.evidence
    }
    for name in component.lapsed:
        component.pairs.pop(name, None)
