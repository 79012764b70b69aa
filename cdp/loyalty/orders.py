"""Points that rules earn from orders: a consequence of the records, posted where it has changed."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    null,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.loyalty.accounts import Lot
from cdp.loyalty.earning import Purchase, points_of
from cdp.loyalty.ledger import RECORDS, Cause, Journal, issue, post, read_lots
from cdp.loyalty.terms import Terms, has_programme, in_force, read_terms
from cdp.order_days import priced_orders
from cdp.tables import (
    identifier,
    loyalty_entry,
    order_line,
    product,
    sales_order,
    source,
    source_profile,
)
from cdp.values import ProfileId
from cdp.versions import Driver
from cdp.workspace import Workspace

ORDER: Final = "order"


async def post_orders(
    connection: AsyncConnection, days: Collection[tuple[ProfileId, date]], workspace: Workspace
) -> None:
    """Earn what the orders of the given days earn now; the difference to before is posted.

    Idempotent: a day posted again changes nothing. The caller holds the customers' locks.
    """
    if not days or not await has_programme(connection):
        return
    driver = await driver_of(connection)
    versions = await read_terms(driver)
    at = await connection.scalar(select(func.now()))
    assert isinstance(at, datetime)
    stored = await _stored(driver, days, workspace)
    journal = Journal(at, list(stored.values()))
    wanted: set[tuple[object, ...]] = set()
    for purchase, terms in await _purchases(connection, days, workspace, versions):
        parts = dict(points_of(purchase, terms))
        lot = _lot_of(purchase, terms)
        held = stored.get(lot.identity)
        if held is None:
            if not parts:
                continue
            held = lot
            journal.lots.append(lot)
        wanted.add(held.identity)
        issue(journal, held, sum(parts.values()), _kind(held, sum(parts.values())), parts)
    for identity, lot in stored.items():
        if identity not in wanted:
            issue(journal, lot, 0, "take_back", {})
        journal.settle(lot)
    await post(driver, journal, Cause(RECORDS))


def _kind(lot: Lot, points: int) -> str:
    return "take_back" if points < -lot.accounts.issued else "earn"


def _lot_of(purchase: Purchase, terms: Terms) -> Lot:
    """The lot of an order as it stands: an order has one, unless its owner or moment changes."""
    return Lot(
        id=None,
        profile_id=purchase.profile_id,
        origin=ORDER,
        source_id=purchase.source_id,
        key=purchase.key,
        is_earned=True,
        is_qualifying=True,
        is_forgiving=terms.programme.points.shortfall == "forgive",
        earned_at=purchase.placed_at,
        available_at=terms.available_at(purchase.placed_at),
        expires_at=terms.expires_at(purchase.placed_at),
    )


async def _stored(
    driver: Driver, days: Collection[tuple[ProfileId, date]], workspace: Workspace
) -> dict[tuple[object, ...], Lot]:
    """The lots of orders that were on the given days when they were posted."""
    lots = await read_lots(
        driver,
        "JOIN unnest($1::bigint[], $2::date[]) AS d(profile_id, day)"
        " ON l.source_profile_id = d.profile_id AND l.origin = 'order'"
        # For the index; a day wider, for no time zone is further from UTC.
        " AND l.earned_at >= d.day - 1 AND l.earned_at < d.day + 2"
        " AND (l.earned_at AT TIME ZONE $3)::date = d.day",
        [profile_id for profile_id, _ in days],
        [day for _, day in days],
        workspace.timezone,
    )
    return {lot.identity: lot for lot in lots}


async def _purchases(
    connection: AsyncConnection,
    days: Collection[tuple[ProfileId, date]],
    workspace: Workspace,
    versions: Sequence[Terms],
) -> list[tuple[Purchase, Terms]]:
    """The orders of the given days that may earn, each with the version that governs it."""
    given = {"profiles": [one for one, _ in days], "dates": [day for _, day in days]}
    found = []
    for currency in sorted({one.currency for one in versions}):
        ours = [one for one in versions if one.currency == currency]
        has_categories = any(one.programme.has_categories for one in ours)
        statement = _orders(replace(workspace, currency=currency), has_categories)
        for row in await connection.execute(statement, given):
            terms = _terms_for(row, versions)
            if terms is not None and terms.currency == currency:
                found.append((_purchase(row, terms), terms))
    return found


def _terms_for(row: Row[Any], versions: Sequence[Terms]) -> Terms | None:
    """The version that governs an order; None where it earns nothing whatever it cost."""
    terms = in_force(versions, row.placed_at)
    if terms is None or row.is_carried or row.rate is None:
        return None
    programme = terms.programme
    if row.source in programme.without_sources:
        return None
    is_member = programme.takes(has_account=row.stream == "customers", has_card=row.has_card)
    return terms if is_member else None


def _purchase(row: Row[Any], terms: Terms) -> Purchase:
    without = terms.programme.points.spend_without
    aside = sum((getattr(row, name) or Decimal(0) for name in without), Decimal(0))
    return Purchase(
        profile_id=row.source_profile_id,
        source_id=row.source_id,
        key=row.key,
        placed_at=row.placed_at,
        channel=row.channel,
        spend=(row.total - aside) * row.rate,
        left=row.total - row.given_back,
        total=row.total,
        categories={
            name: Decimal(str(amount)) * row.rate for name, amount in (row.categories or {}).items()
        },
    )


@cache
def _orders(workspace: Workspace, has_categories: bool) -> Select[Any]:  # noqa: FBT001  # a key of the cache
    """The orders that stand on the days of the parameters `profiles` and `dates`."""
    profiles = bindparam("profiles", type_=ARRAY(BigInteger))
    dates = bindparam("dates", type_=ARRAY(Date))
    days = func.unnest(profiles, dates).table_valued("source_profile_id", "on").render_derived()
    orders = priced_orders(days, workspace, func.now()).cte("orders")
    return (
        select(
            orders.c.source_profile_id,
            orders.c.source_id,
            orders.c.key,
            orders.c.placed_at,
            orders.c.channel,
            orders.c.total,
            orders.c.given_back,
            orders.c.rate,
            sales_order.c.tax,
            sales_order.c.shipping,
            source.c.name.label("source"),
            source_profile.c.stream,
            has_card(source_profile.c.id).label("has_card"),
            _is_carried(orders).label("is_carried"),
            (_categories(orders) if has_categories else null()).label("categories"),
        )
        .select_from(
            orders.join(
                sales_order,
                and_(
                    sales_order.c.source_id == orders.c.source_id,
                    sales_order.c.key == orders.c.key,
                ),
            )
            .join(source_profile, source_profile.c.id == orders.c.source_profile_id)
            .join(source, source.c.id == orders.c.source_id)
        )
        .where(~orders.c.is_future)
    )


def has_card(profile_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a source profile carries, or once carried, a loyalty card."""
    return exists().where(
        identifier.c.source_profile_id == profile_id, identifier.c.kind == "loyalty_card"
    )


def _is_carried(orders: FromClause) -> ColumnElement[bool]:
    """Whether the source's own programme tells what the order earned."""
    return exists().where(
        loyalty_entry.c.source_id == orders.c.source_id,
        loyalty_entry.c.order_id == orders.c.key,
        loyalty_entry.c.kind == "earn",
        loyalty_entry.c.deleted_at.is_(None),
    )


def _categories(orders: FromClause) -> ColumnElement[Any]:
    """What was spent on lines of each category, in the order's currency, as JSON."""
    line = order_line.c
    name = func.coalesce(line.category, product.c.category)
    amount = line.quantity * line.unit_price - func.coalesce(line.discount, 0)
    sums = (
        select(name.label("name"), func.sum(func.coalesce(amount, 0)).label("amount"))
        .select_from(
            order_line.outerjoin(
                product,
                and_(product.c.source_id == line.source_id, product.c.key == line.product_id),
            )
        )
        .where(
            line.source_id == orders.c.source_id,
            line.order_key == orders.c.key,
            line.deleted_at.is_(None),
            name.is_not(None),
        )
        .group_by(name)
        .correlate(orders)
        .subquery("sums")
    )
    # As text: a decimal does not become a float on its way.
    return (
        select(func.jsonb_object_agg(sums.c.name, cast(sums.c.amount, Text)))
        .correlate(orders)
        .scalar_subquery()
    )


async def days_of_new_members(
    connection: AsyncConnection, profile_ids: Collection[ProfileId]
) -> set[tuple[ProfileId, date]]:
    """Days with orders of profiles that carry a card and have earned nothing: the card may be new.

    Given as UTC's days with one more on either side; a day posted in vain changes nothing.
    """
    if not profile_ids or not await has_programme(connection):
        return set()
    driver = await driver_of(connection)
    rows = await driver.fetch(
        "SELECT DISTINCT o.source_profile_id, (o.placed_at AT TIME ZONE 'UTC')::date + k.shift"
        " FROM sales_order o CROSS JOIN (VALUES (-1), (0), (1)) AS k(shift)"
        " WHERE o.source_profile_id = ANY($1::bigint[])"
        " AND EXISTS (SELECT FROM identifier i WHERE i.source_profile_id = o.source_profile_id"
        " AND i.kind = 'loyalty_card')"
        " AND NOT EXISTS (SELECT FROM points_lot l WHERE l.source_profile_id = o.source_profile_id"
        " AND l.origin = 'order')",
        list(profile_ids),
    )
    return {(row[0], row[1]) for row in rows}
