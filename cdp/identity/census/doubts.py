"""Components that anything at all speaks against: all others are one customer each, for certain.

Clustering takes the evidence of a component piece by piece, and asks at each whether the groups
that it ties fit. Where every answer that it could ever get is yes, the outcome is known without
asking: one customer, and nothing is left to a person. This is so where

* no customer of any of its source profiles has more identifiers of a kind than one may have;
* every scored pair within it joins, and heavily enough that the silence of pairs which were not
  scored cannot outweigh it, however the groups grow;
* the names and birth dates of those whom no pair was scored between are one person's;
* it is within every bound.

Of whom people have decided anything is not asked here: they are clustered piece by piece anyhow.

Each condition is a little stricter than clustering is, so that it errs on the side of doubt: what
is doubted is clustered as ever.
"""

from typing import Final

import numpy as np

from cdp.identity.bridges import MOST_PROFILES, MOST_SAID, UNSEEN
from cdp.identity.census.carried import Carried
from cdp.identity.census.columns import Census, Flags, Integers
from cdp.identity.census.components import Components, Ends
from cdp.identity.census.people import People
from cdp.identity.names import Person, may_be_one
from cdp.identity.rules import Rules

LEAST_MARGIN: Final = 1e-6
"""In log2 of odds: sums of weights taken in another order differ by less."""


def doubts(
    census: Census,
    people: People,
    carried: Carried,
    components: Components,
    ends: Ends,
    rules: Rules,
) -> Flags:
    """Of each component, whether it has to be clustered piece by piece."""
    found = components.size > min(
        rules.most_persons_per_component, rules.most_profiles_per_component, MOST_PROFILES
    )
    found |= components.with_any(np.flatnonzero(carried.overgrown))
    found |= _beyond_limits(carried, components, rules)
    inside = ends.inside(components.number)
    found |= _doubtful_pairs(census, components, ends, inside, rules)
    found |= _weakly_tied_nameless(carried, components, people, rules)
    unsure = np.flatnonzero(~found & (_unscored(components, ends, inside) > 0))
    found[_clashing(census, components, ends, inside, unsure, people)] = True
    return found


def _beyond_limits(carried: Carried, components: Components, rules: Rules) -> Flags:
    """Whether all that its people say now is more of a kind than one customer may have."""
    most = carried.most_per_customer(rules)
    component = components.number[carried.place]
    rows = np.flatnonzero(carried.is_current & (components.size[component] > 1))
    found = np.zeros(len(components.size), np.bool_)
    for distinct in (False, True):  # counting rows is cheap, and clears nearly everybody
        value, where = carried.value[rows], component[rows]
        if distinct:
            key = where * len(carried.kind) + value
            rows = rows[np.unique(key, return_index=True)[1]]
            value, where = carried.value[rows], component[rows]
        kind = carried.kind[value]
        key, count = np.unique(where * len(most) + kind, return_counts=True)
        is_over = count > most[key % len(most)]
        found = np.zeros(len(components.size), np.bool_)
        found[key[is_over] // len(most)] = True
        rows = rows[found[component[rows]]]
    return found


def _unscored(components: Components, ends: Ends, inside: Flags) -> Integers:
    """Of each component, how many pairs of its profiles no pair was scored of."""
    scored = np.bincount(components.number[ends.left[inside]], minlength=len(components.size))
    return components.size * (components.size - 1) // 2 - scored


def _doubtful_pairs(
    census: Census, components: Components, ends: Ends, inside: Flags, rules: Rules
) -> Flags:
    """Whether a scored pair within it does not join, or is outweighed by what was not scored.

    As `cdp.identity.bridges.hold_together` has it: in the worst case one pair alone, the lightest,
    was scored between two groups, which are of half the component each.
    """
    weight = np.minimum(census.weights[inside], MOST_SAID)
    component = components.number[ends.left[inside]]
    lightest = np.full(len(components.size), np.inf)
    np.minimum.at(lightest, component, weight)
    between = components.size**2 // 4 - 1
    silence = UNSEEN * np.minimum(between, _unscored(components, ends, inside))
    return (lightest < max(rules.cuts.join_weight, 0.0)) | (lightest + silence < LEAST_MARGIN)


def _weakly_tied_nameless(
    carried: Carried, components: Components, people: People, rules: Rules
) -> Flags:
    """Whether a weak value ties somebody in it, and somebody has no name and is no contact."""
    weak = carried.ties & carried.is_weak(rules)
    tied = components.with_any(carried.place[carried.is_tying & weak[carried.value]])
    return tied & components.with_any(np.flatnonzero(~people.is_named & ~people.is_contact))


def _clashing(
    census: Census,
    components: Components,
    ends: Ends,
    inside: Flags,
    which: Integers,
    people: People,
) -> Integers:
    """Those of the given components where names clash of two whom no pair was scored between."""
    left, right = _all_pairs(components, which)
    count = census.people.num_rows
    scored = np.sort(ends.left[inside] * count + ends.right[inside])
    is_open = people.is_named[left] & people.is_named[right]
    is_open &= people.number[left] != people.number[right]
    left, right = left[is_open], right[is_open]
    is_open = ~np.isin(left * count + right, scored)
    left, right = left[is_open], right[is_open]
    persons = _persons(census, left, right)
    clashes = [
        one
        for one, other in zip(left.tolist(), right.tolist(), strict=True)
        if not may_be_one(persons[one], persons[other], family_may_change=False)
    ]
    return np.unique(components.number[np.array(clashes, np.int64)])


def _persons(census: Census, *places: Integers) -> dict[int, Person]:
    who = census.flags_of(*places)
    return dict(zip(np.flatnonzero(who).tolist(), census.persons_of(who), strict=True))


def _all_pairs(components: Components, which: Integers) -> tuple[Integers, Integers]:
    """Every two places of the given components, the smaller first."""
    order, start = components.members()
    lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in np.unique(components.size[which]).tolist():
        of_size = which[components.size[which] == size]
        members = order[start[of_size][:, None] + np.arange(size)]
        one, other = np.triu_indices(size, 1)
        lefts.append(members[:, one].ravel())
        rights.append(members[:, other].ravel())
    return np.concatenate(lefts), np.concatenate(rights)
