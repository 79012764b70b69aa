"""The promises of a loyalty programme, which hold whatever has happened; each by its own way."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Batch
from cdp.ingest import apply
from cdp.loyalty.accounts import ACCOUNT_NAMES
from cdp.rebuild import rebuild
from cdp.rows import VOID_STATUSES
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.loyalty.club import run_clock
from tests.cdp.loyalty.histories import CAMPAIGN, SOURCES, Histories, History


async def require_kept(histories: Histories) -> None:
    """Every promise of the ledger."""
    connection = histories.connection
    await _check_entries(connection)
    await _check_orders(connection, histories.now)
    await _check_carried(connection)
    await _check_facts(connection)
    await _check_acts(connection, histories.each)


async def require_still(histories: Histories) -> None:
    """A replay, a rebuild, and the clock at the same moment change nothing."""
    connection = histories.connection
    await run_clock(connection)
    before = await histories.entries(), await facts_of(connection)
    for source in SOURCES:
        again = [delivery for name, delivery in histories.told if name == source]
        batch = Batch(await a_source(connection, source), again)
        await apply(connection, batch, WORKSPACE)
    await run_clock(connection)
    assert (await histories.entries(), await facts_of(connection)) == before, "a replay"
    await rebuild(connection, WORKSPACE)
    await run_clock(connection)
    assert (await histories.entries(), await facts_of(connection)) == before, "a rebuild"


async def facts_of(connection: AsyncConnection) -> dict[int, dict[str, object]]:
    """The columns of loyalty of every customer."""
    names = ["id", *(column.name for column in tables.LOYALTY_COLUMNS)]
    rows = await connection.execute(select(*(tables.customer.c[name] for name in names)))
    return {row["id"]: dict(row) for row in rows.mappings()}


async def _check_entries(connection: AsyncConnection) -> None:
    total = " + ".join(ACCOUNT_NAMES)
    sums = ", ".join(f"sum({name}) AS {name}" for name in ACCOUNT_NAMES)
    same = " AND ".join(f"l.{name} = s.{name}" for name in ACCOUNT_NAMES)
    for claim, query in {
        "a transaction sums to zero": (
            "SELECT 1 FROM points_entry GROUP BY transaction_id"  # noqa: S608  # our own names
            f" HAVING sum({total}) <> 0"
        ),
        "a lot is the sum of its entries": (
            f"SELECT 1 FROM (SELECT lot_id, {sums}"  # noqa: S608  # our own names
            " FROM points_entry GROUP BY lot_id) s"
            f" FULL JOIN points_lot l ON l.id = s.lot_id WHERE ({same}) IS NOT TRUE"
        ),
        "no lot is below zero": (
            "SELECT 1 FROM points_lot WHERE least(pending, available, held, expired, redeemed)"
            " < 0 OR owed > 0 OR issued > 0 OR (owed < 0 AND available + pending > 0)"
        ),
        "what is repaid is paid": (
            "SELECT 1 FROM points_lot l JOIN source_profile p ON p.id = l.source_profile_id"
            " GROUP BY substring(p.key FROM '[0-9]{2}') HAVING sum(l.settled) <> 0"
        ),
        "an entry is its lot's": (
            "SELECT 1 FROM points_entry e JOIN points_lot l ON l.id = e.lot_id"
            " WHERE l.source_profile_id <> e.source_profile_id"
        ),
    }.items():
        found = await connection.execute(text(query))
        assert not found.all(), claim


async def _check_orders(connection: AsyncConnection, now: datetime) -> None:
    """What each order earned, worked out from the records alone."""
    rows = {
        name: (await connection.execute(select(tables.metadata.tables[name]))).mappings().all()
        for name in ("sales_order", "refund", "loyalty_entry", "points_lot")
    }
    issued: Counter[tuple[int, str, int]] = Counter()
    for lot in rows["points_lot"]:
        if lot["origin"] == "order" and lot["issued"]:
            issued[lot["source_id"], lot["key"], lot["source_profile_id"]] -= lot["issued"]
    expected: Counter[tuple[int, str, int]] = Counter()
    refunds: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for one in rows["refund"]:
        if one["refunded_at"] <= now:
            refunds[one["source_id"], one["order_key"]] += one["amount"]
    carried = {
        (one["source_id"], one["order_id"])
        for one in rows["loyalty_entry"]
        if one["kind"] == "earn" and one["deleted_at"] is None
    }
    for order in rows["sales_order"]:
        place = order["source_id"], order["key"]
        if order["deleted_at"] or order["status"] in VOID_STATUSES or place in carried:
            continue
        left = order["total"] - refunds.get(place, Decimal(0))
        if order["status"] == "refunded" and place not in refunds:
            left = Decimal(0)
        if left > 0:
            day = order["placed_at"].date()
            parts = 2 if CAMPAIGN[0] <= day <= CAMPAIGN[1] else 1
            expected[(*place, order["source_profile_id"])] = parts * math.floor(left)
    assert issued == expected


async def _check_carried(connection: AsyncConnection) -> None:
    """Of each profile and source the lots sum to what the source tells."""
    entry, lot = tables.loyalty_entry.c, tables.points_lot.c
    told = await connection.execute(
        select(entry.source_profile_id, entry.source_id, func.sum(entry.points))
        .where(entry.deleted_at.is_(None), entry.occurred_at <= func.now())
        .group_by(entry.source_profile_id, entry.source_id)
    )
    lots = await connection.execute(
        select(lot.source_profile_id, lot.source_id, -func.sum(lot.issued + lot.carried))
        .where(lot.origin == "entry")
        .group_by(lot.source_profile_id, lot.source_id)
    )
    assert _sums(told.all()) == _sums(lots.all())


async def _check_facts(connection: AsyncConnection) -> None:
    """Facts are the sums of the lots of a customer's profiles; together they lose none."""
    lot, profile = tables.points_lot.c, tables.source_profile.c
    rows = await connection.execute(
        select(
            profile.customer_id,
            func.sum(lot.available + lot.owed).label("points"),
            func.sum(lot.pending).label("pending"),
            func.sum(-lot.issued).filter(lot.is_earned).label("lifetime"),
        )
        .join(tables.points_lot, lot.source_profile_id == profile.id)
        .group_by(profile.customer_id)
    )
    sums = {row.customer_id: row for row in rows}
    facts = await facts_of(connection)
    assert set(sums) <= set(facts)
    for customer_id, row in facts.items():
        there = sums.get(customer_id)
        assert row["loyalty_points"] == (there.points if there else 0)
        assert row["loyalty_pending_points"] == (there.pending if there else 0)
        assert row["loyalty_lifetime_points"] == ((there and there.lifetime) or 0)


async def _check_acts(connection: AsyncConnection, histories: Sequence[History]) -> None:
    """Every redemption and hold of each history moved what it said."""
    rows = await connection.execute(
        text(
            "SELECT left(t.key, 2), t.cause, -sum(e.available) FROM points_entry e"
            " JOIN points_transaction t ON t.id = e.transaction_id"
            " WHERE t.cause IN ('redeem', 'hold') AND e.kind = t.cause GROUP BY 1, 2"
        )
    )
    moved = {(int(number), cause): points for number, cause, points in rows if points}
    assert moved == {
        (one.number, kind): one.acted[kind]
        for one in histories
        for kind in ("redeem", "hold")
        if one.acted[kind]
    }


def _sums(rows: Iterable[Sequence[Any]]) -> dict[tuple[int, int], int]:
    return {(row[0], row[1]): int(row[2]) for row in rows if row[2]}
