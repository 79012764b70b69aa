"""Acts on points: once by their key, never more than there is, taken back to the very lots."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.deciding import Author
from cdp.errors import BadInput, CdpError, KeyReused, NotFound
from cdp.loyalty.acts import adjust_points, earn_points, redeem_points, reverse
from cdp.loyalty.application import apply_programme
from cdp.loyalty.desk import Act
from cdp.loyalty.holds import capture_hold, hold_points, release_hold
from cdp.loyalty.refusals import PointsRefused
from cdp.loyalty.standing import suspend
from cdp.stewardship import merge_customers, split_customer
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, take_mixed
from tests.cdp.loyalty.club import (
    PROGRAMME,
    START,
    accounts_of,
    an_act,
    an_order,
    count_entries,
    open_club,
    pass_days,
    set_clock,
    the_customer,
)

pytestmark = pytest.mark.anyio

ANN = ("customers", {"id": "1", "first_name": "Ann"})
BOB = ("customers", {"id": "2", "first_name": "Bob"})


async def ann(connection: AsyncConnection, points: int = 100) -> CustomerId:
    """A customer with so many points of an order, and the clock at the end of its window."""
    await open_club(connection)
    await take_mixed(connection, [ANN, ("orders", an_order("a", str(points)))])
    await pass_days(connection, 10)
    return CustomerId((await the_customer(connection))["id"])


async def test_an_act_repeated_under_its_key_gives_the_same_answer_and_moves_nothing(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection)
    first = await redeem_points(connection, customer_id, an_act("k"), points=40)
    entries = await count_entries(connection)
    again = await redeem_points(connection, customer_id, an_act("k"), points=40)
    assert (first.points, first.balance, first.is_repeat) == (-40, 60, False)
    assert (again.points, again.balance, again.is_repeat) == (-40, 60, True)
    assert again.transaction_id == first.transaction_id
    assert await count_entries(connection) == entries
    with pytest.raises(KeyReused, match="another act"):
        await redeem_points(connection, customer_id, an_act("k"), points=41)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"points": 101}, "INSUFFICIENT_POINTS"),
        ({"reward": "saucer"}, "UNKNOWN_REWARD"),
        ({"points": 0}, "BAD_REQUEST"),
        ({"points": 1, "reward": "cup"}, "BAD_REQUEST"),
        ({}, "BAD_REQUEST"),
    ],
)
async def test_a_redemption_that_cannot_be_is_refused_by_its_code(
    connection: AsyncConnection, asked: dict[str, object], code: str
) -> None:
    customer_id = await ann(connection)
    entries = await count_entries(connection)
    with pytest.raises(BadInput) as refusal:
        await redeem_points(connection, customer_id, an_act("k"), **asked)  # type: ignore[arg-type]
    assert refusal.value.code == code
    assert await count_entries(connection) == entries


async def test_a_reward_costs_what_the_programme_says_and_may_ask_for_a_tier(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection, points=99)
    assert (await redeem_points(connection, customer_id, an_act("k"), reward="cup")).balance == 69
    with pytest.raises(PointsRefused) as refusal:
        await redeem_points(connection, customer_id, an_act("l"), reward="pot")
    assert refusal.value.code == "TIER_TOO_LOW"
    await earn_points(connection, customer_id, 1, an_act("m"))
    assert (await redeem_points(connection, customer_id, an_act("n"), reward="pot")).balance == 20
    with pytest.raises(PointsRefused) as refusal:
        await redeem_points(connection, customer_id, an_act("o"), reward="cup")
    assert (refusal.value.code, refusal.value.path) == ("INSUFFICIENT_POINTS", "reward")


async def test_without_a_programme_or_a_customer_nothing_is_moved(
    connection: AsyncConnection,
) -> None:
    await take_mixed(connection, [ANN])
    customer_id = CustomerId((await the_customer(connection))["id"])
    with pytest.raises(PointsRefused, match="no loyalty programme"):
        await earn_points(connection, customer_id, 5, an_act("k"))
    await open_club(connection)
    with pytest.raises(NotFound):
        await earn_points(connection, CustomerId(10**12), 5, an_act("k"))


async def test_a_suspended_customer_keeps_points_and_cannot_spend_them(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection)
    await suspend(connection, customer_id, is_suspended=True, actor="test", reason="Fraud.")
    row = await the_customer(connection)
    assert (row["loyalty_status"].value, row["loyalty_points"]) == ("SUSPENDED", 100)
    with pytest.raises(PointsRefused, match="suspended"):
        await redeem_points(connection, customer_id, an_act("k"), points=1)
    await suspend(connection, customer_id, is_suspended=False, actor="test", reason="It was not.")
    assert (await redeem_points(connection, customer_id, an_act("k"), points=1)).balance == 99


async def test_an_adjustment_needs_a_reason_and_is_neither_earned_nor_qualifying(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection, points=99)
    with pytest.raises(BadInput, match="reason"):
        await adjust_points(connection, customer_id, 5, Act("k", "test"))
    await adjust_points(connection, customer_id, 50, an_act("k"))
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_lifetime_points"]) == (149, 99)
    assert (row["loyalty_tier"], row["loyalty_points_to_next_tier"]) == ("Leaf", 1)
    assert (await adjust_points(connection, customer_id, -149, an_act("l"))).balance == 0


async def test_what_expires_first_is_spent_first_and_returns_with_the_expiry_that_it_had(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection)  # its 100 points expire at the end of 10 April
    await pass_days(connection, 40)
    await earn_points(connection, customer_id, 50, an_act("gift"))
    await redeem_points(connection, customer_id, an_act("k"), points=120)
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_points_expire_on"].month) == (30, 6)
    await reverse(connection, "k", an_act("back"))
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_points_expiring"]) == (150, 100)
    assert row["loyalty_points_expire_on"].month == 4
    with pytest.raises(PointsRefused, match="taken back before"):
        await reverse(connection, "k", an_act("back-again"))


async def test_points_that_return_after_their_day_expire_at_once(
    connection: AsyncConnection,
) -> None:
    customer_id = await ann(connection)
    await redeem_points(connection, customer_id, an_act("k"), points=60)
    await pass_days(connection, 100)
    receipt = await reverse(connection, "k", an_act("back"))
    assert receipt.balance == 0
    assert await accounts_of(connection) == {"issued": -100, "expired": 100}


async def test_a_hold_is_captured_in_part_released_or_lapses(connection: AsyncConnection) -> None:
    customer_id = await ann(connection)
    lasts = timedelta(days=2)
    for key in ("part", "back", "late"):
        await hold_points(connection, customer_id, 30, an_act(key), lasts=lasts)
    assert await accounts_of(connection) == {"issued": -100, "held": 90, "available": 10}
    with pytest.raises(PointsRefused, match="10 can be spent"):
        await redeem_points(connection, customer_id, an_act("k"), points=11)
    await capture_hold(connection, "part", an_act("c"), points=20)
    await release_hold(connection, "back", an_act("r"))
    assert await accounts_of(connection) == {
        "issued": -100, "redeemed": 20, "held": 30, "available": 50,
    }  # fmt: skip
    with pytest.raises(PointsRefused, match="before"):
        await capture_hold(connection, "back", an_act("c2"))
    await pass_days(connection, 2)
    assert (await the_customer(connection))["loyalty_points"] == 80
    with pytest.raises(PointsRefused, match=r"before|lapsed"):
        await capture_hold(connection, "late", an_act("c3"))


async def test_after_a_split_each_side_keeps_what_its_own_lots_hold(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    orders = [
        ("orders", an_order("a", "60", START - timedelta(hours=1))),
        ("orders", an_order("b", "50", customer_id="2")),
    ]
    await take_mixed(connection, [ANN, BOB, *orders])
    await pass_days(connection, 11)
    first, second = await connection.scalars(
        select(tables.customer.c.id).order_by(tables.customer.c.id)
    )
    author = Author("test", "They are one.")
    await merge_customers(connection, [first, second], author, WORKSPACE)
    assert (await the_customer(connection))["loyalty_points"] == 110
    await redeem_points(connection, first, an_act("k"), points=80)
    entries = await count_entries(connection)
    await split_customer(connection, first, [second], author, WORKSPACE)
    rows = await connection.execute(select(tables.customer.c.id, tables.customer.c.loyalty_points))
    assert dict(rows.all()) == {first: 0, second: 30}
    assert await count_entries(connection) == entries
    await reverse(connection, "k", an_act("back"))
    rows = await connection.execute(select(tables.customer.c.id, tables.customer.c.loyalty_points))
    assert dict(rows.all()) == {first: 60, second: 50}


async def test_what_is_posted_cannot_be_changed_or_deleted(connection: AsyncConnection) -> None:
    customer_id = await ann(connection)
    await redeem_points(connection, customer_id, an_act("k"), points=1)
    for statement in (
        "UPDATE points_entry SET available = 5",
        "DELETE FROM points_entry",
        "UPDATE points_transaction SET key = 'x'",
        "DELETE FROM points_transaction",
    ):
        savepoint = await connection.begin_nested()
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(text(statement))
        await savepoint.rollback()
    await connection.execute(text("UPDATE points_transaction SET reason = ''"))


async def test_two_who_spend_the_same_points_at_once_take_turns(database: Database) -> None:
    async with database.transaction() as connection:
        await set_clock(connection, START)
        since = START - timedelta(days=700)
        await apply_programme(connection, PROGRAMME, WORKSPACE, actor="test", starts_at=since)
        await take_mixed(connection, [ANN])
        customer_id = CustomerId((await the_customer(connection))["id"])
        await earn_points(connection, customer_id, 100, an_act("gift"))

    async def spend(key: str) -> str:
        try:
            async with database.transaction() as connection:
                await set_clock(connection, START)
                await connection.execute(text("SET LOCAL search_path = clock, pg_catalog, public"))
                await redeem_points(connection, customer_id, an_act(key), points=60)
        except CdpError as refusal:
            return refusal.code
        return "DONE"

    outcomes = await asyncio.gather(*(spend(f"k{number}") for number in range(4)))
    assert sorted(outcomes) == ["DONE", *["INSUFFICIENT_POINTS"] * 3]
    async with database.read_only() as connection:
        assert await accounts_of(connection) == {"issued": -100, "redeemed": 60, "available": 40}
