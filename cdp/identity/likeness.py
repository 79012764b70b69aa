"""Scored pairs by whom they tie: what likeness says of two groups of source profiles."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from cdp.identity.evidence import Pair
from cdp.identity.groups import Group
from cdp.identity.rules import Cuts
from cdp.values import ProfileId

Ranks: TypeAlias = Mapping[ProfileId, tuple[str, str, str]]


def by_weight(pair: Pair, ranks: Ranks) -> tuple[object, ...]:
    """Heavy before light, then by who they are: never by ids, which tell of arrival."""
    return (-pair.weight, *sorted((ranks[pair.left], ranks[pair.right])))


class Likeness:
    """The scored pairs of source profiles, and in which group each of these is by now."""

    def __init__(
        self, pairs: Iterable[Pair], rank: Ranks, group: Mapping[ProfileId, Group]
    ) -> None:
        self._rank, self._group = rank, group
        self._pairs: dict[ProfileId, dict[ProfileId, Pair]] = defaultdict(dict)
        for pair in pairs:
            self._pairs[pair.left][pair.right] = pair
            self._pairs[pair.right][pair.left] = pair

    def order(self, pair: Pair) -> tuple[object, ...]:
        """As pairs are taken."""
        return by_weight(pair, self._rank)

    def heaviest_first(self, members: Iterable[ProfileId], cuts: Cuts) -> list[Pair]:
        """The pairs of a component that may join."""
        if not self._pairs:
            return []
        found = [
            pair
            for one in members
            for pair in self._pairs.get(one, {}).values()
            # Once, for its left end: both ends of who may join are in one component.
            if pair.left == one and cuts.joins(pair.weight)
        ]
        return found if len(found) < 2 else sorted(found, key=self.order)

    def between(self, left: Group, right: Group) -> Iterator[Pair]:
        """The scored pairs between two groups."""
        if not self._pairs:
            return
        small, large = left, right
        if len(small.members) > len(large.members):
            small, large = large, small
        for one in small.members:
            known = self._pairs.get(one)
            if known is not None:
                for other, pair in known.items():
                    # Whom only light pairs tie is in no group.
                    if self._group.get(other) is large:
                        yield pair

    def best_between(self, left: Group, right: Group) -> Pair | None:
        """The heaviest of them."""
        return min(self.between(left, right), key=self.order, default=None)
