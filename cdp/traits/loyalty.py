"""Where a customer stands in the loyalty programme: status, tier, points."""

from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement

from cdp.tables import LoyaltyStatus
from cdp.traits.trait import Group, Scope, trait


@trait()
def status(s: Scope) -> ColumnElement[LoyaltyStatus]:
    """How the customer belongs to the programme; never null.

    NONE: no member, and no points. PAID_MEMBER: by an active subscription to one of its plans.
    SUSPENDED: by a person's decision; points stay and cannot be spent.
    """
    return s.fact.c.loyalty_status


@trait(order_column="loyalty_tier_rank")
def tier(s: Scope) -> ColumnElement[str]:
    """The tier that is held, as the programme names it; sorts by rank. Null without one."""
    return s.fact.c.loyalty_tier


@trait(unit="points")
def points(s: Scope) -> ColumnElement[int]:
    """Points that can be spent; null for who is no member.

    What is available, less what is owed for points that were spent and then taken back: negative
    where more is owed.
    """
    return s.fact.c.loyalty_points


@trait(unit="points")
def pending_points(s: Scope) -> ColumnElement[int]:
    """Points of orders within their return window, not to be spent yet; null for no member."""
    return s.fact.c.loyalty_pending_points


@trait(unit="points")
def lifetime_points(s: Scope) -> ColumnElement[int]:
    """Points ever earned, less what refunds took back; null for who is no member.

    Pending points count, adjustments by hand do not.
    """
    return s.fact.c.loyalty_lifetime_points


@trait(unit="points")
def points_expiring(s: Scope) -> ColumnElement[int]:
    """Of `points`, those that expire first, never more than there are. Null where none will."""
    return s.fact.c.loyalty_points_expiring


@trait()
def points_expire_on(s: Scope) -> ColumnElement[date]:
    """The last day on which those can be spent. Null where none will expire.

    A day of the programme's time zone, of the workspace's where there is no programme.
    """
    return s.fact.c.loyalty_points_expire_on


@trait()
def next_tier(s: Scope) -> ColumnElement[str]:
    """The tier above the one that is held. Null for the highest, and for who is no member."""
    return s.fact.c.loyalty_next_tier


@trait()
def points_to_next_tier(s: Scope) -> ColumnElement[Decimal]:
    """What is missing for the next tier; null where there is none.

    Points, or money of the programme where its tiers are reached by spend.
    """
    return s.fact.c.loyalty_points_to_next_tier


@trait()
def tier_since(s: Scope) -> ColumnElement[date]:
    """The day since which the tier is held without a break. Null without a tier."""
    return s.fact.c.loyalty_tier_since


@trait()
def tier_until(s: Scope) -> ColumnElement[date]:
    """The first day on a lower tier, if nothing more is earned.

    Null without a tier, and where time alone does not take it.
    """
    return s.fact.c.loyalty_tier_until


LOYALTY = Group(
    "loyalty",
    "Where the customer stands in the loyalty programme.",
    (
        status,
        tier,
        points,
        pending_points,
        lifetime_points,
        points_expiring,
        points_expire_on,
        next_tier,
        points_to_next_tier,
        tier_since,
        tier_until,
    ),
    streams=("orders", "refunds", "loyalty_entries", "subscriptions"),
)
