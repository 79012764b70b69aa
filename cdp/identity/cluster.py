"""The partition: a pure function of the evidence and the rules, blind to order and to time."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.identity.evidence import Evidence, Identifier, KindRule, Rules, Strength
from cdp.identity.names import Person, may_be_one
from cdp.values import ProfileId


@dataclass(frozen=True, slots=True)
class Join:
    """A shared identifier that made source profiles one."""

    identifier: Identifier
    profile_ids: tuple[ProfileId, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """A shared identifier that could not join all who share it, and why."""

    identifier: Identifier
    profile_ids: tuple[ProfileId, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Partition:
    """The customers as sets of source profiles, what joined them, and what was left to a person."""

    customers: Sequence[Sequence[ProfileId]]
    joins: Sequence[Join]
    reviews: Sequence[Review]
    shared: Sequence[Identifier]
    """The identifiers that more than one source profile carries and that are not blocked."""


@dataclass(slots=True, eq=False)
class _Group:
    """Profiles that are one so far; `rank` is that of its first, `current` what they say now."""

    rank: tuple[str, str, str]
    members: list[Evidence]
    persons: frozenset[Person]
    current: frozenset[Identifier]

    def absorb(self, other: "_Group") -> None:
        """Take the other's profiles in."""
        self.rank = min(self.rank, other.rank)
        self.members += other.members
        self.persons |= other.persons
        self.current |= other.current


def _group_of(one: Evidence) -> _Group:
    persons = frozenset([one.person]) if one.person.is_named else _NOBODY
    return _Group(one.rank, [one], persons, one.current)


_NOBODY: Final[frozenset[Person]] = frozenset()


def too_shared(identifier: Identifier, holders: Collection[Evidence], rules: Rules) -> bool:
    """Whether a value is carried by more distinct persons than its kind allows.

    Persons are counted by name, so that a hundred records of one person count once; nameless
    records of the customers stream count one each, contacts not at all.
    """
    if len(holders) > rules.most_holders:
        return True
    names = {(h.person.given, h.person.family) for h in holders if h.person.is_named}
    nameless = sum(1 for h in holders if not h.person.is_named and not h.is_contact)
    return len(names) + nameless > rules.of(identifier.kind).most_persons


def partition(
    evidence: Iterable[Evidence], rules: Rules, blocked: Collection[Identifier] = ()
) -> Partition:
    """Cluster whole components of evidence.

    Shared identifiers are taken from strongest to weakest, then by kind and value. Those who carry
    one join where no rule forbids it. Where some who carry it may not become one, each side joins
    within itself, and whoever would fit two such sides joins neither: it is left to a review.
    """
    profiles = sorted(evidence, key=lambda one: one.rank)
    holders: dict[Identifier, list[Evidence]] = defaultdict(list)
    for one in profiles:
        for identifier in one.all:
            if identifier not in blocked:
                holders[identifier].append(one)
    shared = sorted(
        (identifier for identifier, who in holders.items() if len(who) > 1),
        key=lambda i: (rules.of(i.kind).strength, i.kind, i.value),
    )
    tied = {one.profile_id for identifier in shared for one in holders[identifier]}
    builder = _Builder([one for one in profiles if one.profile_id in tied], rules)
    for component in _components(tied, holders, shared):
        builder.build(component, holders)
    alone = [[one.profile_id] for one in profiles if one.profile_id not in tied]
    return Partition([*alone, *builder.customers()], builder.joins, builder.reviews, shared)


def _components(
    profiles: Iterable[ProfileId],
    holders: Mapping[Identifier, list[Evidence]],
    shared: Sequence[Identifier],
) -> Iterable[list[Identifier]]:
    """The shared identifiers of each connected component, in the order in which they are taken."""
    parent = {one: one for one in profiles}

    def root(profile_id: ProfileId) -> ProfileId:
        while parent[profile_id] != profile_id:
            parent[profile_id] = parent[parent[profile_id]]
            profile_id = parent[profile_id]
        return profile_id

    for identifier in shared:
        first, *others = holders[identifier]
        for other in others:
            parent[root(other.profile_id)] = root(first.profile_id)
    components: dict[ProfileId, list[Identifier]] = defaultdict(list)
    for identifier in shared:
        components[root(holders[identifier][0].profile_id)].append(identifier)
    return components.values()


class _Builder:
    """The groups while they grow."""

    def __init__(self, profiles: Sequence[Evidence], rules: Rules) -> None:
        self._rules = rules
        self._fewest = min(rule.most_per_customer for rule in rules.kinds.values())
        self._group = {one.profile_id: _group_of(one) for one in profiles}
        self.joins: list[Join] = []
        self.reviews: list[Review] = []

    def build(
        self, identifiers: Sequence[Identifier], holders: Mapping[Identifier, list[Evidence]]
    ) -> None:
        """Take the shared identifiers of one component."""
        persons = {
            (one.person.given, one.person.family)
            for identifier in identifiers
            for one in holders[identifier]
        }
        is_chain = len(persons) > self._rules.most_persons_per_component
        for identifier in identifiers:
            if is_chain and self._rules.of(identifier.kind).strength is not Strength.UNIQUE:
                reason = f"Its component ties {len(persons)} persons together."
                self._review(identifier, holders[identifier], reason)
            else:
                self._take(identifier, holders[identifier])

    def customers(self) -> list[list[ProfileId]]:
        """Each group as the ids of its profiles."""
        groups = {id(group): group for group in self._group.values()}
        return [[one.profile_id for one in group.members] for group in groups.values()]

    def _take(self, identifier: Identifier, who: list[Evidence]) -> None:
        rule = self._rules.of(identifier.kind)
        groups = self._groups_of(who)
        if len(groups) == 1:
            return
        if len(groups) > 2:
            for alike in _by_persons(groups):
                self._unite(identifier, alike, who)
            groups = self._groups_of(who)
        fits = [
            {j for j, other in enumerate(groups) if j != i and self._fit(group, other, rule)}
            for i, group in enumerate(groups)
        ]
        torn = {i for i, fit in enumerate(fits) if any(fit - {j} - fits[j] for j in fit)}
        taken = set(torn)
        for i, group in enumerate(groups):
            if i not in taken:
                side = sorted(fits[i] - torn)
                taken.update(side)
                self._unite(identifier, [group, *(groups[j] for j in side)], who)
        if any(len(fit) < len(groups) - 1 for fit in fits):
            reason = "Some who share it cannot be one person."
            if torn:
                reason = "Some who share it would fit several who cannot be one person."
            self._review(identifier, who, reason)

    def _groups_of(self, who: Iterable[Evidence]) -> list[_Group]:
        found = {id(group): group for group in (self._group[one.profile_id] for one in who)}
        return sorted(found.values(), key=lambda group: group.rank)

    def _fit(self, left: _Group, right: _Group, rule: KindRule) -> bool:
        """Whether no rule forbids that two groups become one."""
        if rule.strength is not Strength.UNIQUE and not all(
            may_be_one(one, other, family_may_change=rule.family_may_change)
            for one in left.persons
            for other in right.persons
        ):
            return False
        return self._within_limits((left, right))

    def _within_limits(self, groups: Sequence[_Group]) -> bool:
        """Whether one customer may have the identifiers of all: no more of a kind than allowed.

        What one of them has alone is no reason: it is there, joined or not.
        """
        together = frozenset[Identifier]().union(*(group.current for group in groups))
        if len(together) <= self._fewest:
            return True
        alone = [_count(group.current) for group in groups]
        return all(
            count <= max(self._rules.of(kind).most_per_customer, *(one[kind] for one in alone))
            for kind, count in _count(together).items()
        )

    def _unite(
        self, identifier: Identifier, groups: Sequence[_Group], who: Sequence[Evidence]
    ) -> None:
        """Make one of groups that fit each other; none of them where all together would not."""
        if len(groups) < 2:
            return
        if not self._within_limits(groups):
            self._review(identifier, who, "One customer would have too many identifiers of a kind.")
            return
        whole, *others = groups
        for group in others:
            whole.absorb(group)
            for one in group.members:
                self._group[one.profile_id] = whole
        inside = tuple(one.profile_id for one in who if self._group[one.profile_id] is whole)
        self.joins.append(Join(identifier, inside))

    def _review(self, identifier: Identifier, who: Sequence[Evidence], reason: str) -> None:
        if not (self.reviews and self.reviews[-1].identifier == identifier):
            ids = tuple(one.profile_id for one in who)
            self.reviews.append(Review(identifier, ids, reason))


def _by_persons(groups: Iterable[_Group]) -> Iterable[list[_Group]]:
    """Groups of equal names: they fit, however many; taking them first keeps the rest small."""
    alike: dict[frozenset[Person], list[_Group]] = defaultdict(list)
    for group in groups:
        alike[group.persons].append(group)
    return [same for persons, same in alike.items() if persons]


def _count(identifiers: Iterable[Identifier]) -> Counter[str]:
    return Counter(identifier.kind for identifier in identifiers)
