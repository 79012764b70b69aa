"""Two threads at the pieces of arrays: what they make is what one would."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from cdp.scoring import histories, pareto
from cdp.scoring.beta_geometric import MBG_NBD
from cdp.scoring.forecast import Terms
from cdp.scoring.histories import group
from cdp.scoring.maximise import remembered
from cdp.scoring.model import OrderModel
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.side_by_side import AHEAD, side_by_side
from cdp.scoring.value import Forecast, fit_value, forecast_value
from tests.cdp.scoring.samples import World, simulate

OLDEST = 500


@pytest.mark.parametrize("model", [MBG_NBD, PARETO_NBD], ids=lambda model: str(model.name))
def test_models_fit_and_forecast_to_the_same_digits_by_two_threads(
    monkeypatch: pytest.MonkeyPatch, model: OrderModel
) -> None:
    ages = np.random.default_rng(3).integers(20, OLDEST, 3_000)
    known = histories.summarise(simulate(World(), ages, 0, seed=2).until(OLDEST), OLDEST)

    def told() -> tuple[list[float], Forecast]:
        fitted = fit_value(model, known)
        forecast = forecast_value(fitted, known, Terms(), (0.1, 0.9))
        return fitted.orders.parameters.tolist(), forecast

    monkeypatch.setattr(histories, "BLOCK", 256)
    monkeypatch.setattr(pareto, "BLOCK", 256)
    assert not group(known).are_many
    parameters, forecast = told()
    monkeypatch.setattr(histories, "MANY_ROWS", 1)
    monkeypatch.setattr(pareto, "MANY_ROWS", 1)
    assert group(known).are_many
    again, by_two = told()
    assert again == parameters
    for name in ("alive", "expected", "median_wait"):
        one, other = getattr(forecast.orders, name), getattr(by_two.orders, name)
        assert np.array_equal(one, other, equal_nan=True)
    assert np.array_equal(forecast.spend.quantiles[0.9], by_two.spend.quantiles[0.9])


def test_pieces_come_in_their_order_and_few_of_them_ahead() -> None:
    begun: list[int] = []

    def pieces() -> Iterator[int]:
        for piece in range(50):
            begun.append(piece)
            yield piece

    names = set()

    def make(piece: int) -> tuple[int, int]:
        names.add(threading.current_thread().name)
        return piece, -piece

    for place, made in enumerate(side_by_side(make, pieces(), are_many=True)):
        assert made == (place, -place)
        assert len(begun) <= place + AHEAD + 1
    assert threading.current_thread().name not in names
    assert [*side_by_side(make, range(2), are_many=False)] == [(0, 0), (1, -1)]


def test_a_likelihood_is_asked_once_for_the_same_parameters() -> None:
    asked: list[float] = []

    def log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(float(theta[0]))
        return -float(theta @ theta), -2 * theta

    told = remembered(log_likelihood)
    theta = np.array([1.0])
    assert told(theta) is told(theta.copy())
    theta[0] = 2.0  # in place
    assert told(theta)[0] == -4.0
    assert asked == [1.0, 2.0]
