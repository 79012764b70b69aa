"""Where a customer stands, by the customer's own rhythm of buying."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Float, case, cast, func, literal

from cdp.tables import LifecycleStage, lifecycle_stage
from cdp.traits import purchases, rfm
from cdp.traits.trait import Group, Scope, trait

DEFAULT_RHYTHM_DAYS: Final = 90  # a quarter: what a shop expects of somebody who bought once
SHORTEST_RHYTHM_DAYS: Final = 30  # a weekly buyer on a holiday is not slipping away
LONGEST_RHYTHM_DAYS: Final = 365
LOYAL_ORDERS: Final = 4
AT_RISK_AFTER_RHYTHMS: Final = 1.5
LAPSED_AFTER_RHYTHMS: Final = 2.5
LOST_AFTER_RHYTHMS: Final = 4.0


def _stage(stage: LifecycleStage) -> ColumnElement[LifecycleStage]:
    return literal(stage, lifecycle_stage)


def _rhythms_of_silence(s: Scope) -> ColumnElement[Any]:
    """How many of the customer's own gaps between orders have passed since the last one."""
    own = cast(purchases.average_days_between_orders(s), Float)
    rhythm = func.least(
        func.greatest(func.coalesce(own, DEFAULT_RHYTHM_DAYS), SHORTEST_RHYTHM_DAYS),
        LONGEST_RHYTHM_DAYS,
    )
    return cast(rfm.recency_days(s), Float) / rhythm


@trait()
def stage(s: Scope) -> ColumnElement[LifecycleStage]:
    """PROSPECT before the first order; then by silence, counted in the customer's own rhythm.

    The rhythm is the average gap between orders, at least 30 and at most 365 days, and 90 before
    the second. Up to 1.5 rhythms of silence: NEW with one order, LOYAL with four or more, else
    ACTIVE. Up to 2.5: AT_RISK. Up to 4: LAPSED. Beyond: LOST. Never null.
    """
    silence = _rhythms_of_silence(s)
    return case(
        (s.fact.c.order_count == 0, _stage(LifecycleStage.PROSPECT)),
        (silence > LOST_AFTER_RHYTHMS, _stage(LifecycleStage.LOST)),
        (silence > LAPSED_AFTER_RHYTHMS, _stage(LifecycleStage.LAPSED)),
        (silence > AT_RISK_AFTER_RHYTHMS, _stage(LifecycleStage.AT_RISK)),
        (s.fact.c.order_count == 1, _stage(LifecycleStage.NEW)),
        (s.fact.c.order_count >= LOYAL_ORDERS, _stage(LifecycleStage.LOYAL)),
        else_=_stage(LifecycleStage.ACTIVE),
    )


LIFECYCLE = Group("lifecycle", "Where the customer stands.", (stage,))
