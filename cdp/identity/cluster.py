"""The partition: a pure function of the evidence and the rules, blind to order and to time."""

from collections.abc import Collection, Iterable, Iterator

from cdp.identity.bounds import is_overgrown, overgrown_name, tying
from cdp.identity.components import Components
from cdp.identity.evidence import NO_TIES, Evidence, Identifier, Ties
from cdp.identity.growing import Growing
from cdp.identity.outcome import BOUND_PRIORITY, Partition, Review
from cdp.identity.rules import Rules
from cdp.values import ProfileId


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
    growing = Growing(bound, rules, ties.decisions, pairs)
    growing.decide()
    for identifiers, members in components.each(rules):
        growing.build(identifiers, members, shared)
    growing.ask(asking)
    alone = [[one] for one in known if one not in tied]
    return Partition(
        [*alone, *growing.customers()],
        growing.joins,
        [*growing.reviews(), *_overgrown(known.values(), rules)],
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
