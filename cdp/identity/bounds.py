"""Bounds on what one value or one source profile may tie."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final

from cdp.identity.evidence import Evidence, Identifier
from cdp.identity.rules import Rules

OVERGROWN: Final = "identifiers"
"""The kind under which a source profile with too many identifiers is left to a review."""


def too_shared(identifier: Identifier, holders: Collection[Evidence], rules: Rules) -> bool:
    """Whether a value is carried by more distinct persons than its kind allows.

    Persons are counted by name, so that a hundred records of one person count once; nameless
    records of the customers stream count one each, contacts not at all.
    """
    if len(holders) > rules.most_holders:
        return True
    most_persons = rules.of(identifier.kind).most_persons
    if len(holders) <= most_persons:
        return False
    names = {(h.person.given, h.person.family) for h in holders if h.person.is_named}
    nameless = sum(1 for h in holders if not h.person.is_named and not h.is_contact)
    return len(names) + nameless > most_persons


def tying(one: Evidence, rules: Rules) -> AbstractSet[Identifier]:
    """The identifiers by which a profile is tied to others, and counts among those who share them.

    All that it ever carried; of one that carries more than a person can, its own key alone.
    """
    return anchors(one) if is_overgrown(one, rules) else one.all


def is_overgrown(one: Evidence, rules: Rules) -> bool:
    """Whether a profile carries more identifiers than a person can."""
    return len(one.all) > rules.most_identifiers


def anchors(one: Evidence) -> AbstractSet[Identifier]:
    """What ties a profile however much it carries: its own key, which a contact has not."""
    source, _, key = one.rank
    return frozenset() if one.is_contact else {Identifier(f"external:{source}", key)}


def overgrown_name(one: Evidence) -> Identifier:
    """Under what a profile with too many identifiers is told in the review queue, and locked."""
    return Identifier(OVERGROWN, "/".join(one.rank))
