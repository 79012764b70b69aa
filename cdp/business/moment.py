"""The facts as of a moment: as they are stored for the present, folded anew for the past."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    literal,
    or_,
    select,
    union_all,
)

from cdp.facts import customer_facts
from cdp.order_days import day_in
from cdp.purchase_days import purchase_days
from cdp.tables import FACT_COLUMNS, customer, purchase_day, source_profile
from cdp.workspace import Workspace

SECONDS_PER_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Moment:
    """What a figure may know of: nothing that happened after `at`.

    `at` speaks of the records' own time; who is whose customer is as we know it now. `is_past`:
    the stored facts know more than that, and are folded anew.
    """

    at: ColumnElement[datetime]
    is_past: bool
    workspace: Workspace

    @property
    def today(self) -> ColumnElement[date]:
        """The workspace's day."""
        return day_in(self.at, self.workspace)

    def before(self, days: float) -> ColumnElement[datetime]:
        """So many days of 24 hours earlier."""
        return self.at - literal(timedelta(seconds=days * SECONDS_PER_DAY))


def moment_of(at: datetime, now: datetime, workspace: Workspace) -> Moment:
    """The moment `at`; one that is still to come knows what is known now."""
    shown = literal(min(at, now), DateTime(timezone=True))
    return Moment(shown, at < now, workspace)


def days_at(moment: Moment) -> Select[Any]:
    """The rows of `purchase_day` as of the moment, each with its `customer_id`.

    For the past a stored row of an earlier day still holds where nothing was ever given back and
    nothing lacks a rate: each of its orders had been placed. The others are folded anew.
    """
    day = purchase_day.c
    if not moment.is_past:
        return _owned(purchase_day)
    may_differ = or_(
        day.on == moment.today,
        day.refunded != 0,
        day.unpriced_count != 0,
        day.next_change_at.is_not(None),
    )
    asked = select(day.source_profile_id, day.on).where(day.on <= moment.today, may_differ)
    folded = purchase_days(asked.subquery("asked"), moment.workspace, moment.at).subquery("folded")
    still_holds = _owned(purchase_day).where(day.on < moment.today, ~may_differ)
    return select(union_all(still_holds, _owned(folded)).subquery("days"))


def _owned(days: FromClause) -> Select[Any]:
    """Days, each with the customer whose profile's it is."""
    profile = source_profile.alias()
    columns = (days.c[each.name] for each in purchase_day.c)
    return select(profile.c.customer_id, *columns).select_from(
        days.join(profile, profile.c.id == days.c.source_profile_id)
    )


def facts_at(moment: Moment) -> Select[Any]:
    """One row per customer (`id`): every fact of FACT_COLUMNS as of the moment."""
    if not moment.is_past:
        return select(customer.c.id, *(customer.c[fact.name] for fact in FACT_COLUMNS))
    return customer_facts(customer, days_at(moment).subquery("days"), moment.workspace.money_digits)
