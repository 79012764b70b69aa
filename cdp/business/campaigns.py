"""What each campaign brought: orders credited to the last message before them, against its cost."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    FromClause,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from cdp.business.moment import Moment
from cdp.business.shares import share
from cdp.money import to_smallest_unit
from cdp.order_days import day_in, exchange_rate_on, priced_orders
from cdp.tables import campaign, campaign_cost, message, purchase_day, source_profile

ATTRIBUTION_DAYS: Final = 7  # an order is credited to a message of the week before it
MAX_CAMPAIGNS: Final = 250  # of one answer

TOUCHES: Final = ("sent", "delivered", "opened", "clicked", "replied")
"""The events that touch a person, unless their message bounced."""


def campaigns_query(moment: Moment, count: int) -> Select[Any]:
    """One row per campaign, the latest started first, at most `count`; none dated ahead.

    Last touch: a qualifying order is credited, whole and net of refunds, to the campaign of the
    message that touched its customer last within ATTRIBUTION_DAYS before it, so that none is
    credited twice; to none where that message was of no campaign. What one event of a message
    says of its campaign is true of them all. The cost is what the source tells, else what a person
    has stated. `roi` is what was earned above the cost, per cost; null without a cost, or without
    its rate on the day when the campaign began.
    """
    picked = _picked(moment, count).cte()
    messages = _messages_of(picked, moment).cte()
    reach = _reach(messages).subquery("reach")
    credit = _credit(messages, moment).subquery("credit")
    cost = picked.c.cost * exchange_rate_on(
        picked.c.currency, day_in(picked.c.started_at, moment.workspace), moment.workspace
    )
    revenue = func.coalesce(credit.c.revenue, 0)
    digits = moment.workspace.money_digits

    def same(other: FromClause) -> ColumnElement[bool]:
        return and_(other.c.source_id == picked.c.source_id, other.c.campaign_id == picked.c.key)

    return (
        select(
            picked.c.source_id,
            picked.c.key,
            picked.c.name,
            picked.c.channel,
            picked.c.started_at,
            func.coalesce(reach.c.messages, 0).label("messages"),
            func.coalesce(reach.c.customers, 0).label("customers"),
            func.coalesce(credit.c.orders, 0).label("orders"),
            to_smallest_unit(revenue, digits).label("revenue"),
            to_smallest_unit(cost, digits).label("cost"),
            share(revenue - cost, cost).label("roi"),
        )
        .select_from(picked.outerjoin(reach, same(reach)).outerjoin(credit, same(credit)))
        .order_by(picked.c.started_at.desc().nulls_last(), picked.c.source_id, picked.c.key)
    )


def _picked(moment: Moment, count: int) -> Select[Any]:
    c, stated = campaign.c, campaign_cost.c
    is_told = c.cost.is_not(None)
    return (
        select(
            c.source_id,
            c.key,
            c.name,
            c.channel,
            c.started_at,
            func.coalesce(c.cost, stated.amount).label("cost"),
            case((is_told, c.currency), else_=stated.currency).label("currency"),
        )
        .select_from(
            campaign.outerjoin(
                campaign_cost, and_(stated.source_id == c.source_id, stated.key == c.key)
            )
        )
        .where(c.deleted_at.is_(None), or_(c.started_at.is_(None), c.started_at <= moment.at))
        .order_by(c.started_at.desc().nulls_last(), c.source_id, c.key)
        .limit(count)
    )


def _counts(m: FromClause, moment: Moment) -> ColumnElement[bool]:
    """The event is known, and had happened by the moment."""
    return and_(m.c.deleted_at.is_(None), m.c.occurred_at <= moment.at)


def _message_of(m: FromClause) -> ColumnElement[str]:
    """What the events of one message share, within a source and profile."""
    return func.coalesce(m.c.message_id, m.c.key)


def _has_touched(
    is_touch: ColumnElement[bool], has_bounced: ColumnElement[bool]
) -> ColumnElement[bool]:
    """A touch of which no bounce is known: one undoes all touches of its message.

    Of a message both are aggregates; of a single touch, the bounce is looked up.
    """
    return and_(is_touch, ~has_bounced)


def _is_touch(m: FromClause) -> ColumnElement[bool]:
    return m.c.kind.in_(TOUCHES)


def _is_bounce(m: FromClause) -> ColumnElement[bool]:
    return m.c.kind == "bounced"


def _messages_of(picked: CTE, moment: Moment) -> Select[Any]:
    """A row per message of the campaigns and profile: its campaign, whether it reached the person.

    `first_at` and `last_at` are of its touches; null without one.
    """
    m = message.alias()
    is_touch = _is_touch(m)
    arrived = _has_touched(func.bool_or(is_touch), func.bool_or(_is_bounce(m)))
    told = (
        select(
            m.c.source_id,
            m.c.source_profile_id,
            _message_of(m).label("message"),
            func.min(m.c.campaign_id).label("campaign_id"),
            arrived.label("arrived"),
            func.min(m.c.occurred_at).filter(is_touch).label("first_at"),
            func.max(m.c.occurred_at).filter(is_touch).label("last_at"),
        )
        .where(_counts(m, moment), m.c.source_profile_id.is_not(None))
        .group_by(m.c.source_id, m.c.source_profile_id, _message_of(m))
        .subquery("told")
    )
    t = told.c
    is_picked = and_(t.source_id == picked.c.source_id, t.campaign_id == picked.c.key)
    return select(*t).select_from(told.join(picked, is_picked))


def _is_of_message(other: FromClause, m: FromClause, moment: Moment) -> ColumnElement[bool]:
    """Another event of the event's message, which counts."""
    return and_(
        _counts(other, moment),
        other.c.source_profile_id == m.c.source_profile_id,
        other.c.source_id == m.c.source_id,
        _message_of(other) == _message_of(m),
    )


def _campaign_of(m: FromClause, moment: Moment) -> ColumnElement[str]:
    """The campaign of the event's message, as `_messages_of` finds it; null: none names one."""
    other = message.alias()
    named = select(func.min(other.c.campaign_id)).where(_is_of_message(other, m, moment))
    return named.scalar_subquery()


def _reach(messages: CTE) -> Select[Any]:
    """Of each campaign: its messages (an event without a message's id is one), whom it reached."""
    m, profile = messages.c, source_profile.alias()
    each = (
        select(
            m.source_id,
            m.campaign_id,
            profile.c.customer_id,
            func.bool_or(m.arrived).label("arrived"),
        )
        .select_from(messages.join(profile, profile.c.id == m.source_profile_id))
        .group_by(m.source_id, m.campaign_id, profile.c.customer_id, m.message)
        .subquery("each")
    )
    e = each.c
    return select(
        e.source_id,
        e.campaign_id,
        func.count().label("messages"),
        func.count(e.customer_id.distinct()).filter(e.arrived).label("customers"),
    ).group_by(e.source_id, e.campaign_id)


def _credit(messages: CTE, moment: Moment) -> Select[Any]:
    """Of each campaign with credited orders: how many, and what is left of them in money."""
    orders = priced_orders(
        _days_after(messages, moment).subquery("asked"), moment.workspace, moment.at
    )
    order = orders.subquery("order")
    o, owner = order.c, source_profile.alias()
    touch = _last_touch(order, owner, moment).lateral("touch")
    left = o.total - o.given_back
    return (
        select(
            touch.c.source_id,
            touch.c.campaign_id,
            func.count().label("orders"),
            func.coalesce(func.sum(left * o.rate), 0).label("revenue"),
        )
        .select_from(order.join(owner, owner.c.id == o.source_profile_id).join(touch, true()))
        .where(~o.is_future, left > 0, touch.c.campaign_id.is_not(None))
        .group_by(touch.c.source_id, touch.c.campaign_id)
    )


def _days_after(messages: CTE, moment: Moment) -> Select[Any]:
    """The days of purchase that touches of the campaigns may have brought."""
    m, profile = messages.c, source_profile.alias()
    buyer, day = source_profile.alias(), purchase_day.c
    theirs = (
        messages.join(profile, profile.c.id == m.source_profile_id)
        .join(buyer, buyer.c.customer_id == profile.c.customer_id)
        .join(purchase_day, day.source_profile_id == buyer.c.id)
    )
    last = day_in(m.last_at, moment.workspace)
    return (
        select(day.source_profile_id, day.on)
        .select_from(theirs)
        .where(
            m.arrived,
            day.on >= day_in(m.first_at, moment.workspace),
            day.on <= cast(last + ATTRIBUTION_DAYS + 1, Date),
        )
        .distinct()
    )


def _last_touch(order: FromClause, owner: FromClause, moment: Moment) -> Select[Any]:
    """The touch that decides, with its message's campaign; of two at one moment the later key."""
    m, bounce, profile = message.alias(), message.alias(), source_profile.alias()
    has_bounced = exists().where(_is_of_message(bounce, m, moment), _is_bounce(bounce))
    window = literal(timedelta(days=ATTRIBUTION_DAYS))
    last = (
        select(m.c.source_id, m.c.source_profile_id, m.c.message_id, m.c.key)
        .select_from(m.join(profile, profile.c.id == m.c.source_profile_id))
        .where(
            _counts(m, moment),
            profile.c.customer_id == owner.c.customer_id,
            m.c.occurred_at <= order.c.placed_at,
            m.c.occurred_at > order.c.placed_at - window,
            _has_touched(_is_touch(m), has_bounced),
        )
        .order_by(m.c.occurred_at.desc(), m.c.source_id, m.c.key.desc())
        .limit(1)
        .correlate(order, owner)
        .subquery("last")
    )
    return select(last.c.source_id, _campaign_of(last, moment).label("campaign_id"))
