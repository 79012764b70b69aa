"""A customer's points as the ledger has them, the tiers that were held, and badges."""

from typing import Any

import strawberry
from sqlalchemy import ColumnElement, Table, func, select

from cdp import tables
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    One,
    Row,
    Scene,
    Slice,
    column,
    planned,
    row_of,
)
from schema.ids import Instant, Whole, cursor, global_id
from schema.scalars import BigInt, Date, DateTime
from schema.types.connection import connection
from schema.types.order import Order
from schema.types.records import beyond, is_alive, profiles_of, upper

LoyaltyEntryKind: Declared = enumeration(
    "LoyaltyEntryKind",
    "Why points moved.",
    {
        "EARN": "An order, a source's own programme or a person gave points.",
        "AWARD": "A birthday, a challenge or a referral gave points.",
        "TAKE_BACK": "A refund or a later version of a record changed what was given.",
        "MATURE": "The return window is over: pending points can be spent.",
        "EXPIRE": "Their last day has passed.",
        "REDEEM": "Points were spent.",
        "ADJUST": "Points were added or taken by hand.",
        "CARRY": "A source's own programme took points, or gave back what it had taken.",
        "HOLD": "Points were set aside for a purchase under way.",
        "CAPTURE": "What was set aside was spent.",
        "RELEASE": "What was set aside was given back.",
        "REVERSE": "An act was taken back.",
        "REPAY": "What was owed for points taken back was paid by others.",
    },
)


def _of_parent(table: Table, key: str, name: str) -> Leaf:
    """A column of the entry's lot or transaction, masked as theirs are."""

    def value(row: Row) -> ColumnElement[Any]:
        parent = row_of(table.alias(), row.scene)
        query = select(parent[name]).where(parent.table.c.id == row.table.c[key])
        return query.correlate_except(parent.table).scalar_subquery()

    return Leaf(value)


def _sum(*names: str) -> Leaf:
    def value(row: Row) -> ColumnElement[Any]:
        first, *others = (row[name] for name in names)
        return sum(others, start=first)

    return Leaf(value)


def _order(entry: Row) -> Branch:
    """The order that gave the lot its points."""
    order, lot = tables.sales_order.alias(), tables.points_lot.alias()
    query = (
        select()
        .select_from(order, lot)
        .where(
            lot.c.id == entry.table.c.lot_id,
            lot.c.origin == "order",
            order.c.source_id == lot.c.source_id,
            order.c.key == lot.c.key,
            is_alive(order, "placed_at", entry.scene.as_of),
        )
    )
    return Branch("Order", row_of(order, entry.scene), query)


@strawberry.type(
    description="What a transaction of the ledger moved in one lot of points. Never changed: what"
    " was wrong is put right by another entry."
)
class LoyaltyEntry:
    """A row of points_entry."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("LoyaltyEntry", row.table.c.id)),
        "Unique among entries; good as a key of a list.",
    )
    kind: LoyaltyEntryKind = planned(upper("kind"), "Why points moved.")
    points: BigInt = planned(_sum("available", "owed"), "What it added to what can be spent.")
    pending_points: BigInt = column("pending", "What it added to the pending points.")
    occurred_at: DateTime = column("occurred_at", "When it happened.")
    recorded_at: DateTime = planned(
        _of_parent(tables.points_transaction, "transaction_id", "recorded_at"),
        "When it was posted here.",
    )
    expires_at: DateTime | None = planned(
        _of_parent(tables.points_lot, "lot_id", "expires_at"),
        "When the points of the lot expire; null: never.",
    )
    reward: str | None = planned(
        _of_parent(tables.points_transaction, "transaction_id", "reward"),
        "The reward that was taken; null where none was named.",
    )
    reason: str | None = planned(
        _of_parent(tables.points_transaction, "transaction_id", "reason"),
        "What a person said; empty where nobody did. Personal: null for a role that is masked.",
    )
    order: Order | None = planned(One(_order), "The order that gave the points; null for others.")


LoyaltyEntryConnection: Declared = connection(
    "LoyaltyEntry", LoyaltyEntry, "A page of entries of the points ledger, newest first."
)

_TAG = "loyaltyEntries"
_KEYS = (Instant, Whole)


def customer_entries(customer: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    """The entries of a customer's lots, newest first."""
    assert customer is not None
    entry = tables.points_entry.alias()
    whole = (
        select()
        .select_from(entry)
        .where(
            entry.c.source_profile_id.in_(profiles_of(customer)),
            entry.c.occurred_at <= scene.as_of,
        )
    )
    keys = (entry.c.occurred_at, entry.c.id)
    rest, is_inner = beyond(arguments, _TAG, _KEYS, keys)
    page = whole.where(*rest).order_by(*(key.desc() for key in keys))
    return Slice(
        branches=[Branch("LoyaltyEntry", row_of(entry, scene), page)],
        size=arguments.page_size(),
        order=lambda _: keys,
        cursor=lambda _: cursor(_TAG, *keys),
        total=lambda: whole.add_columns(func.count()).correlate_except(entry).scalar_subquery(),
        is_inner=is_inner,
    )


@strawberry.type(description="A tier, and the days on which it was held.")
class TierPeriod:
    """A row of tier_period."""

    tier: str = column("tier", "As the programme in force names it.")
    since: Date = planned(Leaf(lambda row: row["since_on"]), "The first day.")
    until: Date | None = planned(
        Leaf(lambda row: row["until_on"]), "The first day without it; null while it is held."
    )


def tier_periods(customer: Row, _: Arguments) -> Branch:
    """The tiers that a customer held, latest first."""
    period = tables.tier_period.alias()
    query = (
        select()
        .select_from(period)
        .where(period.c.customer_id == customer.table.c.id)
        .order_by(period.c.since_on.desc())
    )
    return Branch("TierPeriod", row_of(period, customer.scene), query)


@strawberry.type(description="Something to show for a challenge that was met.")
class LoyaltyBadge:
    """A row of loyalty_award that has a badge."""

    badge: str = column("badge", "As the programme names it.")
    at: DateTime = column("at", "When it was given.")


def badges(customer: Row, _: Arguments) -> Branch:
    """A customer's badges, latest first."""
    award = tables.loyalty_award.alias()
    query = (
        select()
        .select_from(award)
        .where(
            award.c.source_profile_id.in_(profiles_of(customer)),
            award.c.badge.is_not(None),
            award.c.at <= customer.scene.as_of,
        )
        .order_by(award.c.at.desc(), award.c.id.desc())
    )
    return Branch("LoyaltyBadge", row_of(award, customer.scene), query)
