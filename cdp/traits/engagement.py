"""How a customer answers to what the shop sends and posts."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Float, Integer, Numeric, case, cast, func, literal

from cdp.tables import EngagementLevel, engagement_level
from cdp.traits.trait import Group, Scope, trait

RECENCY_POINTS: Final = 40
OPEN_POINTS: Final = 25
CLICK_POINTS: Final = 20
SOCIAL_POINTS: Final = 15
HALF_LIFE_DAYS: Final = 60.0  # after two months of silence half of the recency points are left
MOST_HALVINGS: Final = 100.0  # nothing is left long before; from 1,075 on PostgreSQL underflows
FULL_CLICK_RATE: Final = 0.2  # one message in five: hardly anybody clicks more
FULL_SOCIAL: Final = 10  # interactions
MEDIUM_FROM: Final = 34
HIGH_FROM: Final = 67
SECONDS_PER_DAY: Final = 86_400


def _rate(part: ColumnElement[Any], whole: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.round(cast(part, Numeric) / func.nullif(whole, 0), 4, type_=Numeric)


@trait(unit="count")
def messages_sent(s: Scope) -> ColumnElement[int]:
    """Messages to the customer of which any event is known; 0 without any."""
    return s.fact.c.messages_sent


@trait(unit="count")
def messages_delivered(s: Scope) -> ColumnElement[int]:
    """Of them, those that arrived: delivered, opened or clicked.

    From a source that never tells of a delivery, for anybody, also those that did not bounce.
    """
    return s.fact.c.messages_delivered


@trait(unit="ratio")
def open_rate(s: Scope) -> ColumnElement[float]:
    """Messages opened at least once per message delivered; null before the first."""
    return _rate(s.fact.c.messages_opened, s.fact.c.messages_delivered)


@trait(unit="ratio")
def click_rate(s: Scope) -> ColumnElement[float]:
    """Messages clicked at least once per message delivered; null before the first."""
    return _rate(s.fact.c.messages_clicked, s.fact.c.messages_delivered)


@trait()
def last_engaged_at(s: Scope) -> ColumnElement[datetime]:
    """When the customer last opened, clicked or replied, or interacted anywhere; null before."""
    return s.fact.c.last_engaged_at


@trait(unit="count")
def social_interactions(s: Scope) -> ColumnElement[int]:
    """Follows, likes, comments, mentions and the like on social networks; 0 without any."""
    return s.fact.c.social_interactions


@trait(unit="score")
def recency_points(s: Scope) -> ColumnElement[int]:
    """The score's part for recency: 40 on the day of the last sign of life, half of it 60 days on.

    0 where the customer has never engaged.
    """
    seconds = func.extract("epoch", s.as_of - s.fact.c.last_engaged_at)
    halvings = cast(seconds, Float) / (SECONDS_PER_DAY * HALF_LIFE_DAYS)
    counted = func.least(halvings, MOST_HALVINGS)
    share = case((s.fact.c.last_engaged_at.is_not(None), func.power(literal(0.5, Float), counted)))
    return _points(share, RECENCY_POINTS)


@trait(unit="score")
def open_points(s: Scope) -> ColumnElement[int]:
    """The score's part for opening: 25 times the open rate; 0 before the first message."""
    return _points(open_rate(s), OPEN_POINTS)


@trait(unit="score")
def click_points(s: Scope) -> ColumnElement[int]:
    """The score's part for clicking: 20 from a click rate of one in five on, else its share.

    0 before the first message.
    """
    rate = func.coalesce(cast(click_rate(s), Float), 0)  # LEAST would pass over a null
    return _points(func.least(rate / FULL_CLICK_RATE, 1), CLICK_POINTS)


@trait(unit="score")
def social_points(s: Scope) -> ColumnElement[int]:
    """The score's part for social networks: 15 from ten interactions on, else their share."""
    share = func.least(cast(s.fact.c.social_interactions, Float) / FULL_SOCIAL, 1)
    return _points(share, SOCIAL_POINTS)


def _points(share: ColumnElement[Any], most: int) -> ColumnElement[int]:
    return cast(func.round(cast(func.coalesce(share, 0), Numeric) * most), Integer)


@trait(unit="score")
def score(s: Scope) -> ColumnElement[int]:
    """0 to 100: the sum of the points for recency, opening, clicking and social networks."""
    return recency_points(s) + open_points(s) + click_points(s) + social_points(s)


def _level(level: EngagementLevel) -> ColumnElement[EngagementLevel]:
    return literal(level, engagement_level)


@trait()
def level(s: Scope) -> ColumnElement[EngagementLevel]:
    """NONE before any engagement; HIGH from a score of 67, MEDIUM from 34, else LOW."""
    points = score(s)
    return case(
        (s.fact.c.last_engaged_at.is_(None), _level(EngagementLevel.NONE)),
        (points >= HIGH_FROM, _level(EngagementLevel.HIGH)),
        (points >= MEDIUM_FROM, _level(EngagementLevel.MEDIUM)),
        else_=_level(EngagementLevel.LOW),
    )


ENGAGEMENT = Group(
    "engagement",
    "How the customer answers to messages and posts.",
    (
        messages_sent,
        messages_delivered,
        open_rate,
        click_rate,
        last_engaged_at,
        social_interactions,
        score,
        recency_points,
        open_points,
        click_points,
        social_points,
        level,
    ),
    streams=("messages", "interactions"),
)
