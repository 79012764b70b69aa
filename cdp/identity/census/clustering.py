"""The same partition as `cdp.identity.cluster` makes, of everybody at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdp.identity.census.carried import Carried, carried_by
from cdp.identity.census.columns import Census, Flags, Integers
from cdp.identity.census.components import (
    Components,
    Ends,
    components_of,
    connect,
    decided_of,
)
from cdp.identity.census.doubts import doubts
from cdp.identity.census.people import people_of
from cdp.identity.cluster import partition
from cdp.identity.collector import without_collector
from cdp.identity.evidence import Pair, Ties
from cdp.identity.likeness import by_weight
from cdp.identity.outcome import Review, half_alike
from cdp.identity.rules import Rules
from cdp.values import ProfileId


@dataclass(frozen=True, slots=True)
class Counted:
    """The customers of everybody, and what is left to a person.

    `customer`: of each of the people, in their order, the smallest profile id of their customer;
    `part`: the number of all those whom any evidence ties to them, whether it joins or asks.
    """

    customer: Integers
    part: Integers
    reviews: Sequence[Review]


def count(census: Census, rules: Rules) -> Counted:
    """Cluster everybody; which values too many share is judged on the way."""
    with without_collector():
        people = people_of(census)
        carried = carried_by(census, people, rules)
        ends = Ends(
            census.places_of(census.pairs["left_id"].to_numpy()),
            census.places_of(census.pairs["right_id"].to_numpy()),
        )
        components = components_of(census, carried, ends, rules.cuts)
        wide, is_decided = _parts(census, components, ends, rules)
        # Whatever hangs together with a decision by pairs that ask is clustered together.
        part = np.where(is_decided, len(components.size) + wide, components.number)
        doubted = doubts(census, people, carried, components, ends, rules)
        is_walked = is_decided | doubted[components.number]
        customer = components.first_places()[components.number]
        reviews = _walk(census, carried, ends, part, is_walked, rules, customer)
        reviews += _across(census, ends, part, customer, rules)
        return Counted(census.profile_ids[customer], wide, reviews)


def _parts(
    census: Census, components: Components, ends: Ends, rules: Rules
) -> tuple[Integers, Flags]:
    """Of each place the number of those that hang together, and whether anybody decided of them.

    Pairs that ask go from one component to another, and who was parted is not asked about.
    """
    asks = (census.weights >= rules.cuts.review_weight) & ~ends.inside(components.number)
    sides = components.number[ends.left[asks]], components.number[ends.right[asks]]
    wide = connect(len(components.size), [sides])
    decided = wide.with_any(components.number[decided_of(census)])
    number = wide.number[components.number]
    is_decided = decided[number]
    return number, is_decided


def _walk(
    census: Census,
    carried: Carried,
    ends: Ends,
    part: Integers,
    who: Flags,
    rules: Rules,
    customer: Integers,
) -> list[Review]:
    """Cluster some parts piece by piece; writes the places of their customers, returns reviews."""
    pairs = census.pairs_at(who[ends.left] & ends.inside(part))
    evidence = census.evidence_of(who, carried.place)
    blocked = frozenset(census.values_at(carried.blocked_rows(who)))
    result = partition(evidence, rules, blocked, Ties(census.decisions, pairs))
    sizes = [len(members) for members in result.customers]
    everyone = np.array([one for members in result.customers for one in members], np.int64)
    first = np.array([min(members) for members in result.customers], np.int64)
    customer[census.places_of(everyone)] = census.places_of(np.repeat(first, sizes))
    return list(result.reviews)


def _across(
    census: Census, ends: Ends, part: Integers, customer: Integers, rules: Rules
) -> list[Review]:
    """What pairs ask that tie two parts, once for any two customers: the most open question."""
    is_across = ~ends.inside(part)
    sides = np.sort(np.stack([customer[ends.left], customer[ends.right]]), axis=0)
    key = sides[0] * len(customer) + sides[1]
    asks = is_across & (census.weights >= rules.cuts.review_weight)
    is_told = is_across & np.isin(key, key[asks])
    pairs: dict[int, list[Pair]] = defaultdict(list)
    for one, pair in zip(key[is_told].tolist(), census.pairs_at(is_told), strict=True):
        pairs[one].append(pair)
    members = _members(census, customer, np.unique(sides[:, is_told]))
    ranks = census.ranks_of(np.isin(customer, sides[:, is_told]))
    found = []
    for both, between in pairs.items():
        between.sort(key=lambda pair: by_weight(pair, ranks))
        asking = [pair for pair in between if rules.cuts.asks(pair.weight)]
        asked = max(asking, key=lambda pair: half_alike(pair)[1])
        left, right = sorted(
            (members[one] for one in divmod(both, len(customer))),
            key=lambda who: min(ranks[one] for one in who),
        )
        found.append(Review(asked.name, left, right, *half_alike(asked), between[0]))
    return found


def _members(
    census: Census, customer: Integers, which: Integers
) -> dict[int, tuple[ProfileId, ...]]:
    """The source profiles of some customers."""
    order = np.argsort(customer, kind="stable")
    start = np.searchsorted(customer[order], which)
    end = np.searchsorted(customer[order], which, side="right")
    ids = census.profile_ids[order].tolist()
    slices = zip(which.tolist(), start.tolist(), end.tolist(), strict=True)
    return {one: tuple(ids[first:last]) for one, first, last in slices}
