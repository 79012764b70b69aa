"""Shares, and how sure one can be of them."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Float, case, cast, func

Z_95: Final = 1.959964  # of the normal distribution: 95 % lie within so many deviations


def share(part: ColumnElement[Any], whole: ColumnElement[Any]) -> ColumnElement[Any]:
    """The part of a whole as a fraction; null of nothing."""
    return cast(part, Float(53)) / func.nullif(whole, 0)


def wilson(
    part: ColumnElement[Any], whole: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The 95 % interval of a share (E. B. Wilson, Probable Inference, JASA 1927); null of nothing.

    Unlike the normal interval it stays within 0 to 1, and is wide for few.
    """
    n, z = func.nullif(cast(whole, Float(53)), 0), Z_95
    p = share(part, whole)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * func.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return _within(middle - half, 0.0, 1.0), _within(middle + half, 0.0, 1.0)


def net_promoters(
    promoters: ColumnElement[Any], detractors: ColumnElement[Any], answers: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The 95 % interval of a net promoter score, -100 to 100; null without an answer.

    Adjusted Wald: the normal interval of p - d, of variance (p + d - (p - d)^2) / n, after three
    answers are added, 3/4 of them promoters, 3/4 detractors and the rest passive; of the simple
    ones it covers best (B. Rocks, Interval Estimation for the Net Promoter Score, The American
    Statistician 2016).
    """
    n = func.nullif(cast(answers, Float(53)), 0) + 3.0
    p, d = (cast(promoters, Float(53)) + 0.75) / n, (cast(detractors, Float(53)) + 0.75) / n
    half = Z_95 * func.sqrt((p + d - (p - d) * (p - d)) / n)
    low, high = 100 * (p - d - half), 100 * (p - d + half)
    return _within(low, -100.0, 100.0), _within(high, -100.0, 100.0)


def _within(value: ColumnElement[Any], low: float, high: float) -> ColumnElement[Any]:
    """No less and no more; null of null, which greatest and least would pass over."""
    return case((value.is_not(None), func.least(func.greatest(value, low), high)))
