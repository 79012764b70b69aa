"""Each model of order days against its own definition: integrals, differences, simulated people."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, gammaln

from cdp.scoring.beta_geometric import BG_NBD, MBG_NBD, BetaGeometric
from cdp.scoring.counts import Gammas, Means, at_all, mean_of, number, visit
from cdp.scoring.histories import Floats, Integers, group, summarise
from cdp.scoring.model import OrderModel
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.value import MODELS
from tests.cdp.scoring.samples import World, pattern, patterns, simulate

TYPICAL = {
    "BG_NBD": np.array([0.243, 30.9, 0.793, 2.426]),
    "MBG_NBD": np.array([0.525, 43.3, 0.891, 1.614]),
    "PARETO_NBD": np.array([0.553, 74.0, 0.606, 81.7]),
}
HISTORIES = [(0, 0, 0), (0, 0, 40), (1, 3, 700), (2, 213, 272), (30, 300, 330), (200, 950, 1000)]


class _Quantiles:
    """The least count that is at least as likely as each level; a visitor of tails."""

    def __init__(self, row_count: int, *levels: float) -> None:
        self._levels = levels
        self.values = np.empty((len(levels), row_count))

    def take(self, rows: Integers, tails: Floats) -> None:
        """As many as there are tails above one less the level."""
        for place, level in enumerate(self._levels):
            self.values[place, rows] = (tails > 1.0 - level).sum(axis=0)


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, int]:
    """(repeats, recency, age) of anybody: a repeat takes a day at least."""
    age = draw(st.integers(0, 4_000))
    recency = draw(st.integers(0, age))
    repeats = draw(st.integers(1, recency)) if recency else 0
    return repeats, recency, age


def parameters() -> st.SearchStrategy[Floats]:
    exponents = st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4)
    return exponents.map(lambda e: np.array([1.0, 50.0, 1.0, 2.0]) * np.exp(e))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_gradient_is_the_slope_of_the_likelihood(model: OrderModel) -> None:
    theta, step, people = np.log(TYPICAL[model.name]), 1e-5, patterns(HISTORIES)
    _, gradient = model.log_likelihood(theta, people)
    for at, direction in enumerate(np.eye(4) * step):
        up, _ = model.log_likelihood(theta + direction, people)
        down, _ = model.log_likelihood(theta - direction, people)
        assert gradient[at] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-6)


def log_sum_of_integral(function: Callable[[float], float], start: float, end: float) -> float:
    """Logarithm of the integral of the exponential of a function."""
    highest = max(function(t) for t in np.linspace(start, end, 1_000))
    value, _ = quad(lambda t: np.exp(function(t) - highest), start, end, limit=500, epsabs=0)
    return float(highest + np.log(value))


@pytest.mark.parametrize("history", HISTORIES[1:])
def test_pareto_likelihood_is_the_integral_over_the_moment_of_dropping_out(
    history: tuple[int, int, int],
) -> None:
    x, recency, age = history
    r, alpha, s, beta = TYPICAL["PARETO_NBD"]

    def gone(t: float) -> float:
        return float(np.log(s) - (r + x) * np.log(alpha + t) - (s + 1) * np.log(beta + t))

    alive = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
    log_gone = log_sum_of_integral(gone, recency, age)
    constant = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    value, _ = PARETO_NBD.log_likelihood(np.log(TYPICAL["PARETO_NBD"]), pattern(*history))
    assert value == pytest.approx(constant + np.logaddexp(alive, log_gone), rel=1e-9)
    future = PARETO_NBD.future(TYPICAL["PARETO_NBD"], pattern(*history), 100.0)
    assert future.alive[0] == pytest.approx(1 / (1 + np.exp(log_gone - alive)), rel=1e-7)


@pytest.mark.parametrize("model", [BG_NBD, MBG_NBD], ids=lambda model: model.name)
@pytest.mark.parametrize("history", [*HISTORIES, (2_000, 519, 520)])
def test_beta_geometric_mean_is_the_integral_over_the_chance_of_dropping_out(
    model: BetaGeometric, history: tuple[int, int, int]
) -> None:
    """Whoever drops out with chance p after an order makes (1 - E exp(-rate p t)) / p of them."""
    x, _, age = history
    days = 520.0
    r, alpha, a, b = TYPICAL[model.name]
    kept = b + x + model.first_coins

    def density(p: float) -> float:
        orders = -np.expm1(-(r + x) * np.log1p(p * days / (alpha + age))) / p
        log_density = (a - 1) * np.log(p) + (kept - 1) * np.log1p(-p) - betaln(a, kept)
        return float(orders * np.exp(log_density))

    # In the logarithm of p, where it is smooth down to nothing.
    mean, _ = quad(lambda u: density(np.exp(u)) * np.exp(u), -60, 0, limit=500, epsabs=1e-12)
    future = model.future(TYPICAL[model.name], pattern(*history), days)
    assert future.mean()[0] == pytest.approx(future.alive[0] * mean, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_mean_is_that_of_the_distribution(model: OrderModel) -> None:
    future = model.future(TYPICAL[model.name], patterns(HISTORIES), 365.0)
    summed = mean_of(future, number, len(HISTORIES))
    assert future.mean() == pytest.approx(summed, rel=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_an_order_by_the_median_wait_is_as_likely_as_not(model: OrderModel) -> None:
    people = patterns(HISTORIES)
    future = model.future(TYPICAL[model.name], people, 365.0)
    wait = future.median_wait()
    some = mean_of(future, at_all, len(HISTORIES))
    assert (np.isnan(wait) == (some < 0.5)).all()
    assert 0 < np.isnan(wait).sum() < len(wait)
    by_then = model.future(TYPICAL[model.name], people, np.nan_to_num(wait, nan=1.0))
    chance = mean_of(by_then, at_all, len(HISTORIES))
    assert chance[~np.isnan(wait)] == pytest.approx(0.5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), parameters(), histories(), st.floats(1.0, 1_000.0))
def test_forecast_of_anybody_is_a_distribution(
    model: OrderModel, fitted: Floats, history: tuple[int, int, int], days: float
) -> None:
    """Also of the most frequent, the longest silent, and parameters that no shop has."""
    future = model.future(fitted, pattern(*history), days)
    assert 0 <= future.alive[0] <= 1
    tails = future.tails(np.zeros(1, dtype=np.int64), 50)[:, 0]
    assert (np.diff(tails) <= 1e-9).all()
    assert -1e-9 <= tails[-1] <= tails[0] <= future.alive[0] + 1e-9
    assert 0 <= future.mean()[0] < np.inf
    longer = model.future(fitted, pattern(*history), 2 * days)
    assert longer.mean()[0] >= future.mean()[0] * (1 - 1e-9)
    value, gradient = model.log_likelihood(np.log(fitted), pattern(*history))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_counts_too_unlikely_for_floats_are_still_counted() -> None:
    """At a mean of 2,000 the chance of no order is far below the smallest number."""
    rates = Gammas(np.array([2_000.0]), np.array([524.0]))
    days = np.array([[524.0]])
    tails = rates.tails(days, np.ones((1, 1)), 4_000)
    assert tails.sum() == pytest.approx(2_000, rel=1e-9)


@pytest.mark.parametrize(("first_coins", "model"), [(0, BG_NBD), (1, MBG_NBD)])
def test_forecast_is_what_made_up_customers_do(first_coins: int, model: BetaGeometric) -> None:
    """By how often they came back; nobody knows their rates but the models' own parameters."""
    world = World(rates=(0.8, 90.0), first_coins=first_coins)
    ages = np.random.default_rng(3).integers(20, 700, 60_000)
    days = simulate(world, ages, horizon=180, seed=4)
    moment = int(ages.max())
    known = summarise(days, moment)
    after = (days.day > moment) & (days.day <= moment + 180)
    orders = np.bincount(days.customer[after], minlength=len(ages)).astype(np.float64)
    people = group(known)
    future = model.future(np.array([*world.rates, *world.chances]), people, 180.0)
    means, quantiles = Means(len(people), number, at_all), _Quantiles(len(people), 0.1, 0.9)
    visit(future, [means, quantiles], np.zeros(len(people), dtype=np.int64))
    expected, some = means.values[:, people.of_customer]
    low, high = quantiles.values[:, people.of_customer]
    for least, most in ((0, 0), (1, 1), (2, 2), (3, 5), (6, 1_000)):
        chosen = (known.repeats >= least) & (known.repeats <= most)
        assert expected[chosen].mean() == pytest.approx(orders[chosen].mean(), rel=0.05)
        assert some[chosen].mean() == pytest.approx((orders[chosen] > 0).mean(), rel=0.04)
    assert 0.8 <= ((orders >= low) & (orders <= high)).mean() <= 0.97
