"""The partition: a pure function of the evidence and the rules, blind to order and to time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, TypeAlias

from cdp.identity.bounds import is_overgrown, overgrown_name, tying
from cdp.identity.bridges import hold_together
from cdp.identity.evidence import NO_TIES, Decision, Evidence, Identifier, Pair, Ties, Verdict
from cdp.identity.groups import Group, alike, are_parted, group_of, names_fit, within_limits
from cdp.identity.rules import KindRule, Rules, Strength
from cdp.values import ProfileId

MAX_REVIEWS_PER_VALUE: Final = 10  # pairs of five who share it; a person learns no more from more

TORN_PRIORITY: Final = 0.9  # whose it is, nothing tells
LIMIT_PRIORITY: Final = 0.5
CLASH_PRIORITY: Final = 0.1  # other names at one address are a household, most of the time
BOUND_PRIORITY: Final = 0.05

_TORN: Final = "It would fit several who cannot be one person.", TORN_PRIORITY
_CLASH: Final = "Their names or birth dates clash.", CLASH_PRIORITY
_LIMIT: Final = "One customer would have too many identifiers of a kind.", LIMIT_PRIORITY
_BRIDGE: Final = "Others of the two customers are not alike.", TORN_PRIORITY

Why: TypeAlias = tuple[str, float]
"""Why two sides are not one, in a sentence, and how open a question it is, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Join:
    """Evidence that made source profiles one; the weight is that of a scored pair."""

    identifier: Identifier
    profile_ids: tuple[ProfileId, ...]
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """Evidence that could not join two sides, and why; `priority`: 1 where nobody knows.

    `pair`: the scored pair that ties the sides best, if there is one. `right` is empty where
    evidence was left out because there is too much of it.
    """

    identifier: Identifier
    left: tuple[ProfileId, ...]
    right: tuple[ProfileId, ...]
    reason: str
    priority: float
    pair: Pair | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """The customers as sets of source profiles, what joined them, and what was left to a person."""

    customers: Sequence[Sequence[ProfileId]]
    joins: Sequence[Join]
    reviews: Sequence[Review]
    weighed: Sequence[Identifier]
    """The evidence that ties more than one: identifiers that are not blocked, and scored pairs."""


def partition(
    evidence: Iterable[Evidence],
    rules: Rules,
    blocked: Collection[Identifier] = (),
    ties: Ties = NO_TIES,
) -> Partition:
    """Cluster whole components of evidence.

    Decisions of people come first, the later before the earlier; then shared identifiers and
    scored pairs from strongest to weakest, identifiers of one strength by kind and value, pairs by
    weight. Those whom a piece of evidence ties join where no rule forbids it. Where some of them
    may not become one, each side joins within itself, and whoever would fit two such sides joins
    neither: it is left to a review.
    """
    known = {one.profile_id: one for one in evidence}
    shared = _shared(known.values(), rules, blocked)
    pairs = [one for one in ties.pairs if one.left in known and one.right in known]
    components = Components(shared)
    for decision in ties.decisions:
        for whole in decision.wholes:
            components.tie(whole & known.keys())
    asking = [one for one in pairs if rules.cuts.asks(one.weight)]
    for pair in pairs:
        if rules.cuts.joins(pair.weight):
            components.tie((pair.left, pair.right))
    tied = {*components.tied, *(one for pair in asking for one in (pair.left, pair.right))}
    bound = (one for one in known.values() if one.profile_id in tied)
    builder = _Builder(bound, rules, ties.decisions, pairs)
    builder.decide()
    for identifiers, members in components.each(rules):
        builder.build(identifiers, members, shared)
    builder.ask(asking)
    alone = [[one] for one in known if one not in tied]
    return Partition(
        [*alone, *builder.customers()],
        builder.joins,
        [*builder.reviews(), *_overgrown(known.values(), rules)],
        [*shared, *(pair.name for pair in pairs)],
    )


def _shared(
    profiles: Iterable[Evidence], rules: Rules, blocked: Collection[Identifier]
) -> dict[Identifier, list[ProfileId]]:
    """Who carries each value that ties more than one, by rank."""
    first: dict[Identifier, Evidence] = {}
    holders: dict[Identifier, list[Evidence]] = {}
    for one in profiles:
        for identifier in tying(one, rules):
            known = first.setdefault(identifier, one)
            if known is not one:
                holders.setdefault(identifier, [known]).append(one)
    return {
        identifier: [one.profile_id for one in sorted(who, key=lambda one: one.rank)]
        for identifier, who in holders.items()
        if identifier not in blocked and not rules.blocks(identifier)
    }


def _overgrown(profiles: Iterable[Evidence], rules: Rules) -> Iterator[Review]:
    """Whoever carries more identifiers than a person can is not silently left out."""
    for one in profiles:
        if is_overgrown(one, rules):
            reason = f"It carries more than {rules.most_identifiers} identifiers: they tie nobody."
            yield Review(overgrown_name(one), (one.profile_id,), (), reason, BOUND_PRIORITY)


class Components:
    """Which profiles hang together by any evidence, and by which identifiers."""

    def __init__(self, shared: Mapping[Identifier, Sequence[ProfileId]]) -> None:
        self._shared = shared
        self._parent: dict[ProfileId, ProfileId] = {}
        for who in shared.values():
            self.tie(who)

    @property
    def tied(self) -> Collection[ProfileId]:
        """Everyone who hangs together with anybody."""
        return self._parent.keys()

    def tie(self, profiles: Iterable[ProfileId]) -> None:
        """These hang together."""
        first: ProfileId | None = None
        for one in profiles:
            root = self._root(one)
            if first is None:
                first = root
            else:
                self._parent[root] = first

    def each(self, rules: Rules) -> Iterable[tuple[list[Identifier], list[ProfileId]]]:
        """Each component: its identifiers in the order in which they are taken, its profiles."""
        found: dict[ProfileId, tuple[list[Identifier], list[ProfileId]]] = {}
        for one in self._parent:
            found.setdefault(self._root(one), ([], []))[1].append(one)
        for identifier, who in self._shared.items():
            found[self._root(who[0])][0].append(identifier)
        for identifiers, _ in found.values():
            identifiers.sort(key=lambda i: (rules.of(i.kind).strength, i.kind, i.value))
        return found.values()

    def larger_than(self, most: int) -> set[ProfileId]:
        """Everyone in a component of more than so many profiles."""
        if len(self._parent) <= most:
            return set()
        roots = {one: self._root(one) for one in self._parent}
        sizes = Counter(roots.values())
        return {one for one, root in roots.items() if sizes[root] > most}

    def _root(self, one: ProfileId) -> ProfileId:
        parent = self._parent
        parent.setdefault(one, one)
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one


@dataclass(frozen=True, slots=True)
class _Question:
    """A review before the groups are final: one profile of each side stands for it."""

    identifier: Identifier
    left: ProfileId
    right: ProfileId
    why: Why


class _Builder:
    """The groups while they grow."""

    def __init__(
        self,
        profiles: Iterable[Evidence],
        rules: Rules,
        decisions: Iterable[Decision],
        pairs: Iterable[Pair],
    ) -> None:
        self._rules = rules
        self._group: dict[ProfileId, Group] = {}
        self._rank: dict[ProfileId, tuple[str, str, str]] = {}
        for one in profiles:
            self._group[one.profile_id] = group_of(one, rules)
            self._rank[one.profile_id] = one.rank
        self._decisions = sorted(decisions, key=lambda d: (d.at, d.decision_id), reverse=True)
        self._pairs: dict[ProfileId, dict[ProfileId, Pair]] = defaultdict(dict)
        for pair in pairs:
            self._pairs[pair.left][pair.right] = pair
            self._pairs[pair.right][pair.left] = pair
        self.joins: list[Join] = []
        self._questions: list[_Question] = []

    def customers(self) -> list[list[ProfileId]]:
        """Each group as the ids of its profiles."""
        return [group.members for group in {id(g): g for g in self._group.values()}.values()]

    def build(
        self,
        identifiers: Sequence[Identifier],
        members: Sequence[ProfileId],
        holders: Mapping[Identifier, Sequence[ProfileId]],
    ) -> None:
        """Join the profiles of one component."""
        bound = self._bound(members)
        weak = []
        for identifier in identifiers:
            strength = self._rules.of(identifier.kind).strength
            if bound and strength is not Strength.UNIQUE:
                groups = self._groups_of(holders[identifier])
                self._ask(identifier, groups, lambda *_: bound)
            elif strength is Strength.WEAK:
                weak.append(identifier)
            else:
                self._take(identifier, holders[identifier])
        for pair in self._heaviest_first(members):
            self._weigh(pair, bound)
        for identifier in weak:
            self._take(identifier, holders[identifier])

    def ask(self, pairs: Iterable[Pair]) -> None:
        """Leave to a person what is alike, but not alike enough: it ties nobody by itself."""
        for pair in sorted(pairs, key=self._pair_order):
            left, right = self._group[pair.left], self._group[pair.right]
            if left is not right and not are_parted(left, right):
                question = 4 * pair.probability * (1 - pair.probability)
                why = "They are alike, but not alike enough.", question
                self._questions.append(_Question(pair.name, pair.left, pair.right, why))

    def reviews(self) -> list[Review]:
        """What is left to a person, once for any two customers: the most open question."""
        asked: dict[frozenset[int], Review] = {}
        for one in self._questions:
            left, right = self._group[one.left], self._group[one.right]
            sides = frozenset((id(left), id(right)))
            reason, priority = one.why
            known = asked.get(sides)
            if left is right or are_parted(left, right):
                continue
            if known is None or known.priority < priority:
                pair = self._best_between(left, right)
                left, right = sorted((left, right), key=lambda group: group.rank)
                members = tuple(sorted(left.members)), tuple(sorted(right.members))
                asked[sides] = Review(one.identifier, *members, reason, priority, pair)
        return list(asked.values())

    def _bound(self, members: Sequence[ProfileId]) -> Why | None:
        """Why the component is a chain rather than a person, if it is one."""
        rules = self._rules
        if len(members) <= min(rules.most_persons_per_component, rules.most_profiles_per_component):
            return None
        if len(members) > rules.most_profiles_per_component:
            most = rules.most_profiles_per_component
            return f"Its component ties more than {most} source profiles.", BOUND_PRIORITY
        persons = {(p.given, p.family) for one in members for p in self._group[one].persons}
        if len(persons) <= rules.most_persons_per_component:
            return None
        return f"Its component ties {len(persons)} persons together.", BOUND_PRIORITY

    # Decisions --------------------------------------------------------------------------------

    def decide(self) -> None:
        """The later first: what it joined or parted, an earlier one does not undo.

        For everybody at once: also those whom likeness alone asks about may be parted.
        """
        members = self._group.keys()
        for decision in self._decisions:
            if decision.verdict is not Verdict.SAME:
                for side, mark in ((decision.left, 1), (decision.right, -1)):
                    for group in self._groups_of(side & members):
                        group.marks |= {mark * decision.decision_id}
            for whole in decision.wholes:
                who = sorted(whole & members)
                fit = _are_not_parted
                self._join_fitting(decision.name, self._groups_of(who), who, fit, limited=False)

    # Shared identifiers -----------------------------------------------------------------------

    def _take(self, identifier: Identifier, who: Sequence[ProfileId]) -> None:
        rule = self._rules.of(identifier.kind)
        groups = self._groups_of(who)
        if len(groups) == 1:
            return
        if len(groups) > 2:
            for same in alike(groups):
                self._unite(identifier, same, who)
            groups = self._groups_of(who)
        if len(groups) == 2 and self._fit(groups[0], groups[1], rule):
            self._make_one(identifier, groups, who)
            return
        torn = self._join_fitting(
            identifier, groups, who, lambda one, other: self._fit(one, other, rule)
        )
        left = self._groups_of(who)
        if len(left) > 1:
            self._ask(identifier, left, lambda one, other: self._why(one, other, rule, torn))

    def _groups_of(self, who: Iterable[ProfileId]) -> list[Group]:
        found = {id(group): group for group in (self._group[one] for one in who)}
        return sorted(found.values(), key=lambda group: group.rank)

    def _fit(self, left: Group, right: Group, rule: KindRule) -> bool:
        """Whether no decision and no rule forbids that two groups become one."""
        return (
            _are_not_parted(left, right)
            and self._agree(left, right, rule)
            and within_limits((left, right), self._rules)
        )

    def _agree(self, left: Group, right: Group, rule: KindRule) -> bool:
        """Whether who they are allows that two who share an identifier are one person.

        Where linkage has weighed all that they say, its weights tell; else their names.
        """
        if rule.strength is Strength.UNIQUE:
            return True
        weights = [pair.weight for pair in self._between(left, right)]
        if not weights:
            return names_fit(left, right, rule)
        return self._rules.cuts.joins(max(weights)) and hold_together(
            weights, len(left.members), len(right.members)
        )

    def _join_fitting(
        self,
        identifier: Identifier,
        groups: Sequence[Group],
        who: Sequence[ProfileId],
        fit: Callable[[Group, Group], bool],
        *,
        limited: bool = True,
    ) -> Collection[int]:
        """Join the groups that fit each other; returns those that fit two which do not fit."""
        fits: list[set[int]] = [set() for _ in groups]
        for (i, one), (j, other) in combinations(enumerate(groups), 2):
            if fit(one, other):
                fits[i].add(j)
                fits[j].add(i)
        torn = {i for i, mine in enumerate(fits) if any(mine - {j} - fits[j] for j in mine)}
        taken = set(torn)
        for i, group in enumerate(groups):
            if i not in taken:
                side = sorted(fits[i] - torn)
                taken.update(side)
                together = [group, *(groups[j] for j in side)]
                self._unite(identifier, together, who, limited=limited)
        return {id(groups[i]) for i in torn}

    def _unite(
        self,
        identifier: Identifier,
        groups: Sequence[Group],
        who: Sequence[ProfileId],
        *,
        weight: float | None = None,
        limited: bool = True,
    ) -> None:
        """Make one of groups that fit each other; none of them where all together would not."""
        if len(groups) > 1 and (not limited or within_limits(groups, self._rules)):
            self._make_one(identifier, groups, who, weight=weight)

    def _make_one(
        self,
        identifier: Identifier,
        groups: Sequence[Group],
        who: Sequence[ProfileId],
        *,
        weight: float | None = None,
    ) -> None:
        """Make one of groups of which it is known that nothing forbids it."""
        whole, *others = groups
        for group in others:
            for one in group.members:
                self._group[one] = whole
            whole.absorb(group)
        inside = tuple(one for one in who if self._group[one] is whole)
        self.joins.append(Join(identifier, inside, weight))

    # Scored pairs -----------------------------------------------------------------------------

    def _heaviest_first(self, members: Iterable[ProfileId]) -> list[Pair]:
        """The pairs of a component that may join."""
        if not self._pairs:
            return []
        found = {
            pair.name: pair
            for one in members
            for pair in self._pairs.get(one, {}).values()
            if self._rules.cuts.joins(pair.weight)
        }
        return sorted(found.values(), key=self._pair_order)

    def _pair_order(self, pair: Pair) -> tuple[object, ...]:
        """Heavy before light, then by who they are: never by ids, which tell of arrival."""
        return (-pair.weight, *sorted((self._rank[pair.left], self._rank[pair.right])))

    def _weigh(self, pair: Pair, bound: Why | None) -> None:
        left, right = self._group[pair.left], self._group[pair.right]
        if left is right or are_parted(left, right):
            return
        why = bound or self._why_not(left, right)
        if why is None:
            who = sorted((pair.left, pair.right))
            self._unite(pair.name, [left, right], who, weight=pair.weight)
        else:
            self._questions.append(_Question(pair.name, pair.left, pair.right, why))

    def _why_not(self, left: Group, right: Group) -> Why | None:
        if not within_limits((left, right), self._rules):
            return _LIMIT
        weights = (one.weight for one in self._between(left, right))
        sizes = len(left.members), len(right.members)
        return None if hold_together(weights, *sizes) else _BRIDGE

    def _between(self, left: Group, right: Group) -> Iterator[Pair]:
        """The scored pairs between two groups."""
        if not self._pairs:
            return
        small, large = sorted((left, right), key=lambda group: len(group.members))
        for one in small.members:
            for other, pair in self._pairs.get(one, {}).items():
                # Whom only light pairs tie is in no group.
                if self._group.get(other) is large:
                    yield pair

    def _best_between(self, left: Group, right: Group) -> Pair | None:
        return min(self._between(left, right), key=self._pair_order, default=None)

    # Reviews ----------------------------------------------------------------------------------

    def _why(self, left: Group, right: Group, rule: KindRule, torn: Collection[int]) -> Why:
        """Why two groups that share an identifier are not one."""
        if id(left) in torn or id(right) in torn:
            return _TORN
        return _LIMIT if names_fit(left, right, rule) else _CLASH

    def _ask(
        self,
        identifier: Identifier,
        groups: Sequence[Group],
        why: Callable[[Group, Group], Why],
    ) -> None:
        """Leave to a person what an identifier could not join; not what was weighed and dropped."""
        asked = 0
        for left, right in combinations(groups, 2):
            best = self._best_between(left, right)
            if best is not None and best.weight < self._rules.cuts.review_weight:
                continue
            if asked == MAX_REVIEWS_PER_VALUE:
                return
            asked += 1
            one, other = left.members[0], right.members[0]
            self._questions.append(_Question(identifier, one, other, why(left, right)))


def _are_not_parted(left: Group, right: Group) -> bool:
    return not are_parted(left, right)
