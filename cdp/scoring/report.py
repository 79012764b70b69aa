"""The report of a model: what was fitted, how it did in the past, and whether to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.backtest import Backtest
from cdp.scoring.forecast import Terms
from cdp.scoring.gamma_gamma import PARAMETER_NAMES
from cdp.scoring.histories import SAMPLE, Floats, Histories, group
from cdp.scoring.intervals import NOMINAL, Coverage, Levels, calibrated, coverage
from cdp.scoring.maximise import Fit, log_variance
from cdp.scoring.metrics import Bin, by_decile, by_repeats, by_tenth
from cdp.scoring.model import ModelName
from cdp.scoring.value import Fitted, Forecast

EIGHTY_PERCENT: Final = 1.2816  # standard deviations on either side of the mean


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter. `low` and `high` bound it at 80 %; null where it is not identified.

    The errors are normal on the logarithm of what was fitted (of q - 1 for q), and so the bounds.
    """

    name: str
    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    is_identified: bool


@dataclass(frozen=True, slots=True)
class FittedModel:
    """One fit: its parameters (rates per day), its log-likelihood, and whether it ended well."""

    name: str
    parameters: tuple[Parameter, ...]
    log_likelihood: float
    is_converged: bool


@dataclass(frozen=True, slots=True)
class Total:
    """Of all customers within the horizon, with bounds at 80 % under the model."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Forecasts of the chosen model in the backtests beside what came, all origins together.

    `decile` and `repeats` compare mean order days, by decile of the forecast and by repeats at the
    origin; `spend_decile` mean spend. `ordering` compares the probability of an order within the
    horizon with the share who did; nobody sees who is alive, but who is and orders shows here.
    """

    decile: tuple[Bin, ...]
    repeats: tuple[Bin, ...]
    spend_decile: tuple[Bin, ...]
    ordering: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Whether the bounds on spend cover what they promise.

    `nominal` is what the model's own bounds covered in the backtests; `measured` what those at
    levels from the other origins did; `levels` are those in use, from all origins.
    """

    promised: float
    nominal: Coverage
    measured: Coverage
    levels: Levels


def describe(name: str, names: Sequence[str], fit: Fit, offsets: Sequence[float]) -> FittedModel:
    """A fit as it is told; an offset is what a parameter is beyond the one that was fitted."""
    absolute, errors = fit.parameters * fit.log_errors, EIGHTY_PERCENT * fit.log_errors
    low, high = fit.parameters * np.exp(-errors), fit.parameters * np.exp(errors)
    parameters = tuple(
        Parameter(
            name=parameter,
            value=float(fit.parameters[at]) + offset,
            standard_error=float(absolute[at]) if fit.is_identified[at] else None,
            low=float(low[at]) + offset if fit.is_identified[at] else None,
            high=float(high[at]) + offset if fit.is_identified[at] else None,
            is_identified=fit.is_identified[at],
        )
        for at, (parameter, offset) in enumerate(zip(names, offsets, strict=True))
    )
    return FittedModel(name, parameters, fit.log_likelihood, fit.is_converged)


def describe_fitted(fitted: Fitted) -> tuple[FittedModel, FittedModel]:
    """The model of order days and that of spend."""
    names = fitted.model.parameter_names
    orders = describe(fitted.model.name, names, fitted.orders, [0.0] * len(names))
    return orders, describe("GAMMA_GAMMA", PARAMETER_NAMES, fitted.spend.fit, [0.0, 1.0, 0.0])


def total_orders(fitted: Fitted, histories: Histories, forecast: Forecast, terms: Terms) -> Total:
    """Sum of the order days, and the chance that is in it.

    Customers vary each by themselves; the errors of the parameters move them all the same way, and
    how far a sample of them tells.
    """
    count, orders = forecast.patterns.count, forecast.orders
    sample = group(histories.every(max(len(histories) // SAMPLE, 1)))

    def total(parameters: Floats) -> float:
        future = fitted.model.future(parameters, sample, float(terms.horizon_days))
        return float(sample.count @ future.mean())

    expected = float(count @ orders.expected)
    variance = float(count @ orders.variance) + expected**2 * log_variance(fitted.orders, total)
    half = EIGHTY_PERCENT * float(np.sqrt(variance))
    return Total(expected, max(expected - half, 0.0), expected + half)


def calibration(backtest: Backtest, name: ModelName) -> Calibration:
    """Of one model, over all origins."""
    forecasts, pasts = backtest.forecasts[name], backtest.pasts
    expected = np.concatenate([forecast.expected_orders for forecast in forecasts])
    spend = np.concatenate([forecast.spend.expected for forecast in forecasts])
    ordering = np.concatenate([1.0 - forecast.no_order for forecast in forecasts])
    orders = np.concatenate([past.orders for past in pasts])
    repeats = np.concatenate([past.histories.repeats for past in pasts])
    return Calibration(
        decile=by_decile(expected, orders),
        repeats=by_repeats(repeats, expected, orders),
        spend_decile=by_decile(spend, np.concatenate([past.spend for past in pasts])),
        ordering=by_tenth(ordering, (orders > 0).astype(np.float64)),
    )


def bounds(backtest: Backtest, name: ModelName) -> Bounds:
    """Of one model; with one origin alone the levels are measured where they come from."""
    outcomes = backtest.outcomes(name)
    apart = [
        coverage([outcome], calibrated([*outcomes[:at], *outcomes[at + 1 :]] or outcomes))
        for at, outcome in enumerate(outcomes)
    ]
    within, above, below = (
        float(np.mean([getattr(one, part) for one in apart])) for part in Coverage.__slots__
    )
    return Bounds(
        promised=0.8,
        nominal=coverage(outcomes, NOMINAL),
        measured=Coverage(within, above, below),
        levels=calibrated(outcomes),
    )
