"""What an order earns: a pure function of the order, as it stands now, and the programme."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final

from cdp.loyalty.programme import CampaignRule, CategoryRule, SpendRule
from cdp.loyalty.terms import Terms
from cdp.values import ProfileId, SourceId

DIGITS: Final = 60  # beyond those of an amount, a rate and a share multiplied: nothing is rounded
MOST_POINTS: Final = 10**15  # of one order; beyond any, and the sums of many still fit a bigint


@dataclass(frozen=True, slots=True)
class Purchase:
    """An order that stands, as far as it earns. Money is in the currency of the programme.

    `spend` is its total without the parts that earn nothing, before refunds; `share_left` says of
    which part of the total (first) how much is left after refunds (as amounts: left, total).
    `categories` is what was spent on lines of each.
    """

    profile_id: ProfileId
    source_id: SourceId
    key: str
    placed_at: datetime
    channel: str | None
    spend: Decimal
    left: Decimal
    total: Decimal
    categories: Mapping[str, Decimal]


def points_of(purchase: Purchase, terms: Terms) -> Mapping[str, int]:
    """Points by earn rule, rules that give none left out.

    What was given back of an order takes back the same share of what each rule gave, and what is
    left is rounded down to whole points.
    """
    if purchase.left <= 0 or purchase.total <= 0 or purchase.spend <= 0:
        return {}
    with localcontext(prec=DIGITS):
        full = _full_points(purchase, terms)
        kept = {
            name: int(points * purchase.left // purchase.total) for name, points in full.items()
        }
    return {name: min(points, MOST_POINTS) for name, points in kept.items() if points > 0}


def _full_points(purchase: Purchase, terms: Terms) -> dict[str, Decimal]:
    """What the order would earn had nothing been given back; not rounded."""
    earn = terms.programme.earn
    base = {
        rule.name: rule.points_per_unit * purchase.spend
        for rule in earn
        if isinstance(rule, SpendRule) and _applies(rule, purchase)
    }
    full = dict(base)
    for rule in earn:
        if isinstance(rule, CategoryRule):
            spend = sum(
                (purchase.categories.get(one, Decimal(0)) for one in rule.categories), Decimal(0)
            )
            full[rule.name] = rule.points_per_unit * max(spend, Decimal(0))
        elif isinstance(rule, CampaignRule) and _runs(rule, purchase, terms):
            full[rule.name] = (
                Decimal(rule.points)
                if rule.points is not None
                else sum(base.values(), Decimal(0)) * ((rule.multiplier or 1) - 1)
            )
    return full


def _applies(rule: SpendRule | CampaignRule, purchase: Purchase) -> bool:
    return purchase.spend >= rule.least_spend and (
        not rule.channels or purchase.channel in rule.channels
    )


def _runs(rule: CampaignRule, purchase: Purchase, terms: Terms) -> bool:
    on = terms.day_of(purchase.placed_at)
    return rule.starts_on <= on <= rule.ends_on and _applies(rule, purchase)
