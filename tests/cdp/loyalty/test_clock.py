"""What time and the programme's own gifts do: expiry, tiers, birthdays, challenges, referrals."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.deciding import Author
from cdp.errors import BadInput
from cdp.loyalty.application import apply_programme
from cdp.loyalty.clock import bring_up_to_date
from cdp.loyalty.standing import refer, suspend
from cdp.rebuild import rebuild
from cdp.stewardship import merge_customers
from cdp.values import CustomerId
from cdp.workspace import Workspace, note_folding
from tests.cdp.ingesting import WORKSPACE, take, take_mixed
from tests.cdp.loyalty.club import (
    PROGRAMME,
    START,
    a_refund,
    accounts_of,
    an_order,
    count_entries,
    open_club,
    pass_days,
    run_clock,
    the_customer,
)

pytestmark = pytest.mark.anyio

ANN = ("customers", {"id": "1", "first_name": "Ann", "created_at": "2025-06-01T00:00:00Z"})
BOB = ("customers", {"id": "2", "first_name": "Bob", "created_at": "2025-06-01T00:00:00Z"})

GIFTS = (
    PROGRAMME
    + """
[[earn]]
kind = "birthday"
name = "birthday"
points = 25

[[earn]]
kind = "category"
name = "tea"
categories = ["Tea"]
points_per_unit = 2

[[challenge]]
name = "two"
starts_on = 2026-01-01
ends_on = 2026-03-31
orders = 2
points = 15
badge = "Regular"

[referral]
referrer_points = 40
referee_points = 5
least_spend = 20
within_days = 30

[paid]
plans = ["plus"]
tier = "Bud"
"""
)


async def test_points_expire_at_the_end_of_their_last_day_and_once(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50"))])
    await pass_days(connection, 10)
    row = await the_customer(connection)
    assert (row["loyalty_points_expiring"], row["loyalty_points_expire_on"]) == (
        50,
        date(2026, 4, 10),
    )
    await pass_days(connection, 80)  # 10 April, noon
    assert (await the_customer(connection))["loyalty_points"] == 50
    await pass_days(connection, 1)
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_points_expire_on"]) == (0, None)
    entries = await count_entries(connection)
    await run_clock(connection)
    assert await count_entries(connection) == entries
    assert await accounts_of(connection) == {"issued": -50, "expired": 50}


async def test_a_refund_after_expiry_takes_back_what_expired(connection: AsyncConnection) -> None:
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50"))])
    at = await pass_days(connection, 120)
    await take(connection, "refunds", [a_refund("r", "a", "20", at)])
    assert await accounts_of(connection) == {"issued": -30, "expired": 30}
    assert (await the_customer(connection))["loyalty_points"] == 0


async def test_a_tier_rises_with_matured_points_and_falls_when_the_window_has_passed(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "120"))])
    row = await the_customer(connection)
    assert (row["loyalty_tier"], row["loyalty_next_tier"]) == ("Leaf", "Bud")
    assert row["loyalty_points_to_next_tier"] == 100
    await pass_days(connection, 10)
    row = await the_customer(connection)
    assert (row["loyalty_tier"], row["loyalty_tier_rank"]) == ("Bud", 1)
    assert (row["loyalty_tier_since"], row["loyalty_tier_until"]) == (
        date(2026, 1, 20),
        date(2026, 7, 20),
    )
    await pass_days(connection, 181)
    assert (await the_customer(connection))["loyalty_tier"] == "Leaf"
    period = tables.tier_period.c
    rows = await connection.execute(select(period.tier, period.until_on).order_by(period.since_on))
    assert rows.all() == [
        ("Leaf", date(2026, 1, 20)),
        ("Bud", date(2026, 7, 20)),
        ("Leaf", None),
    ]


async def test_a_birthday_is_given_on_its_day_and_once_a_year_whoever_is_merged(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, GIFTS)
    for person in (ANN, BOB):
        born = {**person[1], "birth_date": "1990-02-01"}
        await take_mixed(connection, [("customers", born)])
    await pass_days(connection, 5)
    assert await accounts_of(connection) == {}
    ids = list(await connection.scalars(select(tables.customer.c.id)))
    await merge_customers(connection, ids, Author("test", "They are one."), WORKSPACE)
    await pass_days(connection, 20)
    assert (await the_customer(connection))["loyalty_points"] == 25
    await pass_days(connection, 5)
    assert (await the_customer(connection))["loyalty_points"] == 25
    await pass_days(connection, 365)
    assert await accounts_of(connection) == {"issued": -50, "expired": 25, "available": 25}


async def test_a_challenge_is_given_once_when_its_goal_is_met(connection: AsyncConnection) -> None:
    await open_club(connection, GIFTS)
    await take_mixed(connection, [ANN, ("orders", an_order("a", "5"))])
    await run_clock(connection)
    assert (await the_customer(connection))["loyalty_points"] == 0
    await take(connection, "orders", [an_order("b", "5"), an_order("c", "5")])
    await run_clock(connection)
    await run_clock(connection)
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_pending_points"]) == (15, 15)
    award = tables.loyalty_award.c
    rows = await connection.execute(select(award.name, award.badge, award.points))
    assert rows.all() == [("challenge:two", "Regular", 15)]


async def test_both_sides_of_a_referral_are_given_when_who_was_brought_buys_enough(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, GIFTS)
    await take_mixed(connection, [ANN, BOB])
    customer = tables.customer.c
    ann, bob = (
        CustomerId(one)
        for one in await connection.scalars(select(customer.id).order_by(customer.id))
    )
    await refer(connection, ann, bob, actor="test")
    for pair in ((ann, ann), (ann, bob)):
        with pytest.raises(BadInput):
            await refer(connection, *pair, actor="test")
    await take(connection, "orders", [an_order("a", "19", customer_id="2")])
    await run_clock(connection)
    assert await accounts_of(connection) == {"issued": -19, "pending": 19}
    await take(connection, "orders", [an_order("a", "25", customer_id="2")])
    await run_clock(connection)
    rows = await connection.execute(select(customer.id, customer.loyalty_points))
    assert dict(rows.all()) == {ann: 40, bob: 5}


async def test_a_suspended_referrer_waits_for_what_they_are_given_until_they_are_taken_in_again(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, GIFTS)
    await take_mixed(connection, [ANN, BOB])
    ann, bob = await _ids(connection)
    await refer(connection, ann, bob, actor="test")
    await suspend(connection, ann, is_suspended=True, actor="test", reason="Fraud.")
    await take(connection, "orders", [an_order("a", "25", customer_id="2")])
    await run_clock(connection)
    points = select(tables.customer.c.id, tables.customer.c.loyalty_points)
    assert dict((await connection.execute(points)).all()) == {ann: 0, bob: 5}
    await suspend(connection, ann, is_suspended=False, actor="test", reason="It was not.")
    await run_clock(connection)
    assert dict((await connection.execute(points)).all()) == {ann: 40, bob: 5}


async def test_a_paid_member_has_the_least_tier_of_the_plan_while_it_runs(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, GIFTS)
    plan = {
        "id": "s",
        "customer_id": "1",
        "plan": "plus",
        "status": "active",
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": (START + timedelta(days=30)).isoformat(),
    }
    await take_mixed(connection, [ANN])
    await take(connection, "subscriptions", [plan])
    row = await the_customer(connection)
    assert (row["loyalty_status"].value, row["loyalty_tier"]) == ("PAID_MEMBER", "Bud")
    assert row["loyalty_tier_since"] == date(2026, 1, 1)
    await pass_days(connection, 30)
    row = await the_customer(connection)
    assert (row["loyalty_status"].value, row["loyalty_tier"]) == ("MEMBER", "Leaf")


async def test_lines_of_a_category_earn_beside_the_order(connection: AsyncConnection) -> None:
    await open_club(connection, GIFTS)
    lines = [
        {"quantity": 2, "unit_price": "10.00", "category": "Tea"},
        {"quantity": 1, "unit_price": "7.00", "product_id": "p"},
    ]
    await take_mixed(connection, [ANN, ("orders", an_order("a", "27", lines=lines))])
    parts = select(tables.points_entry.c.parts).order_by(tables.points_entry.c.id.desc()).limit(1)
    assert await connection.scalar(parts) == {"base": 27, "tea": 40}
    await take(connection, "products", [{"id": "p", "category": "Tea"}])
    assert await connection.scalar(parts) == {"base": 27, "tea": 54}


async def test_a_card_earns_for_the_orders_of_its_holder_also_those_before_it_was_known(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, PROGRAMME.replace('"everyone"', '"card"'))
    await take_mixed(connection, [ANN, ("orders", an_order("a", "50"))])
    assert (await the_customer(connection))["loyalty_status"].value == "NONE"
    await take(connection, "customers", [{**ANN[1], "loyalty_card": "LC 1"}])
    row = await the_customer(connection)
    assert (row["loyalty_status"].value, row["loyalty_pending_points"]) == ("MEMBER", 50)


async def test_another_version_governs_orders_from_its_start_and_earlier_ones_keep_theirs(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    old = an_order("a", "50", START - timedelta(days=5))
    await take_mixed(connection, [ANN, ("orders", old), ("orders", an_order("b", "50"))])
    double = PROGRAMME.replace("points_per_unit = 1", "points_per_unit = 2")
    done = await apply_programme(
        connection, double, WORKSPACE, actor="test", starts_at=START - timedelta(days=1)
    )
    assert (done.version, done.customers, done.points_issued) == (2, 1, 50)
    assert (await the_customer(connection))["loyalty_pending_points"] == 150
    with pytest.raises(BadInput, match="would start"):
        await apply_programme(
            connection, double, WORKSPACE, actor="test", starts_at=START + timedelta(days=1)
        )


SPENDERS = """
name = "Tea Club"
members = "everyone"

[tiers]
by = "spend"
months = 6

[[tiers.levels]]
name = "Silver"
threshold = 0

[[tiers.levels]]
name = "Gold"
threshold = 1000

[[challenge]]
name = "thousand"
starts_on = 2026-01-01
ends_on = 2026-03-31
spend = 1000
points = 15

[[challenge]]
name = "teas"
starts_on = 2026-01-01
ends_on = 2026-03-31
spend = 1000
category = "Tea"
points = 15

[referral]
referrer_points = 40
referee_points = 5
least_spend = 1000
within_days = 30
"""


async def test_what_is_spent_is_counted_in_the_currency_of_the_programme(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, SPENDERS)
    rates = [
        ("exchange_rates", {"on": "2026-01-10", "currency": one, "base": base, "rate": rate})
        for one, base, rate in (("EUR", "USD", "1.5"), ("USD", "EUR", "0.5"))
    ]
    line = {"order_id": "a", "line": "1", "quantity": "1", "unit_price": "800", "category": "Tea"}
    bought = [("orders", an_order("a", "800")), ("order_lines", line)]
    await take_mixed(connection, [*rates, BOB, ANN, *bought])
    ann, bob = await _ids(connection)
    await refer(connection, bob, ann, actor="test")
    dollars = Workspace(currency="USD", region="GB", timezone="Asia/Tokyo")
    await note_folding(connection, dollars)
    await rebuild(connection, dollars)
    await bring_up_to_date(connection, [ann])
    assert await _standing(connection, ann) == ("Silver", Decimal(200), 0)
    more = an_order("b", "600", currency="USD")  # the very day on which 1,000 are reached
    await take(connection, "orders", [more], workspace=dollars)
    await bring_up_to_date(connection, [ann])
    assert await _standing(connection, ann) == ("Gold", None, 20)


async def test_a_rate_into_the_currency_of_the_programme_prices_what_waited_for_it(
    connection: AsyncConnection,
) -> None:
    await open_club(connection, SPENDERS)
    dollars = Workspace(currency="USD", region="GB", timezone="Europe/Berlin")
    await note_folding(connection, dollars)
    bought = an_order("a", "1200", currency="USD")
    await take_mixed(connection, [ANN, ("orders", bought)], workspace=dollars)
    [ann] = await _ids(connection)
    assert (await _standing(connection, ann))[0] == "Silver"
    rate = {"on": "2026-01-10", "currency": "USD", "base": "EUR", "rate": "0.9"}
    await take(connection, "exchange_rates", [rate], workspace=dollars)
    assert (await _standing(connection, ann))[0] == "Gold"


async def _ids(connection: AsyncConnection) -> list[CustomerId]:
    """The customers' ids, by their first names."""
    customer = tables.customer.c
    rows = await connection.scalars(select(customer.id).order_by(customer.first_name))
    return [CustomerId(one) for one in rows]


async def _standing(connection: AsyncConnection, customer_id: CustomerId) -> tuple[object, ...]:
    """Tier, what is missing for the next, and points, of one customer."""
    customer = tables.customer.c
    row = await connection.execute(
        select(
            customer.loyalty_tier, customer.loyalty_points_to_next_tier, customer.loyalty_points
        ).where(customer.id == customer_id)
    )
    return tuple(row.one())
