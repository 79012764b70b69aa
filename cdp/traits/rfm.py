"""Recency, frequency, monetary value: the three figures that retail has always sorted people by."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, case, cast, literal

from cdp.tables import RfmGroup, ShopifyRfmGroup, rfm_group, shopify_rfm_group
from cdp.traits import purchases
from cdp.traits.trait import Group, Scope, trait

SCORES: Final = (1, 2, 3, 4, 5)

_ROWS: Final = (
    # F1            F2              F3                F4         F5
    ("HIBERNATING", "HIBERNATING", "AT_RISK", "AT_RISK", "CANNOT_LOSE"),  # R1
    ("HIBERNATING", "HIBERNATING", "AT_RISK", "AT_RISK", "CANNOT_LOSE"),  # R2
    ("ABOUT_TO_SLEEP", "ABOUT_TO_SLEEP", "NEED_ATTENTION", "LOYAL", "LOYAL"),  # R3
    ("PROMISING", "POTENTIAL_LOYALIST", "POTENTIAL_LOYALIST", "LOYAL", "LOYAL"),  # R4
    ("NEW", "POTENTIAL_LOYALIST", "POTENTIAL_LOYALIST", "CHAMPIONS", "CHAMPIONS"),  # R5
)

GROUPS: Final[Mapping[tuple[int, int], RfmGroup]] = {
    (recency, frequency): RfmGroup(name)
    for recency, row in zip(SCORES, _ROWS, strict=True)
    for frequency, name in zip(SCORES, row, strict=True)
}
"""From the scores of recency and frequency."""

SHOPIFY_NAMES: Final[Mapping[RfmGroup, ShopifyRfmGroup]] = {
    RfmGroup.CHAMPIONS: ShopifyRfmGroup.CHAMPIONS,
    RfmGroup.LOYAL: ShopifyRfmGroup.LOYAL,
    RfmGroup.POTENTIAL_LOYALIST: ShopifyRfmGroup.ACTIVE,
    RfmGroup.NEW: ShopifyRfmGroup.NEW,
    RfmGroup.PROMISING: ShopifyRfmGroup.PROMISING,
    RfmGroup.NEED_ATTENTION: ShopifyRfmGroup.NEEDS_ATTENTION,
    RfmGroup.ABOUT_TO_SLEEP: ShopifyRfmGroup.ALMOST_LOST,
    RfmGroup.CANNOT_LOSE: ShopifyRfmGroup.PREVIOUSLY_LOYAL,
    RfmGroup.AT_RISK: ShopifyRfmGroup.AT_RISK,
    RfmGroup.HIBERNATING: ShopifyRfmGroup.DORMANT,
    RfmGroup.PROSPECT: ShopifyRfmGroup.PROSPECTS,
}
"""One for one, by what Shopify's help says of each; Shopify does not publish the scores at which
its own groups begin."""


@trait(unit="days", order_column="-last_order_on", finer_column="-last_order_at")
def recency_days(s: Scope) -> ColumnElement[int]:
    """Whole days of the workspace since the last qualifying order; null before the first."""
    return s.today - s.fact.c.last_order_on


@trait(unit="count", order_column="order_count")
def frequency(s: Scope) -> ColumnElement[int]:
    """The number of qualifying orders, over all time."""
    return purchases.order_count(s)


@trait(unit="currency", order_column="net_spend")
def monetary(s: Scope) -> ColumnElement[Decimal]:
    """Net spend over all time, in the workspace's currency."""
    return purchases.net_spend(s)


@trait(unit="score")
def recency_score(s: Scope) -> ColumnElement[int]:
    """5 for the fifth of customers who ordered last, down to 1, by the cut points in force.

    Null before the first qualifying order, and before the first `cdp score`.
    """
    days, cuts = recency_days(s), s.basis("recency_cuts")
    beyond = ((days >= cuts[place], literal(score)) for place, score in enumerate(SCORES[:-1], 1))
    return case((_is_unscored(s), None), *beyond, else_=SCORES[-1])


@trait(unit="score")
def frequency_score(s: Scope) -> ColumnElement[int]:
    """5 for the fifth of customers with the most orders, down to 1; equal ones share a score.

    Null before the first qualifying order, and before the first `cdp score`.
    """
    return _rising_score(s, frequency(s), "frequency_cuts")


@trait(unit="score")
def monetary_score(s: Scope) -> ColumnElement[int]:
    """5 for the fifth of customers with the highest net spend, down to 1; equal ones share a score.

    Null before the first qualifying order, and before the first `cdp score`.
    """
    return _rising_score(s, monetary(s), "monetary_cuts")


def _rising_score(s: Scope, value: ColumnElement[Any], cuts: str) -> ColumnElement[int]:
    """One more than the cuts that the value is above."""
    cut = s.basis(cuts)
    within = ((value <= cut[place], literal(score)) for place, score in enumerate(SCORES[:-1], 1))
    return case((_is_unscored(s), None), *within, else_=SCORES[-1])


def _is_unscored(s: Scope) -> ColumnElement[bool]:
    return (purchases.order_count(s) == 0) | s.basis("recency_cuts").is_(None)


@trait()
def code(s: Scope) -> ColumnElement[str]:
    """The three scores in a row, `555` the best; null where they are."""
    recency, *others = (
        cast(each(s), Text) for each in (recency_score, frequency_score, monetary_score)
    )
    return recency.concat(others[0]).concat(others[1])


@trait()
def group(s: Scope) -> ColumnElement[RfmGroup]:
    """The group of the scores of recency and frequency; PROSPECT before the first order.

    Null before the first `cdp score`, which finds the cut points.
    """
    return _grouped(s, {each: literal(each, rfm_group) for each in RfmGroup})


@trait()
def shopify_group(s: Scope) -> ColumnElement[ShopifyRfmGroup]:
    """The same group as Shopify names its own; null where that is."""
    names = SHOPIFY_NAMES.items()
    return _grouped(s, {each: literal(name, shopify_rfm_group) for each, name in names})


def _grouped(s: Scope, names: Mapping[RfmGroup, ColumnElement[Any]]) -> ColumnElement[Any]:
    by_recency = {
        recency: case(
            {score: names[GROUPS[recency, score]] for score in SCORES}, value=frequency_score(s)
        )
        for recency in SCORES
    }
    return case(
        (purchases.order_count(s) == 0, names[RfmGroup.PROSPECT]),
        else_=case(by_recency, value=recency_score(s)),
    )


RFM = Group(
    "rfm",
    "Recency, frequency and monetary value, as figures, as scores from 1 to 5, and as a group.",
    (
        recency_days,
        frequency,
        monetary,
        recency_score,
        frequency_score,
        monetary_score,
        code,
        group,
        shopify_group,
    ),
    streams=("orders", "refunds"),
)
