"""The effect of an audience: the sums by hand, the interval as it is published."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import DateTime, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.audiences.effect import effect_of
from cdp.errors import BadInput
from cdp.workspace import Workspace
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.segmenting import customer_ids

pytestmark = pytest.mark.anyio

SENT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # the next day already in the workspace
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
Z = 1.959963984540054


def an_order(key: str, after: timedelta, total: str = "10.00", **more: object) -> dict[str, object]:
    """Of the customer of that key."""
    said = {"placed_at": (SENT + after).isoformat(), "currency": "EUR", "total": total}
    return {"id": f"{key}-{after}", "customer_id": key, **said, **more}


async def an_audience(
    connection: AsyncConnection, groups: Mapping[str, bool], assigned_at: datetime = SENT
) -> int:
    """An audience of customers by key: whether each is held out."""
    people = [{"id": key, "first_name": key, "email": f"{key}@example.com"} for key in groups]
    await take(connection, "customers", people)
    audience_id = await connection.scalar(
        tables.audience.insert()
        .values(slug="all", channel="email", purpose="marketing", held_out_percent=50)
        .values(created_at=SENT, exported_at=SENT)
        .returning(tables.audience.c.id)
    )
    assert isinstance(audience_id, int)
    ids = await customer_ids(connection)
    rows = [
        {
            "audience_id": audience_id,
            "source_profile_id": ids[key],
            "is_held_out": is_held_out,
            "assigned_at": assigned_at,
        }
        for key, is_held_out in groups.items()
    ]
    await connection.execute(tables.audience_member.insert(), rows)
    return audience_id


async def effect(
    connection: AsyncConnection, audience_id: int, days: int = 7, as_of: datetime = NOW
) -> Mapping[str, Any]:
    moment = literal(as_of, DateTime(timezone=True))
    rows = await connection.execute(effect_of(literal(audience_id), days, moment, WORKSPACE))
    return dict(rows.mappings().one())


def told(row: Mapping[str, Any], group: str, *names: str) -> Sequence[object]:
    return [row[f"{group}_{name}"] for name in names]


async def test_orders_count_from_just_after_the_assignment_to_the_end_of_the_days(
    connection: AsyncConnection,
) -> None:
    keys = ("at", "soon", "last", "late", "before")
    audience_id = await an_audience(connection, dict.fromkeys(keys, False))
    moments = (
        timedelta(),
        timedelta(seconds=1),
        timedelta(days=7),
        timedelta(days=7, seconds=1),
        timedelta(days=-1),
    )
    orders = [an_order(key, after) for key, after in zip(keys, moments, strict=True)]
    await take(connection, "orders", orders)
    row = await effect(connection, audience_id)
    assert told(row, "written", "customers", "conversions", "revenue") == [5, 2, Decimal(20)]
    assert told(row, "held", "customers", "conversions", "rate") == [0, 0, None]
    assert (row["difference"], row["difference_low"], row["lift"]) == (None, None, None)


async def test_revenue_is_what_is_left_in_the_workspaces_currency(
    connection: AsyncConnection,
) -> None:
    audience_id = await an_audience(connection, {"a": False, "b": False, "c": True, "d": True})
    day = timedelta(days=1)
    await take(
        connection,
        "exchange_rates",
        [{"id": "r", "on": "2026-03-02", "currency": "USD", "base": "EUR", "rate": "0.50"}],
    )
    orders = [
        an_order("a", day, "10.00"),
        an_order("a", 2 * day, "30.00", currency="USD"),
        an_order("b", day, "99.99", status="cancelled"),
        an_order("c", day, "8.00"),
        an_order("d", day, "5.00"),
    ]
    await take(connection, "orders", orders)
    refunds = [
        {"id": "1", "order_id": orders[0]["id"], "amount": "2.50"},
        {"id": "2", "order_id": orders[4]["id"], "amount": "5.00"},
    ]
    at = {"refunded_at": "2026-05-01T10:00:00Z", "currency": "EUR"}
    await take(connection, "refunds", [{**refund, **at} for refund in refunds])
    row = await effect(connection, audience_id)
    assert told(row, "written", "conversions", "revenue") == [1, Decimal("22.5")]
    assert row["written_revenue_per_customer"] == Decimal("11.25")
    assert told(row, "held", "conversions", "revenue") == [1, Decimal(8)]
    before = await effect(connection, audience_id, as_of=datetime(2026, 4, 1, tzinfo=UTC))
    assert told(before, "written", "revenue") == [Decimal(25)]
    assert told(before, "held", "conversions", "revenue") == [2, Decimal(13)]


async def test_those_whose_days_are_not_over_are_told(connection: AsyncConnection) -> None:
    audience_id = await an_audience(connection, {"a": False, "b": True})
    row = await effect(connection, audience_id, 7, SENT + timedelta(days=7))
    assert (row["written_pending"], row["held_pending"]) == (0, 0)
    row = await effect(connection, audience_id, 8, SENT + timedelta(days=7))
    assert (row["written_pending"], row["held_pending"]) == (1, 1)
    row = await effect(connection, audience_id, 7, SENT - timedelta(days=1))
    assert (row["written_customers"], row["held_customers"]) == (0, 0)


def wilson(count: int, successes: int) -> tuple[float, float]:
    rate = successes / count
    spread = Z * math.sqrt(rate * (1 - rate) / count + Z**2 / (4 * count**2))
    shrink = 1 + Z**2 / count
    centre = (rate + Z**2 / (2 * count)) / shrink
    return centre - spread / shrink, centre + spread / shrink


async def test_interval_is_the_published_one(connection: AsyncConnection) -> None:
    """56 of 70 against 48 of 80: the first example of Newcombe 1998, by method 10."""
    groups = {f"w{n}": False for n in range(70)} | {f"h{n}": True for n in range(80)}
    audience_id = await an_audience(connection, groups)
    buyers = [f"w{n}" for n in range(56)] + [f"h{n}" for n in range(48)]
    await take(connection, "orders", [an_order(key, timedelta(days=1)) for key in buyers])
    row = await effect(connection, audience_id)
    assert (row["written_rate"], row["held_rate"]) == (0.8, 0.6)
    assert row["difference"] == pytest.approx(0.2)
    assert row["lift"] == pytest.approx(1 / 3)
    assert row["difference_low"] == pytest.approx(0.0524, abs=5e-5)
    assert row["difference_high"] == pytest.approx(0.3339, abs=5e-5)
    (low_1, high_1), (low_2, high_2) = wilson(70, 56), wilson(80, 48)
    assert row["difference_low"] == pytest.approx(0.2 - math.hypot(0.8 - low_1, high_2 - 0.6))
    assert row["difference_high"] == pytest.approx(0.2 + math.hypot(high_1 - 0.8, 0.6 - low_2))


@pytest.mark.parametrize("days", [0, -1, 367])
def test_days_have_bounds(days: int) -> None:
    with pytest.raises(BadInput, match="Give 1 to 366"):
        effect_of(literal(1), days, literal(NOW), WORKSPACE)


async def test_revenue_per_customer_has_the_places_of_the_currency(
    connection: AsyncConnection,
) -> None:
    audience_id = await an_audience(connection, {"a": False, "b": False, "c": False, "d": True})
    order = an_order("a", timedelta(hours=1), total="10.000", currency="KWD")
    await take(connection, "orders", [order])
    dinars, moment = Workspace(currency="KWD"), literal(NOW, DateTime(timezone=True))
    asked = await connection.execute(effect_of(literal(audience_id), 7, moment, dinars))
    assert told(asked.mappings().one(), "written", "revenue_per_customer") == [Decimal("3.333")]
