"""Where a customer stands, by the customer's own rhythm of buying."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, DateTime, Float, Integer, case, cast, func, literal

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

_SILENT: Final = (
    (LifecycleStage.LOST, LOST_AFTER_RHYTHMS),
    (LifecycleStage.LAPSED, LAPSED_AFTER_RHYTHMS),
    (LifecycleStage.AT_RISK, AT_RISK_AFTER_RHYTHMS),
)
"""The stages of silence, the longest first: each lasts from beyond so many rhythms on."""


def _stage(stage: LifecycleStage) -> ColumnElement[LifecycleStage]:
    return literal(stage, lifecycle_stage)


def _last_day(s: Scope, rhythms: float) -> ColumnElement[int]:
    """Days of silence after which that many of the customer's own gaps have not quite passed."""
    own = cast(purchases.average_days_between_orders(s), Float)
    rhythm = func.least(
        func.greatest(func.coalesce(own, DEFAULT_RHYTHM_DAYS), SHORTEST_RHYTHM_DAYS),
        LONGEST_RHYTHM_DAYS,
    )
    return cast(func.floor(rhythm * rhythms), Integer)


@trait()
def stage(s: Scope) -> ColumnElement[LifecycleStage]:
    """PROSPECT before the first order; then by silence, counted in the customer's own rhythm.

    The rhythm is the average gap between orders, at least 30 and at most 365 days, and 90 before
    the second. Up to 1.5 rhythms of silence: NEW with one order, LOYAL with four or more, else
    ACTIVE. Up to 2.5: AT_RISK. Up to 4: LAPSED. Beyond: LOST. Never null.
    """
    silence = rfm.recency_days(s)
    return case(
        (s.fact.c.order_count == 0, _stage(LifecycleStage.PROSPECT)),
        *((silence > _last_day(s, rhythms), _stage(each)) for each, rhythms in _SILENT),
        (s.fact.c.order_count == 1, _stage(LifecycleStage.NEW)),
        (s.fact.c.order_count >= LOYAL_ORDERS, _stage(LifecycleStage.LOYAL)),
        else_=_stage(LifecycleStage.ACTIVE),
    )


@trait()
def stage_since(s: Scope) -> ColumnElement[datetime]:
    """When this stage began, as far as the last order tells; null for a PROSPECT.

    AT_RISK, LAPSED and LOST begin with the day of the workspace on which the silence is long
    enough. NEW, ACTIVE and LOYAL are begun anew by every order: with the last one.
    """
    silence = rfm.recency_days(s)

    def beginning(rhythms: float) -> ColumnElement[datetime]:
        day = s.fact.c.last_order_on + _last_day(s, rhythms) + 1
        return func.timezone(s.timezone, cast(day, DateTime(timezone=False)))

    return case(
        *((silence > _last_day(s, rhythms), beginning(rhythms)) for _, rhythms in _SILENT),
        else_=s.fact.c.last_order_at,
    )


LIFECYCLE = Group(
    "lifecycle",
    "Where the customer stands.",
    (stage, stage_since),
    streams=("orders", "refunds"),
)
