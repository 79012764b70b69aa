"""Whether a model's forecasts may be relied on, and why not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from cdp.scoring.backtest import Backtest, Naive, Trial
from cdp.scoring.model import ModelName
from cdp.scoring.report import Bounds, FittedModel

AS_GOOD: Final = 1.01  # times the smallest error: a difference that no backtest tells
MOST_BIAS: Final = 0.15  # of the total: what a plan can bear
WORST_BIAS: Final = 0.30
WORSE_THAN_NAIVE: Final = 1.10  # times the error of the better naive rule
PROMISED: Final = (0.75, 0.95)
"""Covered by bounds at 80 %; more where most customers are gone, whose zero no bound leaves out."""

MOST_CORRELATION: Final = 0.2  # of spend with frequency, which the models take as independent
MOST_EXCESS: Final = 0.15  # of the last months over what the model makes of them


class Verdict(StrEnum):
    """What the report comes to."""

    TRUSTED = "TRUSTED"
    CAUTION = "CAUTION"
    DO_NOT_USE = "DO_NOT_USE"


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that speaks against the forecasts: how grave, a stable code, and a sentence."""

    verdict: Verdict
    code: str
    message: str


def choose(backtest: Backtest, models: Sequence[ModelName]) -> ModelName:
    """The model with the smallest mean error of order days over the origins.

    Of those within 1 % of it the one with the least bias, in whole percent; then the first given,
    which is also the answer where nothing could be tried.
    """
    if not backtest.pasts:
        return models[0]
    errors = {name: _error(backtest.of(name)) for name in models}
    good = [name for name in models if errors[name] <= AS_GOOD * min(errors.values())]
    return min(good, key=lambda name: round(abs(_bias(backtest.of(name))), 2))


def overall(reasons: Iterable[Reason]) -> Verdict:
    """The gravest of the reasons; TRUSTED without any."""
    found = {reason.verdict for reason in reasons}
    return next(
        (one for one in (Verdict.DO_NOT_USE, Verdict.CAUTION) if one in found), Verdict.TRUSTED
    )


def reasons_of_backtest(backtest: Backtest, name: ModelName, horizon_days: int) -> Iterator[Reason]:
    """What the past says against a model."""
    trials = backtest.of(name)
    if not trials:
        yield _caution("NOT_TRIED", "The history is too short for a backtest.")
        return
    tried = trials[0].horizon_days
    if tried < horizon_days:
        yield _caution(
            "HORIZON_NOT_TRIED",
            f"Backtests reached {tried} days ahead, the forecast reaches {horizon_days}:"
            " no season that takes longer was ever held against it.",
        )
    for trial in trials:
        if trial.orders.bias is None:
            message = f"After {trial.origin} nobody ordered for {tried} days."
            yield Reason(Verdict.DO_NOT_USE, "NOTHING_CAME", message)
    error = _error(trials)
    naive, naive_error = min(
        ((rule, _error(backtest.of(rule))) for rule in Naive), key=lambda pair: pair[1]
    )
    if error > naive_error:
        is_grave = error > WORSE_THAN_NAIVE * naive_error
        yield Reason(
            Verdict.DO_NOT_USE if is_grave else Verdict.CAUTION,
            "NAIVE_RULE_DOES_BETTER",
            f"The mean error of order days is {error:.3f}, that of {naive} {naive_error:.3f}.",
        )
    yield from _bias_reason("ORDERS_BIASED", "order days", _bias(trials))
    yield from _bias_reason("SPEND_BIASED", "spend", _spend_bias(trials))


def reasons_of_bounds(bounds: Bounds) -> Iterator[Reason]:
    """Whether the bounds cover what they promise."""
    lowest, highest = PROMISED
    if not lowest <= bounds.measured.within <= highest:
        yield _caution(
            "BOUNDS_OFF",
            f"Bounds at 80 % covered {bounds.measured.within:.0%} in the backtests.",
        )


def reasons_of_fit(
    fits: Sequence[FittedModel], correlation: float | None, excess: float | None
) -> Iterator[Reason]:
    """What the fits say: parameters, independence of spend, and the last months."""
    for fit in fits:
        if not fit.is_converged:
            yield Reason(Verdict.DO_NOT_USE, "NOT_CONVERGED", f"The fit of {fit.name} did not end.")
        unknown = [p.name for p in fit.parameters if not p.is_identified]
        if unknown:
            yield _caution(
                "NOT_IDENTIFIED",
                f"The data do not tell {', '.join(unknown)} of {fit.name} within a factor of three:"
                " what depends on it alone is a guess.",
            )
    if correlation is not None and abs(correlation) > MOST_CORRELATION:
        yield _caution(
            "SPEND_DEPENDS_ON_FREQUENCY",
            f"Spend per order day and frequency correlate by {correlation:.2f};"
            " the models take them as independent.",
        )
    if excess is not None and abs(excess) > MOST_EXCESS:
        yield _caution(
            "SEASON_OR_TREND",
            f"Repeat orders of the last months ran {excess:+.0%} from what the model makes of the"
            " whole history: a season or a trend that it does not know.",
        )


def _caution(code: str, message: str) -> Reason:
    return Reason(Verdict.CAUTION, code, message)


def _bias_reason(code: str, what: str, bias: float) -> Iterator[Reason]:
    if abs(bias) > MOST_BIAS:
        verdict = Verdict.DO_NOT_USE if abs(bias) > WORST_BIAS else Verdict.CAUTION
        yield Reason(verdict, code, f"The total of {what} was off by {bias:+.0%} in the backtests.")


def _error(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.orders.mean_absolute_error for trial in trials]))


def _bias(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.orders.bias or 0.0 for trial in trials]))


def _spend_bias(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.spend.bias or 0.0 for trial in trials]))
