"""Holds: points set aside for a purchase under way, then captured or released, else they lapse."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.loyalty.desk import Act, Desk, Receipt, find_act, is_closed, open_desk, profiles_of_act
from cdp.loyalty.ledger import CLOCK, Cause, Journal, post, read_lots
from cdp.loyalty.refusals import HoldClosed, InsufficientPoints
from cdp.values import CustomerId
from cdp.versions import Driver

LONGEST_HOLD: Final = timedelta(days=30)  # a checkout takes minutes, a pre-order weeks


async def hold_points(
    connection: AsyncConnection,
    customer_id: CustomerId,
    points: int,
    act: Act,
    *,
    lasts: timedelta,
) -> Receipt:
    """Set points aside, soonest to expire first; they lapse unless they are captured in time.

    While they are held they do not expire. Raises NotFound, BadInput, PointsRefused.
    """
    if points <= 0 or not timedelta(0) < lasts <= LONGEST_HOLD:
        raise BadInput(f"A hold has points and lasts up to {LONGEST_HOLD.days} days.")
    asked: list[object] = [points, lasts.total_seconds()]
    desk = await open_desk(connection, customer_id, act, "hold", asked)
    if desk.repeated is None:
        desk.refuse_suspended()
        for lot, part in desk.take(points):
            desk.journal.move(lot, "hold", desk.journal.at, held=part)
    return await desk.close(held_until=desk.journal.at + lasts)


async def capture_hold(
    connection: AsyncConnection, key: str, act: Act, *, points: int | None = None
) -> Receipt:
    """Spend what a hold set aside, all of it or only so many points; the rest is released.

    Raises NotFound, HoldClosed, and InsufficientPoints for more than is held.
    """
    hold, desk = await _open(connection, key, act, "capture", [key, points])
    if desk.repeated is None:
        parts = await _held(desk.driver, hold["id"])
        there = sum(part for _, part in parts)
        rest = there if points is None else points
        if not 0 < rest <= there:
            raise InsufficientPoints(rest, there)
        lots = await desk.lots([lot_id for lot_id, _ in parts])
        for lot_id, part in parts:
            spent = min(part, rest)
            rest -= spent
            desk.journal.move(lots[lot_id], "capture", desk.journal.at, held=-part, redeemed=spent)
    return await desk.close(about_id=hold["id"])


async def release_hold(connection: AsyncConnection, key: str, act: Act) -> Receipt:
    """Give back what a hold set aside: to the very lots, with the expiry that they had.

    Raises NotFound, HoldClosed.
    """
    hold, desk = await _open(connection, key, act, "release", [key])
    if desk.repeated is None:
        parts = await _held(desk.driver, hold["id"])
        lots = await desk.lots([lot_id for lot_id, _ in parts])
        for lot_id, part in parts:
            desk.journal.move(lots[lot_id], "release", desk.journal.at, held=-part)
    return await desk.close(about_id=hold["id"])


async def release_lapsed(driver: Driver, customers: Collection[CustomerId], at: datetime) -> None:
    """Release the holds of the given customers whose time is over; the caller has them locked."""
    rows = await driver.fetch(
        "SELECT DISTINCT t.id FROM source_profile p"
        " JOIN points_lot l ON l.source_profile_id = p.id AND l.held > 0"
        " JOIN points_entry e ON e.lot_id = l.id JOIN points_transaction t"
        " ON t.id = e.transaction_id AND t.cause = 'hold' AND t.held_until <= $2"
        " WHERE p.customer_id = ANY($1::bigint[])"
        " AND NOT EXISTS (SELECT FROM points_transaction c WHERE c.about_id = t.id) ORDER BY t.id",
        list(customers),
        at,
    )
    for row in rows:
        parts = await _held(driver, row["id"])
        lots = await read_lots(driver, "WHERE l.id = ANY($1::bigint[])", [one for one, _ in parts])
        journal = Journal(at, lots)
        by_id = {lot.id: lot for lot in lots}
        for lot_id, part in parts:
            journal.move(by_id[lot_id], "release", at, held=-part)
        cause = Cause(CLOCK, reason="The hold has lapsed.", about_id=row["id"])
        await post(driver, journal, cause)


async def _open(
    connection: AsyncConnection, key: str, act: Act, name: str, asked: list[object]
) -> tuple[asyncpg.Record, Desk]:
    """The hold, and the desk of its customer. Raises NotFound, HoldClosed."""
    driver = await driver_of(connection)
    hold = await find_act(driver, key)
    if hold["cause"] != "hold":
        raise BadInput(f"{key!r} is a {hold['cause']}, not a hold.", path="key")
    also = await profiles_of_act(driver, hold["id"])
    desk = await open_desk(connection, hold["customer_id"], act, name, asked, also)
    if desk.repeated is None:
        if await is_closed(driver, hold["id"]):
            raise HoldClosed(key, "was captured or released before")
        if hold["held_until"] <= desk.journal.at:
            raise HoldClosed(key, f"has lapsed at {hold['held_until'].isoformat()}")
    return hold, desk


async def _held(driver: Driver, transaction_id: int) -> list[tuple[int, int]]:
    """What a hold set aside of each lot."""
    rows = await driver.fetch(
        "SELECT lot_id, held FROM points_entry WHERE transaction_id = $1 AND held > 0 ORDER BY id",
        transaction_id,
    )
    return [(row["lot_id"], row["held"]) for row in rows]
