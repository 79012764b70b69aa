"""Facts of what a customer does beside buying: messages, interactions, tickets, feedback, plans.

Each is folded from the records of the customer's source profiles, up to a moment. Every part is an
aggregate of its own, joined laterally to the given customers: it walks from customer to profiles to
records by index, and there is nothing for the planner to get wrong.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from sqlalchemy import (
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
"""Statuses of a ticket that needs nobody any more, whether or not it tells when it was resolved."""

RUNNING: Final = ("trialing", "active", "past_due")
PAYING: Final = ("active", "past_due")
OVER: Final = ("cancelled", "expired")
"""Statuses of a subscription that goes on, of one that is paid for, and of one that is over."""

MONTH_DAYS: Final = 30.4375  # a twelfth of a year of 365.25 days
MONTHS_PER: Final = {
    "day": Decimal(MONTH_DAYS),
    "week": Decimal("4.348125"),
    "month": Decimal(1),
    "year": Decimal(1) / 12,
}
SECONDS_PER_HOUR: Final = 3_600


def customer_activity(customers: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    """One row per given customer (`id`): every fact of ACTIVITY_COLUMNS, up to `as_of`."""
    parts: list[FromClause] = []
    values: dict[str, ColumnElement[Any]] = {}
    changes: list[ColumnElement[Any]] = []
    for number, select_part in enumerate(
        (_messages, _interactions, _tickets, _feedback, _subscriptions)
    ):
        part: FromClause = select_part(customers, workspace, as_of).lateral(f"part_{number}")
        parts.append(part)
        values.update({each.name: each for each in part.c if each.name not in _SHARED})
        changes.append(part.c.next_change_at)
    engaged = [part.c.engaged_at for part in parts if "engaged_at" in part.c]
    values["last_engaged_at"] = func.greatest(*engaged)
    values["activity_change_at"] = func.least(*changes)
    joined: FromClause = customers
    for part in parts:
        joined = joined.join(part, literal(value=True))
    return select(
        customers.c.id,
        *(cast(values[fact.name], fact.type).label(fact.name) for fact in ACTIVITY_COLUMNS),
    ).select_from(joined)


_SHARED: Final = ("engaged_at", "next_change_at")
"""What several parts tell of, to be put together."""


def _theirs(table: Table) -> FromClause:
    """The records of source profiles."""
    return source_profile.join(table, table.c.source_profile_id == source_profile.c.id)


def _of(customers: FromClause, table: Table) -> ColumnElement[bool]:
    """Of a customer's profiles; deleted records do not count."""
    return and_(source_profile.c.customer_id == customers.c.id, table.c.deleted_at.is_(None))


def _aggregate(customers: FromClause, table: Table, values: Facts) -> Select[Any]:
    """One row, whatever there is."""
    return (
        select(*(value.label(name) for name, value in values.items()))
        .select_from(_theirs(table))
        .where(_of(customers, table))
        .correlate(customers)
    )


def _next(moment: ColumnElement[Any], as_of: Clock) -> ColumnElement[Any]:
    return func.min(moment).filter(moment > as_of)


def _messages(customers: FromClause, _: Workspace, as_of: Clock) -> Select[Any]:
    """Events by message, messages by source: a source that tells no delivery is taken at its word.

    A message of which delivery, an opening or a click is told has arrived, whatever else is; from a
    source that has told no delivery of anybody's, one that did not bounce too. An event without a
    message's id is a message by itself.
    """
    m = message.c
    is_past = m.occurred_at <= as_of

    def happened(*kinds: str) -> ColumnElement[bool]:
        return func.coalesce(func.bool_or(m.kind.in_(kinds)).filter(is_past), literal(value=False))

    each = (
        select(
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
        .select_from(_theirs(message))
        .where(_of(customers, message))
        .group_by(m.source_id, func.coalesce(m.message_id, m.key))
        .correlate(customers)
        .subquery("each")
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
        )
        .group_by(e.source_id)
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
    )


def _interactions(customers: FromClause, _: Workspace, as_of: Clock) -> Select[Any]:
    i = interaction.c
    is_past = i.occurred_at <= as_of
    values: Facts = {
        "social_interactions": func.count().filter(is_past, i.network.is_not(None)),
        "engaged_at": func.max(i.occurred_at).filter(is_past),
        "next_change_at": _next(i.occurred_at, as_of),
    }
    return _aggregate(customers, interaction, values)


def _tickets(customers: FromClause, _: Workspace, as_of: Clock) -> Select[Any]:
    t = ticket.c
    is_past = t.opened_at <= as_of
    is_answered, is_resolved = t.first_response_at <= as_of, t.resolved_at <= as_of
    is_open = and_(
        is_past,
        or_(
            t.resolved_at > as_of,
            and_(t.resolved_at.is_(None), func.lower(func.coalesce(t.status, "")).notin_(SETTLED)),
        ),
    )
    values: Facts = {
        "ticket_count": func.count().filter(is_past),
        "open_tickets": func.count().filter(is_open),
        "median_first_response_hours": _median_hours(t.opened_at, t.first_response_at).filter(
            is_answered
        ),
        "median_resolution_hours": _median_hours(t.opened_at, t.resolved_at).filter(is_resolved),
        "next_change_at": func.least(
            _next(t.opened_at, as_of),
            _next(t.first_response_at, as_of),
            _next(t.resolved_at, as_of),
        ),
    }
    return _aggregate(customers, ticket, values)


def _median_hours(start: ColumnElement[Any], end: ColumnElement[Any]) -> Any:  # noqa: ANN401  # an aggregate to filter
    hours = func.extract("epoch", end - start) / SECONDS_PER_HOUR
    return func.percentile_cont(0.5).within_group(hours)


def _feedback(customers: FromClause, _: Workspace, as_of: Clock) -> Select[Any]:
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
    return _aggregate(customers, feedback, values)


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


def _subscriptions(customers: FromClause, workspace: Workspace, as_of: Clock) -> Select[Any]:
    s = subscription.c
    goes_on = is_running(as_of)
    values: Facts = {
        "active_subscriptions": func.count().filter(goes_on),
        # Nothing is 0, as in the row of who is new, and not 0.00.
        "monthly_value": func.coalesce(
            func.round(
                func.sum(a_month_of(subscription, workspace)).filter(goes_on, s.status.in_(PAYING)),
                2,
            ),
            0,
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
    return _aggregate(customers, subscription, values)


def a_month_of(contract: FromClause, workspace: Workspace) -> ColumnElement[Any]:
    """What a `subscription` brings a month while it is paid for, in the workspace's currency.

    At the rate of the day it began; null without one.
    """
    s = contract.c
    per_month = case(
        *(
            (s.interval == interval, literal(months, Numeric))
            for interval, months in MONTHS_PER.items()
        ),
        else_=literal(1, Numeric),
    )
    return (
        s.amount
        * per_month
        * exchange_rate_on(s.currency, day_in(s.started_at, workspace), workspace)
    )
