"""How well a forecast met what came."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.histories import Floats, Integers
from cdp.scoring.ranks import mean_ranks

DECILES: Final = 10
REPEAT_BINS: Final = ((0, "0"), (1, "1"), (2, "2"), (3, "3-5"), (6, "6+"))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of one forecast per customer against what each then did.

    `bias` is the total forecast over the total that came, less one. `spearman` and `gini` tell the
    ranking (1 the perfect one; the Gini coefficient is that of what came in the order of the
    forecast, over the one in its own order, as in Wang, Liu and Miao, arXiv:1912.07753).
    `top_decile` is the share of all that came that is of the tenth forecast highest,
    `best_top_decile` what a perfect ranking gets. Null where all are alike or nothing came.
    """

    mean_absolute_error: float
    root_mean_square_error: float
    bias: float | None
    spearman: float | None
    gini: float | None
    top_decile: float | None
    best_top_decile: float | None


def accuracy(forecast: Floats, actual: Floats) -> Accuracy:
    """Measure a forecast; customers of equal forecasts share what they did, so ties favour none."""
    error, total = forecast - actual, float(actual.sum())
    ranked, best = _in_order_of(forecast, actual), np.sort(actual)[::-1]
    concentration = _gini(best)
    return Accuracy(
        mean_absolute_error=float(np.abs(error).mean()),
        root_mean_square_error=float(np.sqrt((error**2).mean())),
        bias=float(forecast.sum()) / total - 1.0 if total else None,
        spearman=_correlation(mean_ranks(forecast), mean_ranks(actual)),
        gini=_gini(ranked) / concentration if concentration else None,
        top_decile=_top_decile(ranked),
        best_top_decile=_top_decile(best),
    )


def _in_order_of(forecast: Floats, actual: Floats) -> Floats:
    """What came, from the highest forecast to the lowest; equal forecasts get their mean."""
    _, place, count = np.unique(-forecast, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=actual) / count
    return np.repeat(mean, count)


def _gini(highest_first: Floats) -> float:
    """Twice the area between the curve of what came and the diagonal; 0 where nothing came."""
    n, total = len(highest_first), float(highest_first.sum())
    weights = n - 1.0 - 2.0 * np.arange(n)
    return float(weights @ highest_first) / (n * total) if total else 0.0


def _top_decile(highest_first: Floats) -> float | None:
    total, tenth = float(highest_first.sum()), len(highest_first) / DECILES
    whole = int(tenth)
    rest = float(highest_first[whole : whole + 1].sum()) * (tenth - whole)
    return (float(highest_first[:whole].sum()) + rest) / total if total else None


def _correlation(left: Floats, right: Floats) -> float | None:
    if not (np.ptp(left) and np.ptp(right)):
        return None
    return float(np.corrcoef(left, right)[0, 1])


@dataclass(frozen=True, slots=True)
class Bin:
    """Customers of about the same forecast: how many, its mean, and the mean of what came."""

    label: str
    customer_count: int
    forecast: float
    actual: float


def by_decile(forecast: Floats, actual: Floats) -> tuple[Bin, ...]:
    """Ten bins of about as many customers, from the lowest forecast to the highest."""
    order = np.argsort(forecast, kind="stable")
    parts = np.array_split(order, DECILES)
    return _bins([(str(place), rows) for place, rows in enumerate(parts, 1)], forecast, actual)


def by_tenth(probability: Floats, happened: Floats) -> tuple[Bin, ...]:
    """Bins of a probability: below .1, from .1 below .2 and so on."""
    tenth = np.minimum((probability * DECILES).astype(np.int64), DECILES - 1)
    parts = [np.flatnonzero(tenth == place) for place in range(DECILES)]
    named = [(f"{place / DECILES:.1f}", rows) for place, rows in enumerate(parts)]
    return _bins(named, probability, happened)


def by_repeats(repeats: Integers, forecast: Floats, actual: Floats) -> tuple[Bin, ...]:
    """Bins of customers by how often they had come back when the forecast was made."""
    starts = np.array([first for first, _ in REPEAT_BINS])
    place = np.searchsorted(starts, repeats, side="right") - 1
    named = [(label, np.flatnonzero(place == at)) for at, (_, label) in enumerate(REPEAT_BINS)]
    return _bins(named, forecast, actual)


def _bins(
    parts: Sequence[tuple[str, Integers]], forecast: Floats, actual: Floats
) -> tuple[Bin, ...]:
    """One bin per part that has customers."""
    return tuple(
        Bin(label, len(rows), float(forecast[rows].mean()), float(actual[rows].mean()))
        for label, rows in parts
        if len(rows)
    )
