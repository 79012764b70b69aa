"""The fits reproduce what was published of them, and what other programs find on the same data.

CDNOW, orders until 30 September 1997. The sample's figures are those of Fader, Hardie and Lee
(Marketing Science 24, 2005; note of 2013 on Gamma-Gamma), Batislam, Denizel and Filiztekin (2007),
and of the tests of CLVTools and lifetimes; in weeks, as they were published.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from cdp.scoring.beta_geometric import BG_NBD, MBG_NBD
from cdp.scoring.gamma_gamma import maximise_spend
from cdp.scoring.histories import Floats, group, summarise
from cdp.scoring.model import OrderModel, fit_orders
from cdp.scoring.pareto import PARETO_NBD
from tests.cdp.scoring.samples import WEEK, pattern, read_data_set, to_come

SAMPLE = [
    pytest.param(BG_NBD, (0.2425945, 4.4136019, 0.7929199, 2.4258881), -9582.429, id="BG"),
    pytest.param(PARETO_NBD, (0.55315, 10.57633, 0.60625, 11.67150), -9594.976, id="Pareto"),
    pytest.param(MBG_NBD, (0.52484, 6.18299, 0.89136, 1.61400), -9582.1327, id="MBG"),
]
WHOLE = [(BG_NBD, -95_368.44), (PARETO_NBD, -95_415.12), (MBG_NBD, -95_336.96)]


def in_weeks(model: OrderModel, parameters: Floats) -> list[float]:
    named = zip(model.parameter_names, parameters.tolist(), strict=True)
    return [value / WEEK if name in ("alpha", "beta") else value for name, value in named]


@pytest.mark.parametrize(("model", "parameters", "log_likelihood"), SAMPLE)
def test_fit_of_the_sample_is_the_published_one(
    shared_data: Path, model: OrderModel, parameters: tuple[float, ...], log_likelihood: float
) -> None:
    data = read_data_set(shared_data, "cdnow_sample")
    histories = summarise(data.order_days, data.moment)
    fit = fit_orders(model, histories, group(histories))
    assert len(histories) == 2_357
    assert in_weeks(model, fit.parameters) == pytest.approx(parameters, rel=0.002)
    # A density per week is seven times that per day, once for every repeat.
    weekly = fit.log_likelihood + histories.repeats.sum() * np.log(WEEK)
    assert weekly == pytest.approx(log_likelihood, abs=0.01)
    assert all(fit.is_identified)
    assert fit.is_converged


@pytest.mark.parametrize(("model", "log_likelihood"), WHOLE)
def test_fit_of_all_customers_reaches_the_known_likelihood(
    shared_data: Path, model: OrderModel, log_likelihood: float
) -> None:
    data = read_data_set(shared_data, "cdnow")
    histories = summarise(data.order_days, data.moment)
    fit = fit_orders(model, histories, group(histories))
    weekly = fit.log_likelihood + histories.repeats.sum() * np.log(WEEK)
    assert len(histories) == 23_570
    assert weekly == pytest.approx(log_likelihood, abs=0.01)


def test_spend_of_the_repeaters_is_the_published_fit(shared_data: Path) -> None:
    path = shared_data / "transactions" / "cdnow" / "cdnow_customers_summary_with_transactions.csv"
    with path.open(newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    repeats, mean = (np.array([float(row[at]) for row in rows]) for at in (1, 4))
    fit = maximise_spend(repeats[mean > 0].astype(np.int64), mean[mean > 0])
    assert (mean > 0).sum() == 946
    p, beyond, gamma = fit.parameters
    assert (p, beyond + 1, gamma) == pytest.approx((6.25, 3.74, 15.44), rel=0.002)
    assert fit.log_likelihood == pytest.approx(-4055.9177, abs=0.01)


def test_expected_orders_of_one_customer_are_the_published_ones() -> None:
    parameters = np.array([0.243, 4.414 * WEEK, 0.793, 2.426])
    # In days: the paper's t_x of 30.43 and T of 38.86 weeks.
    future = BG_NBD.future(parameters, pattern(2, 213, 272), 39.0 * WEEK)
    assert future.mean()[0] == pytest.approx(1.226, abs=0.0005)


@pytest.mark.parametrize(
    ("history", "log_likelihood"), [((0, 0, 40), -0.59947382), ((200, 38, 40), 100.7957)]
)
def test_likelihood_of_one_customer_is_that_of_the_note_on_stability(
    history: tuple[int, int, int], log_likelihood: float
) -> None:
    theta = np.log([0.25, 4.0, 0.8, 2.5])
    value, _ = BG_NBD.log_likelihood(theta, pattern(*history))
    assert value == pytest.approx(log_likelihood, abs=5e-5)


@pytest.mark.parametrize(
    ("model", "total", "correlation"),
    [(BG_NBD, 1_653.4, 0.6256), (PARETO_NBD, 1_665.5, 0.6302), (MBG_NBD, 1_576.7, 0.6272)],
)
def test_forecast_of_the_holdout_is_the_known_one(
    shared_data: Path, model: OrderModel, total: float, correlation: float
) -> None:
    data = read_data_set(shared_data, "cdnow_sample")
    histories = summarise(data.order_days, data.moment)
    patterns = group(histories)
    fit = fit_orders(model, histories, patterns)
    future = model.future(fit.parameters, patterns, float(data.horizon_days))
    expected = future.mean()[patterns.of_customer]
    orders, _ = to_come(data, histories)
    assert orders.sum() == 1_882
    assert expected.sum() == pytest.approx(total, abs=0.1)
    assert np.corrcoef(expected, orders)[0, 1] == pytest.approx(correlation, abs=0.0001)
