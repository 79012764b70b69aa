"""Precision and recall count pairs of source profiles, without walking through the pairs."""

from collections.abc import Mapping
from datetime import date
from itertools import combinations
from random import Random

import pytest

from connectors.sandbox.business.population import Home, Household, Person
from connectors.sandbox.business.truth import (
    Judgement,
    ProfileKey,
    Truth,
    judge,
)


def a_person(number: int, **changes: object) -> Person:
    home = Home(0, "1 High Street", "Leeds", "", "LS1 1AA", "GB")
    values: dict[str, object] = {
        "household": Household(number, [home]),
        "given": f"Name{number}",
        "family": "Smith",
        "gender": "female",
        "birth_date": date(1980, 1, 1),
    }
    return Person(number=number, **(values | changes))  # type: ignore[arg-type]  # a builder


def a_truth(*people: int) -> tuple[Truth, list[ProfileKey]]:
    """One profile for each number, in order."""
    truth = Truth()
    keys: list[ProfileKey] = []
    for place, number in enumerate(people):
        truth.about("shop", str(place), a_person(number))
        keys.append(("shop", "customers", str(place)))
    return truth, keys


def judged(people: tuple[int, ...], customers: tuple[int, ...]) -> Judgement:
    truth, keys = a_truth(*people)
    return judge(truth, dict(zip(keys, customers, strict=True)))


def test_the_right_partition_is_perfect() -> None:
    found = judged((1, 1, 2, 3), (7, 7, 8, 9))
    assert (found.precision, found.recall, found.f1) == (1, 1, 1)


def test_nothing_joined_is_precise_and_recalls_nothing() -> None:
    found = judged((1, 1, 1), (7, 8, 9))
    assert (found.precision, found.recall, found.f1) == (1, 0, 0)


def test_everything_joined_recalls_all() -> None:
    found = judged((1, 1, 2, 2), (7, 7, 7, 7))
    assert found.recall == 1
    assert found.precision == pytest.approx(2 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_all_pairs(seed: int) -> None:
    random = Random(seed)
    people = [random.randrange(12) for _ in range(60)]
    customers = [random.randrange(15) for _ in range(60)]
    found = judged(tuple(people), tuple(customers))
    pairs = list(combinations(zip(people, customers, strict=True), 2))
    assert found.joined_rightly == sum(a == b for a, b in pairs)
    assert found.joined_wrongly == sum(a[0] != b[0] and a[1] == b[1] for a, b in pairs)
    assert found.parted_wrongly == sum(a[0] == b[0] and a[1] != b[1] for a, b in pairs)


def test_profiles_of_nobody_or_of_several_are_not_judged() -> None:
    truth, keys = a_truth(1, 1)
    truth.contact("desk", "email", "Family@Example.com", a_person(1))
    truth.contact("desk", "email", "family@example.com", a_person(2))
    shared: ProfileKey = ("desk", "contact", "email:family@example.com")
    customers: Mapping[ProfileKey, int] = {
        keys[0]: 5,
        keys[1]: 5,
        shared: 5,
        ("other", "customers", "x"): 5,
    }
    assert truth.of(shared) is None
    assert judge(truth, customers).judged_profiles == 2
