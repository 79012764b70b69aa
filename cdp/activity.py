"""Facts of what a customer does beside buying: messages, interactions, tickets, feedback, plans.

Each is folded from the records of the customer's source profiles, up to a moment. Every part is an
aggregate of its own. For some customers it is joined laterally to them: it walks from customer to
profiles to records by index, and there is nothing for the planner to get wrong. For everybody it is
grouped by customer, and joined as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp.arrivals import tells_delivery
from cdp.money import to_smallest_unit
from cdp.order_days import day_in, exchange_rate_on
from cdp.records import FEEDBACK_SCALES
from cdp.tables import (
    ACTIVITY_COLUMNS,
    feedback,
    interaction,
    message,
    source_profile,
    subscription,
    ticket,
)
from cdp.workspace import Workspace

Clock: TypeAlias = ColumnElement[datetime]
Facts: TypeAlias = Mapping[str, ColumnElement[Any]]

ACTIVITY_STREAMS: Final = ("messages", "interactions", "tickets", "feedback", "subscriptions")
"""The streams whose records change these facts."""

SETTLED: Final = ("closed", "solved", "resolved", "done", "completed", "archived", "spam")
UNSETTLED: Final = (
    "new", "open", "opened", "reopened", "re-opened", "active", "assigned", "in_progress",
    "in progress", "pending", "waiting", "hold", "on_hold", "on hold", "on-hold", "snoozed",
    "escalated",
)  # fmt: skip
"""Statuses of a ticket that needs nobody any more, and of one that does, whatever it tells of when
it was resolved. Of any other status, or none, that tells which it is."""

RUNNING: Final = ("trialing", "active", "past_due")
PAYING: Final = ("active", "past_due")
OVER: Final = ("cancelled", "expired")
"""Statuses of a subscription that goes on, of one that is paid for, and of one that is over."""

MONTH_DAYS: Final = 30.4375  # a twelfth of a year of 365.25 days
MONTHS_PER_YEAR: Final = 12
TIMES_A_YEAR: Final = {
    "day": Decimal("365.25"),
    "week": Decimal("52.1775"),
    "month": Decimal(MONTHS_PER_YEAR),
    "year": Decimal(1),
}
"""How often a subscription is paid for, by its interval; one that tells none is by the month."""

SECONDS_PER_HOUR: Final = 3_600


def customer_activity(customers: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """One row per given customer (`id`): every fact of ACTIVITY_COLUMNS, up to `as_of`."""
    parts = [
        part.lateral(f"part_{number}")
        for number, part in enumerate(_parts(_Whom(customers), workspace, as_of))
    ]
    joined: FromClause = customers
    for part in parts:
        joined = joined.join(part, literal(value=True))
    return _put_together(customers, parts).select_from(joined)


def everyones_activity(customers: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """The same for all customers there are (`id`), from tables that are read as a whole."""
    parts = [
        part.subquery(f"part_{number}")
        for number, part in enumerate(_parts(_Whom(None), workspace, as_of))
    ]
    joined: FromClause = customers
    for part in parts:
        joined = joined.outerjoin(part, part.c.customer_id == customers.c.id)
    return _put_together(customers, parts).select_from(joined)


@dataclass(frozen=True, slots=True)
class _Whom:
    """Whose records a part reads: those of each of some customers (`id`) in turn, or everybody's.

    Of everybody's each row tells whose it is.
    """

    customers: FromClause | None

    def told_in(self, rows: FromClause) -> list[ColumnElement[Any]]:
        """The column that tells it, in what was read."""
        return [] if self.customers is not None else [rows.c.customer_id]

    def read(self, query: Select[Any], table: Table, *groups: ColumnElement[Any]) -> Select[Any]:
        """The query over their records, but for deleted ones, grouped."""
        mine = self.told_in(source_profile)
        theirs = source_profile.join(table, table.c.source_profile_id == source_profile.c.id)
        found = (
            query.add_columns(*mine)
            .select_from(theirs)
            .where(table.c.deleted_at.is_(None))
            .group_by(*mine, *groups)
        )
        if self.customers is None:
            return found
        is_theirs = source_profile.c.customer_id == self.customers.c.id
        return found.where(is_theirs).correlate(self.customers)


def _parts(whom: _Whom, workspace: Workspace, as_of: Clock) -> list[Select[Any]]:
    folds = (_messages, _interactions, _tickets, _feedback, _subscriptions)
    return [fold(whom, workspace, as_of) for fold in folds]


def _put_together(customers: FromClause, parts: Sequence[FromClause]) -> Select[Any]:
    """The facts out of the parts; of a customer without any record, 0 for what is counted."""
    values: dict[str, ColumnElement[Any]] = {}
    for part in parts:
        values.update({each.name: each for each in part.c if each.name not in _SHARED})
    engaged = [part.c.engaged_at for part in parts if "engaged_at" in part.c]
    values["last_engaged_at"] = func.greatest(*engaged)
    values["activity_change_at"] = func.least(*(part.c.next_change_at for part in parts))
    return select(
        customers.c.id,
        *(_settled(values[fact.name], fact) for fact in ACTIVITY_COLUMNS),
    )


def _settled(value: ColumnElement[Any], fact: Column[Any]) -> ColumnElement[Any]:
    told = value if fact.nullable else func.coalesce(value, 0)
    return cast(told, fact.type).label(fact.name)


_SHARED: Final = ("customer_id", "engaged_at", "next_change_at")
"""What several parts tell of, to be put together."""


def _aggregate(whom: _Whom, table: Table, values: Facts) -> Select[Any]:
    """One row, whatever there is; of everybody one for each who has any record."""
    return whom.read(select(*(value.label(name) for name, value in values.items())), table)


def _next(moment: ColumnElement[Any], as_of: Clock) -> ColumnElement[Any]:
    return func.min(moment).filter(moment > as_of)


def _messages(whom: _Whom, _: Workspace, as_of: Clock) -> Select[Any]:
    """Events by message, messages by source: a source that tells no delivery is taken at its word.

    A message of which delivery, an opening or a click is told has arrived, whatever else is; from a
    source that has told no delivery of anybody's, one that did not bounce too. An event without a
    message's id is a message by itself.
    """
    m = message.c
    is_past = m.occurred_at <= as_of

    def happened(*kinds: str) -> ColumnElement[bool]:
        return func.coalesce(func.bool_or(m.kind.in_(kinds)).filter(is_past), literal(value=False))

    events = select(
        m.source_id,
        func.bool_or(is_past).label("is_known"),
        happened("delivered").label("is_delivered"),
        happened("bounced").label("is_bounced"),
        happened("opened").label("is_opened"),
        happened("clicked").label("is_clicked"),
        func.max(m.occurred_at)
        .filter(is_past, m.kind.in_(("opened", "clicked", "replied")))
        .label("engaged_at"),
        _next(m.occurred_at, as_of).label("next_change_at"),
    )
    each = whom.read(events, message, m.source_id, func.coalesce(m.message_id, m.key)).subquery(
        "each"
    )
    e = each.c
    arrived = or_(e.is_delivered, e.is_opened, e.is_clicked)
    by_source = (
        select(
            func.count().filter(e.is_known).label("sent"),
            case(
                (
                    or_(func.bool_or(e.is_delivered), tells_delivery(e.source_id)),
                    func.count().filter(arrived),
                ),
                else_=func.count().filter(e.is_known, or_(~e.is_bounced, arrived)),
            ).label("delivered"),
            func.count().filter(e.is_opened).label("opened"),
            func.count().filter(e.is_clicked).label("clicked"),
            func.max(e.engaged_at).label("engaged_at"),
            func.min(e.next_change_at).label("next_change_at"),
            *whom.told_in(each),
        )
        .group_by(*whom.told_in(each), e.source_id)
        .subquery("by_source")
    )
    s = by_source.c
    return select(
        func.coalesce(func.sum(s.sent), 0).label("messages_sent"),
        func.coalesce(func.sum(s.delivered), 0).label("messages_delivered"),
        func.coalesce(func.sum(s.opened), 0).label("messages_opened"),
        func.coalesce(func.sum(s.clicked), 0).label("messages_clicked"),
        func.max(s.engaged_at).label("engaged_at"),
        func.min(s.next_change_at).label("next_change_at"),
        *whom.told_in(by_source),
    ).group_by(*whom.told_in(by_source))


def _interactions(whom: _Whom, _: Workspace, as_of: Clock) -> Select[Any]:
    i = interaction.c
    is_past = i.occurred_at <= as_of
    values: Facts = {
        "social_interactions": func.count().filter(is_past, i.network.is_not(None)),
        "engaged_at": func.max(i.occurred_at).filter(is_past),
        "next_change_at": _next(i.occurred_at, as_of),
    }
    return _aggregate(whom, interaction, values)


def _tickets(whom: _Whom, _: Workspace, as_of: Clock) -> Select[Any]:
    t = ticket.c
    is_past = t.opened_at <= as_of
    status = func.lower(func.coalesce(t.status, ""))
    # Who opens a case again seldom takes back when it was resolved.
    is_unsettled = case(
        (status.in_(SETTLED), False),
        (status.in_(UNSETTLED), True),
        else_=t.resolved_at.is_(None),
    )
    is_open = and_(is_past, or_(t.resolved_at > as_of, is_unsettled))
    is_answered, is_resolved = t.first_response_at <= as_of, t.resolved_at <= as_of
    values: Facts = {
        "ticket_count": func.count().filter(is_past),
        "open_tickets": func.count().filter(is_open),
        "median_first_response_hours": _median_hours(t.opened_at, t.first_response_at, is_answered),
        "median_resolution_hours": _median_hours(
            t.opened_at, t.resolved_at, and_(is_resolved, ~is_open)
        ),
        "next_change_at": func.least(
            _next(t.opened_at, as_of),
            _next(t.first_response_at, as_of),
            _next(t.resolved_at, as_of),
        ),
    }
    return _aggregate(whom, ticket, values)


def _median_hours(
    start: ColumnElement[Any], end: ColumnElement[Any], counts: ColumnElement[bool]
) -> ColumnElement[Any]:
    """Of the spans that count; one that ends before it begins is an error of the source's clock."""
    hours = func.extract("epoch", end - start) / SECONDS_PER_HOUR
    return func.percentile_cont(0.5).within_group(hours).filter(counts, end >= start)


def _feedback(whom: _Whom, _: Workspace, as_of: Clock) -> Select[Any]:
    f = feedback.c
    is_past = f.given_at <= as_of

    def mean(kind: str) -> ColumnElement[Any]:
        return func.avg(on_own_scale(feedback, kind)).filter(is_past, f.kind == kind)

    answer = on_own_scale(feedback, "nps")
    latest = func.array_agg(
        aggregate_order_by(answer, f.given_at.desc(), f.source_id, f.key.desc())
    ).filter(is_past, f.kind == "nps")
    values: Facts = {
        "nps": latest[1],
        "csat": mean("csat"),
        "ces": mean("ces"),
        "review_count": func.count().filter(is_past, f.kind == "review"),
        "average_rating": mean("review"),
        "next_change_at": _next(f.given_at, as_of),
    }
    return _aggregate(whom, feedback, values)


def on_own_scale(answers: FromClause, kind: str) -> ColumnElement[Any]:
    """The score of `feedback` on the scale that its kind has of its own, whatever it was given on.

    The answer to the NPS question is a whole number from 0 to 10, rounded once, here.
    """
    a, own = answers.c, FEEDBACK_SCALES[kind]
    score = a.score * own / func.coalesce(func.nullif(a.scale, 0), own)
    return func.round(score, type_=Numeric) if kind == "nps" else score


def ended_at(over: Sequence[str] = OVER) -> ColumnElement[Any]:
    """When a subscription ended, or will; null while no end is known.

    One of a status that is `over` and that tells no end ended when it was cancelled, else when it
    was changed last; at the latest when we learned that it does not go on.
    """
    s = subscription.c
    told = func.coalesce(s.ended_at, s.cancelled_at, s.updated_at, s.started_at)
    return case((s.status.in_(over), func.least(told, s.learned_at)), else_=s.ended_at)


def is_running(as_of: Clock) -> ColumnElement[bool]:
    """Whether a subscription went on then: trialing, active or past due, begun and not ended.

    One that is over by now went on until it ended.
    """
    s, end = subscription.c, ended_at()
    return and_(
        s.started_at <= as_of,
        s.status.in_((*RUNNING, *OVER)),
        or_(end.is_(None), end > as_of),
    )


def has_ended(as_of: Clock) -> ColumnElement[bool]:
    """Whether a subscription was over then."""
    return func.coalesce(ended_at() <= as_of, literal(value=False))


def _subscriptions(whom: _Whom, workspace: Workspace, as_of: Clock) -> Select[Any]:
    s = subscription.c
    goes_on = is_running(as_of)
    values: Facts = {
        "active_subscriptions": func.count().filter(goes_on),
        "monthly_value": a_month_of(
            func.sum(a_year_of(subscription, workspace)).filter(goes_on, s.status.in_(PAYING)),
            workspace,
        ),
        "subscribed_at": func.min(s.started_at).filter(s.started_at <= as_of),
        "renews_at": func.min(s.renews_at).filter(goes_on, s.renews_at > as_of),
        "cancelled_at": func.max(s.cancelled_at).filter(s.cancelled_at <= as_of),
        "next_change_at": func.least(
            _next(s.started_at, as_of),
            _next(s.ended_at, as_of),
            _next(s.renews_at, as_of),
            _next(s.cancelled_at, as_of),
        ),
    }
    return _aggregate(whom, subscription, values)


def a_year_of(contract: FromClause, workspace: Workspace) -> ColumnElement[Any]:
    """What a `subscription` brings a year while it is paid for, in the workspace's currency.

    At the rate of the day it began; null without one.
    """
    s = contract.c
    times = case(
        *(
            (s.interval == interval, literal(times, Numeric))
            for interval, times in TIMES_A_YEAR.items()
        ),
        else_=literal(MONTHS_PER_YEAR, Numeric),
    )
    rate = exchange_rate_on(s.currency, day_in(s.started_at, workspace), workspace)
    return s.amount * times * rate


def a_month_of(years: ColumnElement[Any], workspace: Workspace) -> ColumnElement[Any]:
    """What a customer's subscriptions bring a month, of the sum of what each brings a year.

    Divided once, of the sum: a third part of a twelfth has no end. Zero of nothing.
    """
    # Nothing is 0, as in the row of who is new, and not 0.00.
    return func.coalesce(to_smallest_unit(years / MONTHS_PER_YEAR, workspace.money_digits), 0)
