"""Groups of source profiles as they grow into customers: each piece of evidence in its turn."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from cdp.identity.bridges import hold_together
from cdp.identity.evidence import Decision, Evidence, Identifier, Pair, Verdict
from cdp.identity.groups import Group, alike, are_parted, group_of, names_fit, within_limits
from cdp.identity.likeness import Likeness
from cdp.identity.outcome import (
    BOUND_PRIORITY,
    CLASH_PRIORITY,
    LIMIT_PRIORITY,
    TORN_PRIORITY,
    Join,
    Review,
    Why,
    half_alike,
)
from cdp.identity.rules import KindRule, Rules, Strength
from cdp.values import ProfileId

MAX_REVIEWS_PER_VALUE: Final = 10  # pairs of five who share it; a person learns no more from more

_TORN: Final = "It would fit several who cannot be one person.", TORN_PRIORITY
_CLASH: Final = "Their names or birth dates clash.", CLASH_PRIORITY
_LIMIT: Final = "One customer would have too many identifiers of a kind.", LIMIT_PRIORITY
_BRIDGE: Final = "Others of the two customers are not alike.", TORN_PRIORITY


@dataclass(frozen=True, slots=True)
class _Question:
    """A review before the groups are final: one profile of each side stands for it."""

    identifier: Identifier
    left: ProfileId
    right: ProfileId
    why: Why


class Growing:
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
        rank = {}
        for one in profiles:
            self._group[one.profile_id] = group_of(one, rules)
            rank[one.profile_id] = one.rank
        self._decisions = sorted(decisions, key=lambda d: (d.at, d.decision_id), reverse=True)
        self._likeness = Likeness(pairs, rank, self._group)
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
        for pair in self._likeness.heaviest_first(members, self._rules.cuts):
            self._weigh(pair, bound)
        for identifier in weak:
            self._take(identifier, holders[identifier])

    def ask(self, pairs: Iterable[Pair]) -> None:
        """Leave to a person what is alike, but not alike enough: it ties nobody by itself."""
        for pair in sorted(pairs, key=self._likeness.order):
            left, right = self._group[pair.left], self._group[pair.right]
            if left is not right and not are_parted(left, right):
                why = half_alike(pair)
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
                pair = self._likeness.best_between(left, right)
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
        weights = [pair.weight for pair in self._likeness.between(left, right)]
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
        weights = (one.weight for one in self._likeness.between(left, right))
        sizes = len(left.members), len(right.members)
        return None if hold_together(weights, *sizes) else _BRIDGE

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
            best = self._likeness.best_between(left, right)
            if best is not None and best.weight < self._rules.cuts.review_weight:
                continue
            if asked == MAX_REVIEWS_PER_VALUE:
                return
            asked += 1
            one, other = left.members[0], right.members[0]
            self._questions.append(_Question(identifier, one, other, why(left, right)))


def _are_not_parted(left: Group, right: Group) -> bool:
    return not are_parted(left, right)
