"""What each campaign brought: orders credited to the last message before them, against its cost."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    Select,
    and_,
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
from cdp.order_days import day_in, exchange_rate_on, priced_orders
from cdp.tables import campaign, message, purchase_day, source_profile

ATTRIBUTION_DAYS: Final = 7  # an order is credited to a message of the week before it
MAX_CAMPAIGNS: Final = 250  # of one answer

TOUCHES: Final = ("sent", "delivered", "opened", "clicked", "replied")
"""The events of a message that count as a touch, unless the message bounced."""


def campaigns_query(moment: Moment, count: int) -> Select[Any]:
    """One row per campaign, the latest started first, at most `count`; none dated ahead.

    Last touch: a qualifying order is credited, whole and net of refunds, to the campaign of the
    latest touch of its customer within ATTRIBUTION_DAYS before it, of whatever campaign, so that
    none is credited twice. `roi` is what was earned above the cost, per cost; null without a cost,
    or without its rate on the day when the campaign began.
    """
    picked = _picked(moment, count).cte()
    reach = _reach(picked, moment).subquery("reach")
    credit = _credit(picked, moment).subquery("credit")
    cost = picked.c.cost * exchange_rate_on(
        picked.c.currency, day_in(picked.c.started_at, moment.workspace), moment.workspace
    )
    revenue = func.coalesce(credit.c.revenue, 0)

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
            revenue.label("revenue"),
            cast(cost, Numeric).label("cost"),
            share(revenue - cost, cost).label("roi"),
        )
        .select_from(picked.outerjoin(reach, same(reach)).outerjoin(credit, same(credit)))
        .order_by(picked.c.started_at.desc().nulls_last(), picked.c.source_id, picked.c.key)
    )


def _picked(moment: Moment, count: int) -> Select[Any]:
    c = campaign.c
    return (
        select(c.source_id, c.key, c.name, c.channel, c.started_at, c.cost, c.currency)
        .where(c.deleted_at.is_(None), or_(c.started_at.is_(None), c.started_at <= moment.at))
        .order_by(c.started_at.desc().nulls_last(), c.source_id, c.key)
        .limit(count)
    )


def _events(moment: Moment) -> tuple[FromClause, FromClause, ColumnElement[bool]]:
    """Messages, the profiles that they went to, and what holds of those that count by now."""
    m, profile = message.alias(), source_profile.alias()
    counts = and_(
        m.c.campaign_id.is_not(None), m.c.deleted_at.is_(None), m.c.occurred_at <= moment.at
    )
    return m, profile, counts


def _sent(m: FromClause, profile: FromClause) -> FromClause:
    """The messages with the profiles that they went to."""
    return m.join(profile, profile.c.id == m.c.source_profile_id)


def _of(picked: CTE, m: FromClause) -> ColumnElement[bool]:
    """The message is of one of the campaigns."""
    return and_(m.c.source_id == picked.c.source_id, m.c.campaign_id == picked.c.key)


def _is_touch(m: FromClause, moment: Moment) -> ColumnElement[bool]:
    """The event reached the person: one of TOUCHES, of a message that did not bounce."""
    bounce = message.alias()
    bounced = exists().where(
        bounce.c.source_profile_id == m.c.source_profile_id,
        bounce.c.source_id == m.c.source_id,
        bounce.c.message_id == m.c.message_id,
        bounce.c.kind == "bounced",
        bounce.c.occurred_at <= moment.at,
        bounce.c.deleted_at.is_(None),
    )
    return and_(m.c.kind.in_(TOUCHES), ~bounced)


def _reach(picked: CTE, moment: Moment) -> Select[Any]:
    """Of each campaign: its messages (an event without a message's id is one), whom it reached."""
    m, profile, counts = _events(moment)
    each = (
        select(
            m.c.source_id,
            m.c.campaign_id,
            profile.c.customer_id,
            func.bool_or(_is_touch(m, moment)).label("arrived"),
        )
        .select_from(_sent(m, profile).join(picked, _of(picked, m)))
        .where(counts)
        .group_by(
            m.c.source_id,
            m.c.campaign_id,
            profile.c.customer_id,
            func.coalesce(m.c.message_id, m.c.key),
        )
        .subquery("each")
    )
    e = each.c
    return select(
        e.source_id,
        e.campaign_id,
        func.count().label("messages"),
        func.count(e.customer_id.distinct()).filter(e.arrived).label("customers"),
    ).group_by(e.source_id, e.campaign_id)


def _credit(picked: CTE, moment: Moment) -> Select[Any]:
    """Of each campaign with credited orders: how many, and what is left of them in money."""
    orders = priced_orders(
        _days_after(picked, moment).subquery("asked"), moment.workspace, moment.at
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
        .where(~o.is_future, left > 0)
        .group_by(touch.c.source_id, touch.c.campaign_id)
    )


def _days_after(picked: CTE, moment: Moment) -> Select[Any]:
    """The days of purchase that touches of the campaigns may have brought."""
    m, profile, counts = _events(moment)
    buyer, day = source_profile.alias(), purchase_day.c
    first = day_in(m.c.occurred_at, moment.workspace)
    theirs = (
        _sent(m, profile)
        .join(picked, _of(picked, m))
        .join(buyer, buyer.c.customer_id == profile.c.customer_id)
        .join(purchase_day, day.source_profile_id == buyer.c.id)
    )
    return (
        select(day.source_profile_id, day.on)
        .select_from(theirs)
        .where(
            counts,
            m.c.kind.in_(TOUCHES),
            day.on >= first,
            day.on <= cast(first + ATTRIBUTION_DAYS + 1, Date),
        )
        .distinct()
    )


def _last_touch(order: FromClause, owner: FromClause, moment: Moment) -> Select[Any]:
    """The touch to which an order is credited; of two at one moment the later key."""
    m, profile, counts = _events(moment)
    window = literal(timedelta(days=ATTRIBUTION_DAYS))
    return (
        select(m.c.source_id, m.c.campaign_id)
        .select_from(_sent(m, profile))
        .where(
            counts,
            profile.c.customer_id == owner.c.customer_id,
            m.c.occurred_at <= order.c.placed_at,
            m.c.occurred_at > order.c.placed_at - window,
            _is_touch(m, moment),
        )
        .order_by(m.c.occurred_at.desc(), m.c.source_id, m.c.key.desc())
        .limit(1)
        .correlate(order, owner)
    )
