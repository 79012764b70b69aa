"""The loyalty programme as a whole: who takes part, and what becomes of the points."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, and_, cast, func, select, true

from cdp.business.moment import Moment, facts_at
from cdp.business.shares import share
from cdp.tables import (
    loyalty_entry,
    points_entry,
    points_lot,
    source_profile,
)

CARRIED: Final = "entry"  # the origin of lots that a source's own programme gave

GIVEN: Final = ("earn", "adjust")
"""The kinds of entry by which a source's own programme gives points, and takes them back."""

SAID: Final = ("issued", "carried", "redeemed", "adjusted", "settled", "held")
"""The accounts that records and acts speak of; what is left of a lot follows from them."""


def programme_query(moment: Moment) -> Select[Any]:
    """One row: buyers who take part, points that were given, spent, and lost unspent.

    Who ever had points takes part. Breakage is what expired unspent of what was given, redemption
    what was spent of it; both null where nothing was given. Points of a source's own programme
    count as the source tells their entries; no lot counts both there and here.
    """
    f = facts_at(moment).subquery("facts").c
    taking_part = _members(moment).cte()
    people = select(
        func.count().filter(f.order_count > 0).label("buyers"),
        func.count()
        .filter(f.order_count > 0, f.id.in_(select(taking_part.c.customer_id)))
        .label("participants"),
    ).subquery("people")
    members = select(func.count()).select_from(taking_part).scalar_subquery()
    here = _own_points(moment).subquery("here")
    there = _carried_points(moment).subquery("there")
    issued = here.c.issued + there.c.issued
    redeemed = here.c.redeemed + there.c.redeemed
    expired = here.c.expired + there.c.expired
    return select(
        members.label("members"),
        people.c.participants,
        share(people.c.participants, people.c.buyers).label("participation_rate"),
        issued.label("points_issued"),
        redeemed.label("points_redeemed"),
        expired.label("points_expired"),
        share(redeemed, issued).label("redemption_rate"),
        share(expired, issued).label("breakage_rate"),
    ).select_from(people.join(here, true()).join(there, true()))


def _members(moment: Moment) -> Select[Any]:
    """Customers who have had points."""
    return (
        select(source_profile.c.customer_id)
        .join(points_lot, points_lot.c.source_profile_id == source_profile.c.id)
        .where(points_lot.c.earned_at <= moment.at)
        .distinct()
    )


def _own_points(moment: Moment) -> Select[Any]:
    """One row: the points that this ledger gave, and all that were spent here.

    What is left of a lot follows from its entries up to the moment (`cdp.loyalty.accounts`), and
    is lost from the moment of its expiry on, whenever that was posted.
    """
    lot, entry = points_lot.c, points_entry.c
    each = (
        select(
            lot.expires_at,
            (lot.origin == CARRIED).label("is_carried"),
            *(func.sum(entry[name]).label(name) for name in SAID),
        )
        .select_from(points_lot.join(points_entry, entry.lot_id == lot.id))
        .where(entry.occurred_at <= moment.at)
        .group_by(lot.id)
        .subquery("each")
    )
    e = each.c
    left = -sum((e[name] for name in SAID[1:]), start=e.issued)
    is_lost = and_(~e.is_carried, e.expires_at <= moment.at)
    return select(
        _sum(-e.issued, ~e.is_carried).label("issued"),
        _sum(e.redeemed).label("redeemed"),
        _sum(func.greatest(left, 0), is_lost).label("expired"),
    )


def _carried_points(moment: Moment) -> Select[Any]:
    """One row: what sources' own programmes gave, saw spent, and let expire.

    Entries of earning and adjustments of either sign are what it gave: what was taken back was
    never given. A redemption that was taken back was none. An expiry that the source does not
    tell as an entry follows from the date on its points.
    """
    entry, lot = loyalty_entry.c, points_lot.c
    undated = (
        select(_sum(lot.expired))
        .where(lot.origin == CARRIED, lot.expires_at <= moment.at)
        .scalar_subquery()
    )
    return select(
        _sum(entry.points, entry.kind.in_(GIVEN)).label("issued"),
        _sum(-entry.points, entry.kind == "redeem").label("redeemed"),
        (_sum(-entry.points, entry.kind == "expire") + undated).label("expired"),
    ).where(entry.occurred_at <= moment.at, entry.deleted_at.is_(None))


def _sum(points: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[Any]:
    """Of so many rows; 0 of none."""
    return cast(func.coalesce(func.sum(points).filter(and_(true(), *where)), 0), BigInteger)
