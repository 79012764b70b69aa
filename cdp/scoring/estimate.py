"""A fit as it is stored: all that it takes to score anybody again."""

from dataclasses import dataclass

import numpy as np

from cdp.scoring.forecast import Terms
from cdp.scoring.gamma_gamma import GammaGamma
from cdp.scoring.histories import Histories
from cdp.scoring.intervals import Levels
from cdp.scoring.model import ModelName
from cdp.scoring.value import MODELS, Fitted, Scores, forecast_with, scores


@dataclass(frozen=True, slots=True)
class Estimate:
    """The parameters of both models, and how the scores are made of them. Serialisable as JSON."""

    kind: ModelName
    orders: tuple[float, ...]
    spend: GammaGamma
    levels: Levels
    terms: Terms


def estimate_of(fitted: Fitted, levels: Levels, terms: Terms) -> Estimate:
    """What is kept of a fit."""
    parameters = tuple(float(each) for each in fitted.orders.parameters)
    return Estimate(fitted.model.name, parameters, fitted.spend.model, levels, terms)


def score_with(estimate: Estimate, histories: Histories) -> Scores:
    """Score customers, of whom there is at least one, who need not be those of the fit."""
    model = next(model for model in MODELS if model.name == estimate.kind)
    levels, parameters = estimate.levels, np.array(estimate.orders)
    forecast = forecast_with(
        model, parameters, estimate.spend, histories, estimate.terms, (levels.lower, levels.upper)
    )
    return scores(forecast, histories, estimate.terms, levels)
