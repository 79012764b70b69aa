"""What a customer said when asked: recommendation, satisfaction, effort, and reviews."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Numeric, case, cast, func, literal

from cdp.tables import NpsCategory
from cdp.tables import nps_category as nps_category_type
from cdp.traits.trait import Group, Scope, trait

PROMOTER_FROM: Final = 9
PASSIVE_FROM: Final = 7
"""Of 0 to 10; as Reichheld cut them, The One Number You Need to Grow, 2003."""


def _mean(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.round(value, 2, type_=Numeric)


@trait()
def nps(s: Scope) -> ColumnElement[int]:
    """The latest answer to how likely a recommendation is; null without an answer.

    A whole number from 0 to 10, whatever scale it was given on.
    """
    return cast(s.fact.c.nps, Integer)


def _category(category: NpsCategory) -> ColumnElement[NpsCategory]:
    return literal(category, nps_category_type)


@trait()
def nps_category(s: Scope) -> ColumnElement[NpsCategory]:
    """PROMOTER from 9, PASSIVE from 7, else DETRACTOR, by the latest answer; null without one."""
    return case(
        (s.fact.c.nps >= PROMOTER_FROM, _category(NpsCategory.PROMOTER)),
        (s.fact.c.nps >= PASSIVE_FROM, _category(NpsCategory.PASSIVE)),
        (s.fact.c.nps.is_not(None), _category(NpsCategory.DETRACTOR)),
    )


@trait()
def csat(s: Scope) -> ColumnElement[float]:
    """Mean satisfaction on a scale up to 5, whatever scale it was asked on; null without any."""
    return _mean(s.fact.c.csat)


@trait()
def ces(s: Scope) -> ColumnElement[float]:
    """Mean customer effort score on a scale up to 7, 7 the least effort; null without any."""
    return _mean(s.fact.c.ces)


@trait(unit="count")
def review_count(s: Scope) -> ColumnElement[int]:
    """Reviews that the customer wrote; 0 without any."""
    return s.fact.c.review_count


@trait()
def average_rating(s: Scope) -> ColumnElement[float]:
    """Mean rating of those reviews on a scale up to 5; null without any."""
    return _mean(s.fact.c.average_rating)


FEEDBACK = Group(
    "feedback",
    "What the customer said when asked.",
    (nps, nps_category, csat, ces, review_count, average_rating),
    streams=("feedback",),
)
