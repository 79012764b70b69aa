"""The whole of it: from order days to scores and a report, or to what is missing for them."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from cdp.money import HUNDREDTHS
from cdp.scoring.backtest import Backtest, Trial, backtest, sampled
from cdp.scoring.copying import total_money
from cdp.scoring.forecast import Terms
from cdp.scoring.gate import Shortfall, shortfalls
from cdp.scoring.histories import Histories, OrderDays, summarise
from cdp.scoring.intervals import NOMINAL
from cdp.scoring.model import ModelName
from cdp.scoring.report import (
    Bounds,
    Calibration,
    FittedModel,
    Total,
    bounds,
    calibration,
    describe_fitted,
    total_orders,
)
from cdp.scoring.tracking import Calendar, Period, calendar, recent_excess, track
from cdp.scoring.value import MODELS, Fitted, Scores, fit_value, forecast_value, scores
from cdp.scoring.verdict import (
    Reason,
    Verdict,
    choose,
    overall,
    reasons_of_backtest,
    reasons_of_bounds,
    reasons_of_fit,
)


@dataclass(frozen=True, slots=True)
class Report:
    """How the models were chosen and fitted, how they did, and whether to trust them.

    Serialisable as JSON as it stands. `calibration` and `bounds` are null where the history is too
    short for a backtest. `correlation` is that of spend per order day and frequency. `total_spend`
    is under the terms, the sum of what each customer is told.
    """

    as_of: date
    terms: Terms
    customer_count: int
    repeater_count: int
    history_days: int
    model: ModelName
    orders: FittedModel
    spend: FittedModel
    correlation: float | None
    total_orders: Total
    total_spend: float
    trials: tuple[Trial, ...]
    calibration: Calibration | None
    bounds: Bounds | None
    periods: tuple[Period, ...]
    verdict: Verdict
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Appraisal:
    """Scores and a report, or the shortfalls for want of which there are neither."""

    shortfalls: tuple[Shortfall, ...]
    fitted: Fitted | None
    scores: Scores | None
    report: Report | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What histories and backtests teach; the last two are null where there are shortfalls."""

    shortfalls: tuple[Shortfall, ...]
    as_of: date
    terms: Terms
    histories: Histories
    fitted: Fitted | None = None
    tried: Backtest | None = None


def appraise(order_days: OrderDays, as_of: date, terms: Terms) -> Appraisal:
    """Choose by backtests, fit on all, calibrate the bounds, score, and judge.

    Days are those of `date.toordinal`; order days after `as_of` are not looked at.
    """
    shop = shop_of(order_days, as_of)
    return score_and_judge(learn(shop.histories, shop.sample, as_of, terms), shop.calendar)


@dataclass(frozen=True, slots=True)
class Shop:
    """What the models need of a shop.

    The histories of everybody, the order days of those who take part in backtests, and how many
    ordered on each day.
    """

    histories: Histories
    sample: OrderDays
    calendar: Calendar


def shop_of(order_days: OrderDays, as_of: date) -> Shop:
    """All of it from the order days of everybody; those after `as_of` are not looked at."""
    seen, moment = order_days.until(as_of.toordinal()), as_of.toordinal()
    histories = summarise(seen, moment)
    days, counts = np.unique(seen.day, return_counts=True)
    sample = seen.of(sampled(histories.customer))
    return Shop(histories, sample, calendar(histories, moment, days, counts))


def learn(histories: Histories, sample: OrderDays, as_of: date, terms: Terms) -> Learned:
    """The first half of it: `sample` are the order days of those who take part in backtests."""
    missing = shortfalls(histories)
    if missing:
        return Learned(missing, as_of, terms, histories)
    tried = backtest(sample, as_of.toordinal(), terms.horizon_days)
    name = choose(tried, [model.name for model in MODELS])
    fitted = fit_value(next(model for model in MODELS if model.name == name), histories)
    return Learned((), as_of, terms, histories, fitted, tried)


def score_and_judge(
    learned: Learned, calendar: Calendar, money_digits: int = HUNDREDTHS
) -> Appraisal:
    """The second half; `money_digits`: decimal places in which each customer is told money."""
    fitted, tried = learned.fitted, learned.tried
    if fitted is None or tried is None:
        return Appraisal(learned.shortfalls, None, None, None)
    histories, terms, name = learned.histories, learned.terms, fitted.model.name
    measured = bounds(tried, name) if tried.pasts else None
    levels = measured.levels if measured else NOMINAL
    forecast = forecast_value(fitted, histories, terms, (levels.lower, levels.upper))
    told = scores(forecast, histories, terms, levels)
    fits, periods = describe_fitted(fitted), track(fitted.model, fitted.orders, calendar)
    reasons = (
        *reasons_of_backtest(tried, name, terms.horizon_days),
        *(reasons_of_bounds(measured) if measured else ()),
        *reasons_of_fit(fits, fitted.spend.correlation, recent_excess(periods)),
    )
    report = Report(
        as_of=learned.as_of,
        terms=terms,
        customer_count=len(histories),
        repeater_count=int((histories.repeats > 0).sum()),
        history_days=int(histories.age.max()),
        model=name,
        orders=fits[0],
        spend=fits[1],
        correlation=fitted.spend.correlation,
        total_orders=total_orders(fitted, histories, forecast, terms),
        total_spend=total_money(told.predicted, money_digits),
        trials=tuple(tried.trials),
        calibration=calibration(tried, name) if tried.pasts else None,
        bounds=measured,
        periods=periods,
        verdict=overall(reasons),
        reasons=reasons,
    )
    return Appraisal((), fitted, told, report)
