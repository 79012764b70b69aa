"""The models of value together: fit them to histories, and forecast each customer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdp.scoring.beta_geometric import BG_NBD, MBG_NBD
from cdp.scoring.forecast import (
    OrderForecast,
    SpendForecast,
    Terms,
    forecast_orders,
    forecast_spend,
)
from cdp.scoring.gamma_gamma import GammaGamma, SpendFit, fit_spend
from cdp.scoring.histories import Floats, Histories, Integers, Patterns, group
from cdp.scoring.intervals import Levels
from cdp.scoring.maximise import Fit
from cdp.scoring.model import OrderModel, fit_orders
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.sums import Sums

MODELS: tuple[OrderModel, ...] = (MBG_NBD, PARETO_NBD, BG_NBD)
"""Those that are tried; the first is the default."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of order days and one of their spend, fitted to the same customers."""

    model: OrderModel
    orders: Fit
    spend: SpendFit


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to come within a horizon: order days by pattern, spend by customer."""

    patterns: Patterns
    orders: OrderForecast
    spend: SpendForecast

    @property
    def expected_orders(self) -> Floats:
        """One element per customer."""
        return self.orders.expected[self.patterns.of_customer]

    @property
    def no_order(self) -> Floats:
        """The probability of not one, one element per customer."""
        return self.orders.none[self.patterns.of_customer]


@dataclass(frozen=True, slots=True)
class Scores:
    """What is stored of each customer, one element each.

    `predicted`, `low` and `high` are the value of the horizon's net spend under the terms, the
    bounds at the given levels. `no_order` is the probability of no order in the horizon.
    `next_order_days` are days until an order is as likely as not, not a number where none within
    the horizon is more likely.
    """

    customer: Integers
    alive: Floats
    expected_orders: Floats
    no_order: Floats
    predicted: Floats
    low: Floats
    high: Floats
    next_order_days: Floats


def fit_value(model: OrderModel, histories: Histories) -> Fitted:
    """Fit both models."""
    return Fitted(model, fit_orders(model, histories, group(histories)), fit_spend(histories))


def forecast_value(
    fitted: Fitted, histories: Histories, terms: Terms, levels: Sequence[float]
) -> Forecast:
    """Forecast customers, who need not be those that the models were fitted to."""
    parameters, spend = fitted.orders.parameters, fitted.spend.model
    return forecast_with(fitted.model, parameters, spend, histories, terms, levels)


def forecast_with(
    model: OrderModel,
    parameters: Floats,
    spend: GammaGamma,
    histories: Histories,
    terms: Terms,
    levels: Sequence[float],
) -> Forecast:
    """The same from the parameters alone."""
    patterns = group(histories)
    future = model.future(parameters, patterns, float(terms.horizon_days))
    sums = Sums(spend, patterns.priced, levels)
    orders = forecast_orders(future, sums, patterns, terms)
    return Forecast(patterns, orders, forecast_spend(orders, sums, spend, histories, patterns))


def scores(forecast: Forecast, histories: Histories, terms: Terms, levels: Levels) -> Scores:
    """What is stored of each customer, of a forecast under the same terms and levels."""
    of, orders, spend = forecast.patterns.of_customer, forecast.orders, forecast.spend
    # Discount and margin leave the same share of every outcome as they leave of the mean.
    kept = np.ones(len(orders.expected))
    np.divide(orders.worth, orders.expected, out=kept, where=orders.expected > 0)
    share = (terms.margin * kept)[of]
    return Scores(
        customer=histories.customer,
        alive=orders.alive[of],
        expected_orders=orders.expected[of],
        no_order=orders.none[of],
        predicted=spend.expected * share,
        low=spend.quantiles[levels.lower] * share,
        high=spend.quantiles[levels.upper] * share,
        next_order_days=orders.median_wait[of],
    )
