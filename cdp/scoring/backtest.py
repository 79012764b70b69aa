"""Rolling backtests: each model at several past moments, against what then came and naive rules."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Final

import numpy as np

from cdp.scoring.forecast import Terms
from cdp.scoring.histories import Floats, Histories, Integers, OrderDays, summarise
from cdp.scoring.intervals import TRIED_LEVELS, Outcome
from cdp.scoring.metrics import Accuracy, accuracy
from cdp.scoring.model import ModelName, OrderModel
from cdp.scoring.side_by_side import THREADS
from cdp.scoring.value import MODELS, Forecast, fit_value, forecast_value

ORIGIN_SHIFTS: Final = (1.0, 1.25, 1.5)
"""How many horizons before the end the trials begin; their horizons overlap, their pasts differ."""
LEAST_PAST: Final = 1 / 4  # of the whole history that is known at an origin
LEAST_CUSTOMERS: Final = 100  # with a spend, at an origin: fewer do not tell four parameters
LEAST_RETURNED: Final = 20
MOST_CUSTOMERS: Final = 20_000
"""That take part: the error of their mean is far below the differences that matter."""


class Naive(StrEnum):
    """Rules without a model."""

    OWN_RATE = "OWN_RATE"
    """As often as since the first order day."""
    LAST_WINDOW = "LAST_WINDOW"
    """As often as in as many days before."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How one model or naive rule did at one origin, in order days and in spend."""

    name: ModelName | Naive
    origin: date
    horizon_days: int
    customer_count: int
    orders: Accuracy
    spend: Accuracy


@dataclass(frozen=True, slots=True)
class Past:
    """An origin, what was known by then of each customer, and what they did within the horizon."""

    origin: int
    horizon_days: int
    histories: Histories
    recent: Floats  # order days in as many days before
    orders: Floats
    spend: Floats


@dataclass(frozen=True, slots=True)
class Backtest:
    """Everything that was tried, and the forecasts of each model at each origin."""

    pasts: Sequence[Past]
    trials: Sequence[Trial]
    forecasts: Mapping[ModelName, Sequence[Forecast]]

    def outcomes(self, name: ModelName) -> list[Outcome]:
        """Forecasts of spend and what came, one per origin."""
        pairs = zip(self.forecasts[name], self.pasts, strict=True)
        return [Outcome(forecast.spend, past.spend) for forecast, past in pairs]

    def of(self, name: ModelName | Naive) -> list[Trial]:
        """The trials of one model or rule."""
        return [trial for trial in self.trials if trial.name == name]


def sampled(customers: Integers) -> Integers:
    """Those that take part, of all who have ordered: the same every time."""
    stride = -(-len(customers) // MOST_CUSTOMERS)
    return customers[:: max(stride, 1)]


def backtest(order_days: OrderDays, as_of: int, horizon_days: int) -> Backtest:
    """Try every model at every origin that the history allows; empty where it allows none.

    `order_days`: of those who take part, `sampled`.
    """
    pasts = list(_pasts(order_days, as_of, horizon_days))
    with ThreadPoolExecutor(THREADS) as threads:
        forecasts = {model.name: threads.map(partial(_forecast, model), pasts) for model in MODELS}
        found = {name: list(of_pasts) for name, of_pasts in forecasts.items()}
    trials: list[Trial] = []
    for number, past in enumerate(pasts):
        for model in MODELS:
            forecast = found[model.name][number]
            trials.append(
                _trial(model.name, past, forecast.expected_orders, forecast.spend.expected)
            )
        for name, orders in _naive(past).items():
            mean = np.nan_to_num(past.histories.mean_spend)
            trials.append(_trial(name, past, orders, orders * mean))
    return Backtest(pasts, trials, found)


def _forecast(model: OrderModel, past: Past) -> Forecast:
    """What a model makes of a past; of nothing else, so that several can be made at once."""
    terms = Terms(horizon_days=past.horizon_days)
    return forecast_value(fit_value(model, past.histories), past.histories, terms, TRIED_LEVELS)


def _pasts(order_days: OrderDays, as_of: int, horizon_days: int) -> Iterator[Past]:
    """Origins from the latest; the horizon is at most half of the history."""
    seen = order_days.until(as_of)
    if not len(seen.day):
        return
    length = as_of - int(seen.day.min())
    days = min(horizon_days, length // 2)
    for shift in ORIGIN_SHIFTS:
        origin = as_of - round(shift * days)
        past = _past(seen, origin, days)
        has_past = length - round(shift * days) >= length * LEAST_PAST
        if days and has_past and _is_enough(past.histories):
            yield past


def _is_enough(histories: Histories) -> bool:
    spenders, returned = (histories.spend > 0).sum(), (histories.repeats > 0).sum()
    return bool(spenders >= LEAST_CUSTOMERS and returned >= LEAST_RETURNED)


def _past(order_days: OrderDays, origin: int, days: int) -> Past:
    histories = summarise(order_days, origin)
    recent, _ = _between(order_days, histories, origin - days, origin)
    orders, spend = _between(order_days, histories, origin, origin + days)
    return Past(origin, days, histories, recent, orders, spend)


def _between(
    order_days: OrderDays, histories: Histories, after: int, until: int
) -> tuple[Floats, Floats]:
    """Order days and spend of the customers of the histories, after one day until another."""
    chosen = (order_days.day > after) & (order_days.day <= until)
    chosen &= np.isin(order_days.customer, histories.customer)
    place = np.searchsorted(histories.customer, order_days.customer[chosen])
    spend: Floats = np.nan_to_num(order_days.spend[chosen])
    count = np.bincount(place, minlength=len(histories)).astype(np.float64)
    total = np.bincount(place, weights=spend, minlength=len(histories)).astype(np.float64)
    return count, total


def _naive(past: Past) -> Mapping[Naive, Floats]:
    rate = past.histories.repeats / np.maximum(past.histories.age, 1)
    return {Naive.OWN_RATE: rate * past.horizon_days, Naive.LAST_WINDOW: past.recent}


def _trial(name: ModelName | Naive, past: Past, orders: Floats, spend: Floats) -> Trial:
    return Trial(
        name=name,
        origin=date.fromordinal(past.origin),
        horizon_days=past.horizon_days,
        customer_count=len(past.histories),
        orders=accuracy(orders, past.orders),
        spend=accuracy(spend, past.spend),
    )
