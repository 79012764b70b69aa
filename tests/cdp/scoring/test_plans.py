"""How long subscriptions last: the curve by plan, and the chance of an end within a horizon."""

import numpy as np
import pytest

from cdp.scoring.plans import ALL_PLANS, ending, survival, survival_by_plan


def test_curve_is_that_of_kaplan_and_meier() -> None:
    # Their textbook case by hand: 6 at risk at 1 (one ends), 4 at 3 (one ends), 1 at 6 (goes on).
    days = np.array([1, 2, 3, 4, 5, 6])
    curve = survival(days, np.array([True, False, True, False, False, False]))
    assert curve is not None
    lasting = curve.beyond(np.array([0.0, 1.0, 2.0, 3.0, 5.0]))
    assert lasting == pytest.approx([1, 5 / 6, 5 / 6, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4])


def test_beyond_what_was_seen_endings_go_on_at_the_mean_rate() -> None:
    days, ended = np.array([100, 100, 200, 200]), np.array([True, False, True, False])
    curve = survival(days, ended)
    assert curve is not None
    assert curve.rate == pytest.approx(2 / 600)
    at_end = curve.beyond(np.array([200.0]))
    assert curve.beyond(np.array([300.0])) == pytest.approx(at_end * np.exp(-100 * 2 / 600))


def test_a_curve_on_which_the_longest_has_ended_leaves_a_chance_to_those_beyond() -> None:
    curve = survival(np.array([10, 20]), np.array([True, True]))
    assert curve is not None
    assert 0 < curve.beyond(np.array([25.0]))[0] < 1


def test_random_endings_at_a_rate_are_told_at_that_rate() -> None:
    random = np.random.default_rng(7)
    lasts, seen = random.exponential(200.0, 20_000), random.uniform(0, 400, 20_000)
    days, ended = np.minimum(lasts, seen).astype(np.int64), lasts <= seen
    curves = survival_by_plan(["a"] * len(days), days, ended)
    told = ending(curves, "a", np.array([0, 100, 350]), 90)
    assert told == pytest.approx(np.full(3, 1 - np.exp(-90 / 200)), abs=0.04)


def test_a_plan_with_few_endings_is_told_by_all_plans_and_without_any_nothing_is() -> None:
    plans = ["rare"] * 3 + ["common"] * 40
    days = np.arange(1, 44)
    ended = np.array([True] * 3 + [True, False] * 20)
    curves = survival_by_plan(plans, days, ended)
    assert set(curves) == {ALL_PLANS, "common"}
    whole = ending(curves, ALL_PLANS, np.array([5]), 30)
    assert ending(curves, "rare", np.array([5]), 30) == whole
    assert ending(curves, "common", np.array([5]), 30) != whole
    none = survival_by_plan(["a"], np.array([5]), np.array([False]))
    assert np.isnan(ending(none, "a", np.array([5]), 30)).all()
