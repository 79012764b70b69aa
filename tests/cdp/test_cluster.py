"""The partition as a pure function: names that clash, limits, blocked values, torn groups."""

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.bounds import too_shared
from cdp.identity.cluster import partition
from cdp.identity.evidence import Decision, Evidence, Identifier, Pair, Ties, Verdict
from cdp.identity.names import Person, may_be_one
from cdp.identity.outcome import Partition
from cdp.identity.rules import DEFAULT_RULES as RULES
from cdp.values import ProfileId


def a_profile(
    number: int,
    given_name: str = "",
    family: str = "",
    *,
    birth_date: date | None = None,
    contact: bool = False,
    identifiers: Mapping[str, str] | None = None,
    **more: str,
) -> Evidence:
    said = frozenset(
        Identifier(kind, value) for kind, value in {**(identifiers or {}), **more}.items()
    )
    person = Person(given_name, family, birth_date)
    rank = ("shop", "customers", f"{number:04}")
    return Evidence(ProfileId(number), rank, person, contact, said, set(said))


def groups(result: Partition) -> set[frozenset[int]]:
    return {frozenset(members) for members in result.customers}


def test_a_shared_address_joins_where_names_agree() -> None:
    result = partition(
        [a_profile(1, "ann", "doe", email="a"), a_profile(2, "ann", "doe", email="a")], RULES
    )
    assert groups(result) == {frozenset({1, 2})}
    assert result.joins[0].profile_ids == (1, 2)


def test_a_household_at_one_address_stays_apart_and_is_left_to_a_review() -> None:
    result = partition(
        [a_profile(1, "ann", "doe", email="a"), a_profile(2, "bob", "doe", email="a")], RULES
    )
    assert groups(result) == {frozenset({1}), frozenset({2})}
    assert [(review.left, review.right) for review in result.reviews] == [((1,), (2,))]


def test_whoever_would_fit_two_who_cannot_be_one_joins_neither() -> None:
    nameless = a_profile(3, contact=True, email="a")
    people = [a_profile(1, "ann", "doe", email="a"), a_profile(2, "bob", "doe", email="a")]
    assert groups(partition([*people, nameless], RULES)) == {
        frozenset({1}),
        frozenset({2}),
        frozenset({3}),
    }


def test_three_who_all_fit_are_one_by_the_value_that_they_share() -> None:
    people = [
        a_profile(1, "robert", "doe", email="a"),
        a_profile(2, "bob", "doe", email="a"),
        a_profile(3, contact=True, email="a"),
    ]
    result = partition(people, RULES)
    assert groups(result) == {frozenset({1, 2, 3})}
    assert [join.profile_ids for join in result.joins] == [(1, 2, 3)]
    assert not result.reviews


def test_three_of_whom_two_fit_leave_the_third_outside_and_a_review() -> None:
    people = [
        a_profile(1, "robert", "doe", email="a"),
        a_profile(2, "bob", "doe", email="a"),
        a_profile(3, "carla", "doe", email="a"),
    ]
    result = partition(people, RULES)
    assert groups(result) == {frozenset({1, 2}), frozenset({3})}
    assert [join.profile_ids for join in result.joins] == [(1, 2)]
    assert [(review.left, review.right) for review in result.reviews] == [((1, 2), (3,))]


def test_three_who_fit_in_pairs_but_not_together_stay_apart() -> None:
    most = RULES.of("loyalty_card").most_per_customer
    people = [a_profile(n, given, "doe", email="a") for n, given in enumerate(("bob", "rob", ""))]
    for one in people:
        cards = {Identifier("loyalty_card", f"{one.rank}{n}") for n in range(most // 2)}
        one.current |= cards
        one.all |= cards
    assert groups(partition(people[:2], RULES)) == {frozenset({0, 1})}
    result = partition(people, RULES)
    assert groups(result) == {frozenset({0}), frozenset({1}), frozenset({2})}
    assert {(review.left, review.right) for review in result.reviews} == {
        ((0,), (1,)),
        ((0,), (2,)),
        ((1,), (2,)),
    }
    assert all("too many" in review.reason for review in result.reviews)


def test_a_pair_that_is_too_light_to_be_asked_about_ties_nobody() -> None:
    people = [a_profile(n, "ann", "doe") for n in (1, 2, 3)]
    heavy = Pair(ProfileId(1), ProfileId(2), 12.0, 0.99)
    light = Pair(ProfileId(1), ProfileId(3), -1.0, 0.01)
    result = partition(people, RULES, ties=Ties(pairs=(heavy, light)))
    assert groups(result) == {frozenset({1, 2}), frozenset({3})}
    assert not result.reviews


def test_a_loyalty_card_joins_whatever_the_names_say() -> None:
    result = partition(
        [
            a_profile(1, "ann", "doe", loyalty_card="C"),
            a_profile(2, "bob", "roe", loyalty_card="C"),
        ],
        RULES,
    )
    assert groups(result) == {frozenset({1, 2})}


def test_birth_dates_that_differ_keep_father_and_son_apart() -> None:
    result = partition(
        [
            a_profile(1, "john", "doe", birth_date=date(1950, 5, 1), phone="p"),
            a_profile(2, "john", "doe", birth_date=date(1982, 9, 3), phone="p"),
        ],
        RULES,
    )
    assert len(groups(result)) == 2


def test_a_blocked_value_joins_nobody() -> None:
    people = [a_profile(1, "ann", "doe", email="a"), a_profile(2, "ann", "doe", email="a")]
    assert len(groups(partition(people, RULES, {Identifier("email", "a")}))) == 2


def test_a_value_is_too_shared_by_persons_not_by_records() -> None:
    value = Identifier("email", "a")
    same = [a_profile(n, "ann", "doe", email="a") for n in range(100)]
    others = [a_profile(n, f"name{n}", "doe", email="a") for n in range(11)]
    assert not too_shared(value, same, RULES)
    assert too_shared(value, others, RULES)


def test_a_customer_never_has_more_of_a_kind_than_allowed() -> None:
    cards = RULES.of("loyalty_card").most_per_customer
    people = [a_profile(n, "ann", "doe", email="a", loyalty_card=f"C{n}") for n in range(cards + 2)]
    result = partition(people, RULES)
    assert {len(group) for group in groups(result)} == {1}
    assert {review.identifier.kind for review in result.reviews} == {"email"}


def test_a_chain_of_many_persons_is_not_one_customer() -> None:
    many = RULES.most_persons_per_component + 10
    people = [
        a_profile(n, f"{chr(97 + n % 26) * 3}{chr(97 + n // 26) * 3}", email=f"e{n}")
        for n in range(many)
    ]
    links = [
        a_profile(many + n, contact=True, email=f"e{n}", phone=f"p{n // 2}") for n in range(many)
    ] + [
        a_profile(2 * many + n, contact=True, phone=f"p{n // 2}", handle=f"h{(n + 1) // 2}")
        for n in range(many)
    ]
    result = partition([*people, *links], RULES)
    assert {len(group) for group in groups(result)} == {1}
    assert all("ties" in review.reason for review in result.reviews)


def test_nobody_asks_about_two_whom_a_person_has_parted_and_likeness_alone_ties() -> None:
    people = [a_profile(1, "ann", "doe"), a_profile(2, "anne", "doe")]
    cuts = RULES.cuts
    pair = Pair(
        ProfileId(1), ProfileId(2), (cuts.join_weight + cuts.review_weight) / 2, probability=0.5
    )
    asked = partition(people, RULES, ties=Ties(pairs=[pair]))
    assert [(one.left, one.right) for one in asked.reviews] == [((1,), (2,))]
    sides = frozenset([ProfileId(1)]), frozenset([ProfileId(2)])
    decision = Decision(7, datetime(2026, 1, 1, tzinfo=UTC), Verdict.NOT_SAME, *sides)
    assert partition(people, RULES, ties=Ties([decision], [pair])).reviews == []


@st.composite
def histories(draw: st.DrawFn) -> list[Evidence]:
    count = draw(st.integers(2, 12))
    pick = st.sampled_from
    return [
        a_profile(
            number,
            draw(pick(["ann", "annie", "bob", "robert", ""])),
            draw(pick(["doe", "smith", ""])),
            identifiers=draw(
                st.dictionaries(
                    pick(["email", "phone", "loyalty_card", "handle:x"]), pick(["1", "2", "3"])
                )
            ),
        )
        for number in range(count)
    ]


@given(histories(), st.integers(0, 10_000))
def test_the_partition_is_blind_to_the_order_of_its_input(
    people: list[Evidence], seed: int
) -> None:
    shuffled = people.copy()
    random.Random(seed).shuffle(shuffled)
    assert groups(partition(shuffled, RULES)) == groups(partition(people, RULES))


@given(histories())
def test_nobody_is_lost_nobody_is_twice_and_every_join_names_its_evidence(
    people: list[Evidence],
) -> None:
    result = partition(people, RULES)
    members = sorted(one for group in result.customers for one in group)
    assert members == [one.profile_id for one in people]
    joined = {one for join in result.joins for one in join.profile_ids}
    assert joined == {one for group in result.customers if len(group) > 1 for one in group}


@pytest.mark.parametrize(
    ("left", "right", "agrees"),
    [
        (("bob", "smith"), ("robert", "smith"), True),
        (("ann", "smith"), ("bob", "smith"), False),
        (("jon", "smtih"), ("john", "smith"), True),
        (("j", "smith"), ("john", "smith"), True),
        (("smith", "john"), ("john", "smith"), True),
        (("maria", "jones"), ("daniel", "jones"), False),
        (("ann", "smith jones"), ("ann", "smith"), True),
        (("ann", "smith"), ("ann", "miller"), False),
        (("", "smith"), ("ann", "smith"), True),
        (("paul", "smith"), ("paula", "smith"), False),
        (("mario", "smith"), ("maria", "smith"), False),
        (("jenniffer", "smith"), ("jennifer", "smith"), True),
    ],
)
def test_names_agree_through_short_forms_initials_typos_and_turned_fields(
    left: tuple[str, str],
    right: tuple[str, str],
    agrees: bool,  # noqa: FBT001  # a case's outcome
) -> None:
    assert may_be_one(Person(*left), Person(*right), family_may_change=False) is agrees
    assert may_be_one(Person(*right), Person(*left), family_may_change=False) is agrees
