"""Spend: shrinkage to the mean of all, bounds on the sum of what is to come, and discounting."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import betainc

from cdp.scoring.beta_geometric import MBG_NBD
from cdp.scoring.counts import visit
from cdp.scoring.forecast import Terms, forecast_orders
from cdp.scoring.gamma_gamma import GammaGamma, fit_spend
from cdp.scoring.histories import Floats, Histories, group, summarise
from cdp.scoring.intervals import NOMINAL
from cdp.scoring.maximise import log_variance
from cdp.scoring.model import OrderModel, fit_orders
from cdp.scoring.sums import Sums
from cdp.scoring.value import MODELS, Scores, fit_value, forecast_value, scores
from tests.cdp.scoring.samples import World, pattern, read_data_set, simulate, to_come

MODEL = GammaGamma(p=6.25, q=3.74, gamma=15.44)
AGES = np.random.default_rng(1).integers(30, 700, 3_000)


def made_up() -> Histories:
    return summarise(simulate(World(), AGES, horizon=0, seed=2), int(AGES.max()))


def test_one_order_is_drawn_to_the_mean_of_all_and_many_speak_for_themselves() -> None:
    everyone = MODEL.p * MODEL.gamma / (MODEL.q - 1)
    days = np.array([0, 1, 1_000])
    told = MODEL.expected(days, 100.0 * days)
    weight = MODEL.p / (MODEL.p + MODEL.q - 1)
    assert told[0] == pytest.approx(everyone)
    assert told[1] == pytest.approx(weight * 100 + (1 - weight) * everyone)
    assert told[2] == pytest.approx(100, rel=0.001)


def test_fit_finds_the_spend_of_a_made_up_world_again() -> None:
    ages = np.full(20_000, 400)
    days = simulate(World(rates=(0.8, 40.0)), ages, horizon=0, seed=5)
    found = fit_spend(summarise(days, 400))
    assert (found.model.p, found.model.q) == pytest.approx((6.25, 3.74), rel=0.08)
    assert found.correlation == pytest.approx(0, abs=0.05)


def test_a_customer_without_a_price_is_expected_to_spend_like_all() -> None:
    histories = made_up()
    unpriced = replace(
        histories,
        spend=np.where(np.arange(len(histories)) == 7, 0.0, histories.spend),
        priced=np.where(np.arange(len(histories)) == 7, 0, histories.priced),
    )
    fitted = fit_value(MBG_NBD, unpriced)
    forecast = forecast_value(fitted, unpriced, Terms(), (0.9,))
    model = fitted.spend.model
    ratio = forecast.spend.expected[7] / forecast.expected_orders[7]
    assert ratio == pytest.approx(model.p * model.gamma / (model.q - 1))


def exactly_up_to(
    amount: float, tails: Floats, model: GammaGamma, priced: int, spend: float
) -> float:
    """P(sum of the days to come <= amount): the count's mixture of beta primes."""
    counts = np.arange(1, len(tails) + 1)
    chances = tails - np.append(tails[1:], 0.0)
    share = amount / (amount + model.gamma + spend)
    reached = betainc(model.p * counts, model.q + model.p * priced, share)
    return float(1 - tails[0] + chances @ reached)


@pytest.mark.parametrize("model", [MODEL, GammaGamma(p=0.7, q=1.6, gamma=60.0)])
@pytest.mark.parametrize("chances", [(0.3, 8.0), (0.1, 30.0)])
@pytest.mark.parametrize(
    ("repeats", "near"), [(0, 0.006), (1, 0.006), (3, 0.006), (10, 0.006), (40, 0.006), (300, 0.02)]
)
def test_quantiles_of_spend_are_those_of_the_exact_mixture(
    repeats: int, near: float, chances: tuple[float, float], model: GammaGamma
) -> None:
    """The tables hold sixty-four amounts, and share some between numbers of priced days."""
    patterns, priced = pattern(repeats, min(repeats * 15, 640), 650), np.array([repeats + 1])
    spend = 35.0 * priced
    future = MBG_NBD.future(np.array([0.8, 20.0, *chances]), patterns, 365.0)
    sums = Sums(model, patterns.priced, (0.1, 0.5, 0.9))
    visit(future, [sums], sums.kinds)
    amounts = sums.values[:, 0] * model.scale(priced, spend)
    tails = future.tails(np.zeros(1, dtype=np.int64), 2_000)[:, 0]
    for level, amount in zip(sums.levels, amounts, strict=True):
        if level <= 1 - tails[0]:
            assert amount == 0
        else:
            reached = exactly_up_to(amount, tails, model, repeats + 1, float(spend[0]))
            assert reached == pytest.approx(level, abs=near)


def test_bounds_have_a_tenth_on_either_side_among_the_rare_and_the_frequent() -> None:
    """Of made-up customers whose truth is the models', by how sure they are to order."""
    world = World(rates=(1.5, 20.0), chances=(0.5, 6.0))
    ages = np.random.default_rng(6).integers(20, 730, 30_000)
    days, moment = simulate(world, ages, horizon=365, seed=7), int(ages.max())
    histories = summarise(days, moment)
    forecast = forecast_value(fit_value(MBG_NBD, histories), histories, Terms(), (0.1, 0.9))
    after = days.day > moment
    spend = np.bincount(days.customer[after], days.spend[after], len(ages))
    low, high, none = (
        forecast.spend.quantiles[0.1],
        forecast.spend.quantiles[0.9],
        forecast.no_order,
    )
    for least, most in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9)):
        chosen = (none >= least) & (none < most)
        assert (spend > high)[chosen].mean() == pytest.approx(0.1, abs=0.02)
        below = (spend < low)[chosen].mean()
        assert below == (pytest.approx(0.1, abs=0.02) if most == 0.1 else 0)
    # Whoever most likely orders nothing has no other bounds, and these cannot cover less.
    assert (high[none >= 0.9] == 0).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_worth_is_the_sum_of_days_each_discounted_to_now(model: OrderModel) -> None:
    histories = made_up().every(300)
    fitted = fit_value(model, made_up())
    patterns, terms = group(histories), Terms(horizon_days=365, discount_rate=0.2)
    future = model.future(fitted.orders.parameters, patterns, 365.0)
    told = forecast_orders(future, Sums(MODEL, patterns.priced, (0.9,)), patterns, terms)
    so_far = np.array([future.within(float(day)).mean() for day in range(1, 366)])
    by_day = np.diff(so_far, axis=0, prepend=np.zeros((1, len(patterns))))
    discount = 1.2 ** (-(np.arange(365) + 0.5) / 365)
    assert told.worth == pytest.approx(discount @ by_day, rel=1e-5)
    assert told.expected == pytest.approx(so_far[-1])


def told_under(terms: Terms) -> Scores:
    histories = made_up()
    forecast = forecast_value(fit_value(MBG_NBD, histories), histories, terms, (0.1, 0.9))
    return scores(forecast, histories, terms, NOMINAL)


def test_margin_and_discount_leave_the_same_share_of_value_and_bounds() -> None:
    whole = told_under(Terms())
    part = told_under(Terms(discount_rate=0.1, margin=0.4))
    share = part.predicted / whole.predicted
    assert (share < 0.4).all()
    assert (share > 0.4 / 1.1).all()
    assert part.high == pytest.approx(whole.high * share)
    assert part.low == pytest.approx(whole.low * share)
    assert part.expected_orders == pytest.approx(whole.expected_orders)


def test_errors_of_the_parameters_are_those_of_fits_to_other_samples() -> None:
    """The delta method against the spread of means over forty shops of one world."""
    totals: list[float] = []
    told: list[float] = []
    someone = pattern(2, 200, 300)

    def total(parameters: Floats) -> float:
        return float(MBG_NBD.future(parameters, someone, 365.0).mean()[0])

    for seed in range(40):
        days = simulate(World(), AGES[:1_500], horizon=0, seed=seed)
        histories = summarise(days, int(AGES[:1_500].max()))
        fit = fit_orders(MBG_NBD, histories, group(histories))
        totals.append(float(np.log(total(fit.parameters))))
        told.append(float(np.sqrt(log_variance(fit, total))))
    assert np.mean(told) == pytest.approx(np.std(totals), rel=0.35)


def test_the_whole_spend_of_a_shop_lies_where_the_models_say(shared_data: Path) -> None:
    """Fitted on all order days, CDNOW's customers are worth what the reference measured."""
    data = read_data_set(shared_data, "cdnow")
    histories = summarise(data.order_days, data.moment)
    fitted, terms = fit_value(MBG_NBD, histories), Terms(horizon_days=data.horizon_days)
    forecast = forecast_value(fitted, histories, terms, (0.9,))
    _, spend = to_come(data, histories)
    assert np.abs(forecast.spend.expected - spend).mean() == pytest.approx(31.4, abs=0.1)
