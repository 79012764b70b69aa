"""Groups of source profiles while they grow into customers, and what keeps two of them apart."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.identity.bounds import tying
from cdp.identity.evidence import Evidence, Identifier
from cdp.identity.names import Person, may_be_one
from cdp.identity.rules import KindRule, Rules, Strength
from cdp.values import ProfileId

_NOBODY: Final[frozenset[Person]] = frozenset()


@dataclass(slots=True, eq=False)
class Group:
    """Profiles that are one so far; `rank` is that of its first, `current` what they say now.

    `marks`: for each decision that parts somebody from a member its number, positive where the
    member stands on the left side, negative on the right.
    """

    rank: tuple[str, str, str]
    members: list[ProfileId]
    persons: frozenset[Person]
    current: frozenset[Identifier]
    is_nameless_contact: bool
    marks: frozenset[int] = frozenset()

    def absorb(self, other: "Group") -> None:
        """Take the other's profiles in."""
        self.rank = min(self.rank, other.rank)
        self.members += other.members
        self.persons |= other.persons
        self.current |= other.current
        self.marks |= other.marks
        self.is_nameless_contact = self.is_nameless_contact and other.is_nameless_contact


def group_of(one: Evidence, rules: Rules) -> Group:
    """A profile alone. What does not tie it does not count against its limits either."""
    persons = frozenset([one.person]) if one.person.is_named else _NOBODY
    is_nameless_contact = one.is_contact and not persons
    current = one.current.intersection(tying(one, rules))
    return Group(one.rank, [one.profile_id], persons, current, is_nameless_contact)


def are_parted(left: Group, right: Group) -> bool:
    """Whether a person decided that somebody of the one is not somebody of the other."""
    return any(-mark in right.marks for mark in left.marks)


def names_fit(left: Group, right: Group, rule: KindRule) -> bool:
    """Whether names and birth dates allow that two who share an identifier are one person."""
    if rule.strength is Strength.UNIQUE:
        return True
    if rule.strength is Strength.WEAK and not (left.persons and right.persons):
        return left.is_nameless_contact or right.is_nameless_contact
    return all(
        may_be_one(one, other, family_may_change=rule.family_may_change)
        for one in left.persons
        for other in right.persons
    )


def within_limits(groups: Sequence[Group], rules: Rules) -> bool:
    """Whether one customer may have the identifiers of all: no more of a kind than allowed.

    What one of them has alone is no reason: it is there, joined or not.
    """
    together = frozenset[Identifier]().union(*(group.current for group in groups))
    # Of each of the kinds there is one at least: what is left of them is no more than allowed.
    if len(together) - len({kind for kind, _ in together}) < rules.fewest_per_customer:
        return True
    alone = [_count(group.current) for group in groups]
    return all(
        count <= max(rules.of(kind).most_per_customer, *(one[kind] for one in alone))
        for kind, count in _count(together).items()
    )


def alike(groups: Iterable[Group]) -> Iterable[list[Group]]:
    """Groups of equal names that no decision parts: they fit, however many.

    Taking them first keeps the rest small.
    """
    found: dict[frozenset[Person], list[Group]] = defaultdict(list)
    for group in groups:
        if group.persons and not group.marks:
            found[group.persons].append(group)
    return found.values()


def _count(identifiers: Iterable[Identifier]) -> Counter[str]:
    return Counter(identifier.kind for identifier in identifiers)
