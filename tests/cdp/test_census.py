"""Everybody at once is clustered as one by one: the same customers, the same questions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from benchmarks.linkage import read
from cdp.identity.bounds import too_shared, tying
from cdp.identity.census import clustering
from cdp.identity.census.clustering import Counted, count
from cdp.identity.census.columns import CARRIED, PAIRS, PEOPLE, Census
from cdp.identity.cluster import partition
from cdp.identity.evidence import (
    CONTACT,
    NO_TIES,
    Decision,
    Evidence,
    Identifier,
    Pair,
    Ties,
    Verdict,
)
from cdp.identity.linkage.linking import train
from cdp.identity.names import Person
from cdp.identity.outcome import Partition
from cdp.identity.rules import DEFAULT_RULES, Cuts, Rules
from cdp.values import ProfileId

SEED, SHOPPERS = 6, 2_000
NARROW = replace(
    DEFAULT_RULES,
    most_persons_per_component=4,
    most_profiles_per_component=6,
    most_holders=5,
    most_identifiers=4,
    kinds={kind: replace(rule, most_per_customer=2) for kind, rule in DEFAULT_RULES.kinds.items()},
    fewest_per_customer=2,
    cuts=Cuts(2.0, -1.0),
)
"""Bounds that histories of a handful reach."""
WIDE = replace(DEFAULT_RULES, cuts=Cuts(2.0, -1.0))
PLAIN_NAMES = ("", "ann", "anne", "bob", "robert", "rob")
KINDS = ("email", "phone", "loyalty_card", "anonymous_id")


def as_census(evidence: Sequence[Evidence], ties: Ties = NO_TIES) -> Census:
    """The same evidence by columns."""
    people = sorted(evidence, key=lambda one: one.profile_id)
    rows = [
        (one.profile_id, *said, said in one.current) for one in people for said in sorted(one.all)
    ]
    told = [
        (one.profile_id, *one.rank, one.person.given, one.person.family, one.person.birth_date)
        for one in people
    ]
    pairs = [(one.left, one.right, one.weight, one.probability) for one in ties.pairs]
    return Census(
        _table(told, PEOPLE), _table(rows, CARRIED), _table(pairs, PAIRS), tuple(ties.decisions)
    )


def _table(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


def one_by_one(evidence: Sequence[Evidence], rules: Rules, ties: Ties) -> Partition:
    """As the definition has it, with the values blocked that too many share."""
    holders: dict[Identifier, list[Evidence]] = defaultdict(list)
    for one in evidence:
        for identifier in tying(one, rules):
            holders[identifier].append(one)
    blocked = {value for value, who in holders.items() if too_shared(value, who, rules)}
    return partition(evidence, rules, blocked, ties)


def assert_same(counted: Counted, census: Census, result: Partition) -> None:
    """The same customers by the same ids, the same questions with the same sides."""
    expected = {one: min(members) for members in result.customers for one in members}
    found = dict(zip(census.profile_ids.tolist(), counted.customer.tolist(), strict=True))
    assert found == expected
    assert sorted(map(repr, counted.reviews)) == sorted(map(repr, result.reviews))


@st.composite
def people(draw: st.DrawFn, most: int = 9) -> list[Evidence]:
    """A handful who share names and values: households, doubles, contacts, who carries too much."""
    pick = st.sampled_from
    found = []
    for number in draw(st.permutations(range(1, draw(st.integers(1, most)) + 1))):
        is_contact = draw(pick([False] * 4 + [True]))
        said = set(draw(st.lists(st.builds(Identifier, pick(KINDS), pick(["1", "2"])), max_size=3)))
        person = Person("", "")
        if not is_contact:
            said.add(Identifier("external:shop", str(number)))
            born = draw(pick([None, None, date(1970, 1, 1), date(1985, 6, 2)]))
            person = Person(draw(pick(PLAIN_NAMES)), draw(pick(["", "doe", "roe"])), born)
        once = set(draw(st.lists(st.builds(Identifier, pick(KINDS), pick(["1", "3"])), max_size=2)))
        rank = ("shop", CONTACT if is_contact else "customers", str(number))
        found.append(
            Evidence(ProfileId(number), rank, person, is_contact, frozenset(said), said | once)
        )
    return found


@st.composite
def ties_of(draw: st.DrawFn, evidence: Sequence[Evidence], decided: int) -> Ties:
    """Scored pairs of all weights, and decisions that may contradict each other."""
    ids = [one.profile_id for one in evidence]
    every_two = list(combinations(sorted(ids), 2))
    ends = draw(st.sets(st.sampled_from(every_two), max_size=9)) if every_two else set()
    weights = st.sampled_from([-6.0, -1.0, -0.5, 0.0, 1.9, 2.0, 3.5, 11.0])
    pairs = [
        Pair(left, right, weight := draw(weights), 1 / (1 + 2.0**-weight))
        for left, right in sorted(ends)
    ]
    decisions = []
    for number in range(draw(st.integers(0, decided))):
        left = frozenset(draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3)))
        right = frozenset(draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3))) - left
        verdict = draw(st.sampled_from(Verdict))
        at = datetime(2026, 1, draw(st.integers(1, 3)), tzinfo=UTC)
        decisions.append(Decision(number + 1, at, verdict, left, right))
    return Ties(decisions, pairs)


@given(st.data(), st.sampled_from([WIDE, NARROW]), st.sampled_from([0, 0, 2]))
def test_everybody_at_once_is_clustered_as_one_by_one(
    data: st.DataObject, rules: Rules, decided: int
) -> None:
    evidence = data.draw(people())
    ties = data.draw(ties_of(evidence, decided))
    census = as_census(evidence, ties)
    counted, result = count(census, rules), one_by_one(evidence, rules, ties)
    event(f"{len(result.customers)} customers, {len(result.reviews)} questions")
    assert_same(counted, census, result)


def test_shoppers_are_clustered_as_one_by_one_and_few_of_them_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiles, census = read(SEED, SHOPPERS)
    linked = train(profiles)
    census = replace(census, pairs=linked.pairs.select(PAIRS.names).cast(PAIRS))
    rules = replace(DEFAULT_RULES, cuts=Cuts(linked.model.join_weight, linked.model.review_weight))
    walked: list[Evidence] = []

    def watched(evidence: Sequence[Evidence], *more: object) -> Partition:
        walked.extend(evidence)
        return partition(evidence, *more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(clustering, "partition", watched)
    counted = count(census, rules)
    assert 0 < len(walked) < SHOPPERS / 3
    carriers = census.carried["profile_id"].to_numpy()
    pairs = census.pairs_at(np.ones(census.pairs.num_rows, np.bool_))
    everybody = census.evidence_of(np.ones(SHOPPERS, np.bool_), census.places_of(carriers))
    assert_same(counted, census, one_by_one(everybody, rules, Ties((), pairs)))


def test_nobody_at_all_are_no_customers() -> None:
    counted = count(as_census([]), DEFAULT_RULES)
    assert (counted.customer.tolist(), counted.reviews) == ([], [])


def test_who_would_have_too_many_addresses_together_is_not_taken_for_one() -> None:
    phone = Identifier("phone", "1")
    both = [
        {phone, *(Identifier("email", f"{number}{letter}") for letter in "ab")} for number in (1, 2)
    ]
    evidence = [_a_profile(number, said) for number, said in enumerate(both, 1)]
    census = as_census(evidence)
    counted = count(census, NARROW)
    assert counted.customer.tolist() == [1, 2]
    assert_same(counted, census, one_by_one(evidence, NARROW, NO_TIES))


def test_one_pair_does_not_outweigh_the_silence_of_all_others() -> None:
    evidence = [_a_profile(n, {Identifier("phone", str(n % 2))}) for n in range(1, 7)]
    ties = Ties((), [Pair(ProfileId(1), ProfileId(2), 2.5, 0.85)])
    census = as_census(evidence, ties)
    counted = count(census, WIDE)
    assert counted.customer.tolist() == [1, 2, 1, 2, 1, 2]
    assert_same(counted, census, one_by_one(evidence, WIDE, ties))


def _a_profile(number: int, said: set[Identifier]) -> Evidence:
    rank = ("shop", "customers", str(number))
    return Evidence(
        ProfileId(number), rank, Person("ann", "doe"), current=frozenset(said), all=said
    )
