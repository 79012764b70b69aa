"""Other programs on the same data, where they are installed: lifetimes, pymc-marketing.

Neither is a dependency: `pip install lifetimes pymc-marketing` into an environment of its own and
name its packages in PYTHONPATH.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdp.scoring.beta_geometric import BG_NBD, MBG_NBD
from cdp.scoring.forecast import Terms
from cdp.scoring.gamma_gamma import maximise_spend, spend_model
from cdp.scoring.histories import Floats, Histories, group, summarise
from cdp.scoring.model import OrderModel, fit_orders
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.value import fit_value, forecast_value
from tests.cdp.scoring.samples import DataSet, patterns, read_data_set, to_come

# Their warnings are theirs.
pytestmark = [pytest.mark.prove, pytest.mark.filterwarnings("ignore")]

FITTERS: dict[str, tuple[str, OrderModel]] = {
    "BG_NBD": ("BetaGeoFitter", BG_NBD),
    "MBG_NBD": ("ModifiedBetaGeoFitter", MBG_NBD),
    "PARETO_NBD": ("ParetoNBDFitter", PARETO_NBD),
}
PEOPLE = [(0, 0, 40), (1, 3, 270), (2, 213, 272), (7, 205, 272), (25, 260, 272)]


def module(name: str) -> Any:  # noqa: ANN401 (an untyped package that may not be there)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def of_sample(shared_data: Path) -> Histories:
    data = read_data_set(shared_data, "cdnow_sample")
    return summarise(data.order_days, data.moment)


@pytest.mark.parametrize("name", FITTERS)
def test_lifetimes_finds_the_same_parameters(shared_data: Path, name: str) -> None:
    lifetimes = module("lifetimes")
    class_name, model = FITTERS[name]
    histories = of_sample(shared_data)
    fitter = getattr(lifetimes, class_name)(penalizer_coef=0.0)
    fitter.fit(histories.repeats, histories.recency, histories.age)
    theirs = [float(fitter.params_[parameter]) for parameter in model.parameter_names]
    ours = fit_orders(model, histories, group(histories)).parameters
    assert ours == pytest.approx(theirs, rel=0.002)


@pytest.mark.parametrize("name", FITTERS)
def test_lifetimes_forecasts_the_same_of_the_same_parameters(shared_data: Path, name: str) -> None:
    lifetimes = module("lifetimes")
    pandas = module("pandas")
    class_name, model = FITTERS[name]
    histories = of_sample(shared_data)
    parameters = fit_orders(model, histories, group(histories)).parameters
    fitter = getattr(lifetimes, class_name)()
    fitter.params_ = pandas.Series(dict(zip(model.parameter_names, parameters, strict=True)))
    fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    repeats, recency, age = np.array(PEOPLE).T
    future = model.future(parameters, patterns(PEOPLE), 273.0)
    assert future.mean() == pytest.approx(fitter.predict(273, repeats, recency, age), abs=1e-6)
    alive = np.asarray(fitter.conditional_probability_alive(repeats, recency, age))
    assert future.alive == pytest.approx(alive, abs=1e-6)


def test_lifetimes_expects_the_same_spend(shared_data: Path) -> None:
    lifetimes = module("lifetimes")
    histories = of_sample(shared_data)
    is_spender = histories.mean_spend > 0
    days, mean = histories.priced[is_spender], histories.mean_spend[is_spender]
    fitter = lifetimes.GammaGammaFitter(penalizer_coef=0.0).fit(days, mean)
    model = spend_model(maximise_spend(days, mean).parameters)
    theirs = [float(fitter.params_[name]) for name in ("p", "q", "v")]
    assert [model.p, model.q, model.gamma] == pytest.approx(theirs, rel=0.002)
    expected = fitter.conditional_expected_average_profit(days, mean)
    assert model.expected(days, mean * days) == pytest.approx(np.asarray(expected), rel=0.001)


def pymc_forecast(data: DataSet, histories: Histories) -> Floats:
    """The expected orders of pymc-marketing's BG/NBD with its default priors, in weeks."""
    clv, pandas = module("pymc_marketing.clv"), module("pandas")
    table = pandas.DataFrame(
        {
            "customer_id": np.arange(len(histories)),
            "frequency": histories.repeats,
            "recency": histories.recency / 7,
            "T": histories.age / 7,
        }
    )
    model = clv.BetaGeoModel(data=table)
    model.fit(method="map", progressbar=False)
    told = model.expected_purchases(data=table, future_t=data.horizon_days / 7)
    return np.asarray(told.mean(("chain", "draw")), dtype=np.float64)


@pytest.mark.parametrize("name", ["cdnow", "online_retail_ii"])
@pytest.mark.parametrize("model", [MBG_NBD], ids=lambda model: model.name)
def test_held_out_orders_are_forecast_no_worse_than_by_pymc_marketing(
    shared_data: Path, name: str, model: OrderModel
) -> None:
    data = read_data_set(shared_data, name)
    histories = summarise(data.order_days, data.moment)
    orders, _ = to_come(data, histories)
    theirs = np.abs(pymc_forecast(data, histories) - orders).mean()
    terms = Terms(horizon_days=data.horizon_days)
    forecast = forecast_value(fit_value(model, histories), histories, terms, (0.9,))
    assert np.abs(forecast.expected_orders - orders).mean() <= theirs
