"""Entries of a source's own programme: their sums are the source's, and no order earns twice."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.business.moment import moment_of
from cdp.business.report import read_figures
from cdp.loyalty.acts import redeem_points
from cdp.loyalty.carried import Carried, Told, carried
from cdp.values import ProfileId, SourceId
from tests.cdp.ingesting import WORKSPACE, take, take_mixed
from tests.cdp.loyalty.club import (
    START,
    accounts_of,
    an_act,
    an_order,
    open_club,
    pass_days,
    set_clock,
    the_customer,
)

pytestmark = pytest.mark.anyio

ANN = ("customers", {"id": "1", "first_name": "Ann"})


def told(
    key: str, points: int, day: int, *, expires: int | None = None, kind: str | None = None
) -> Told:
    expires_at = None if expires is None else START + timedelta(days=expires)
    named = kind or ("earn" if points > 0 else "redeem")
    at = START + timedelta(days=day)
    return Told(ProfileId(1), SourceId(1), key, named, points, at, expires_at)


def took(entries: list[Told]) -> list[int]:
    """How much was taken of each, in order."""
    found = carried(entries)
    return [found[one].took for one in entries]


def an_entry(key: str, kind: str, points: int, **columns: object) -> Mapping[str, object]:
    return {
        "id": key,
        "customer_id": "1",
        "kind": kind,
        "points": points,
        "occurred_at": START.isoformat(),
        **columns,
    }


def test_what_the_source_spent_comes_from_what_expires_first_and_was_there() -> None:
    old, late = told("a", 50, 0, expires=90), told("b", 50, 0, expires=30)
    assert took([old, late, told("c", -60, 10)]) == [10, 50, 0]
    assert took([old, late, told("c", -30, 40)]) == [30, 0, 0]


def test_an_entry_of_expiry_takes_what_its_date_has_expired_already() -> None:
    lot = told("a", 50, 0, expires=30)
    gone = told("x", -50, 31, kind="expire")
    assert took([lot, gone]) == [50, 0]


def test_what_nobody_had_is_owed() -> None:
    assert took([told("a", -70, 0), told("b", 50, 5)]) == [20, 50]


def test_what_was_earned_and_taken_back_was_never_given() -> None:
    lot, back = told("a", 100, 0, expires=30), told("b", -40, 10, kind="earn")
    assert carried([lot, back]) == {lot: Carried(60, 0), back: Carried(0, 0)}
    spent = told("c", -100, 5)
    assert carried([lot, back, spent])[lot] == Carried(60, 100), "what was spent of it is owed"
    late = told("b", -40, 50, kind="earn")
    assert carried([lot, late])[lot] == Carried(60, 0), "fewer have expired"
    gift = told("g", 100, 0, kind="adjust")
    assert carried([gift, back]) == {gift: Carried(100, 0), back: Carried(0, 40)}


@given(
    st.lists(
        st.tuples(
            st.integers(-50, 50).filter(bool),
            st.integers(0, 9),
            st.sampled_from([None, 3, 12]),
            st.sampled_from(["earn", "redeem", "expire", "adjust"]),
        ),
        max_size=8,
    ),
    st.randoms(),
)
def test_no_lot_gives_more_than_it_has_and_the_order_of_arrival_is_nothing(
    rows: list[tuple[int, int, int | None, str]], random: object
) -> None:
    entries = [
        told(f"k{number}", points, day, expires=expires, kind=kind)
        for number, (points, day, expires, kind) in enumerate(rows)
    ]
    found = carried(entries)
    assert found == carried(reversed(entries))
    assert sum(one.given - one.took for one in found.values()) == sum(one.points for one in entries)
    for one in entries:
        assert 0 <= found[one].given <= max(one.points, 0)
        assert 0 <= found[one].took <= abs(one.points)
    earned = [one for one in entries if one.kind == "earn"]
    assert sum(found[one].given for one in earned) == max(sum(one.points for one in earned), 0)


async def test_entries_are_carried_without_a_programme_and_make_a_member(
    connection: AsyncConnection,
) -> None:
    await set_clock(connection, START)
    rows = [an_entry("a", "earn", 120), an_entry("b", "redeem", -50)]
    await take_mixed(connection, [ANN, *(("loyalty_entries", row) for row in rows)])
    row = await the_customer(connection)
    assert (row["loyalty_status"].value, row["loyalty_points"]) == ("MEMBER", 70)
    assert (row["loyalty_lifetime_points"], row["loyalty_tier"]) == (120, None)


async def test_points_that_a_source_takes_back_come_off_those_of_a_lifetime(
    connection: AsyncConnection,
) -> None:
    await set_clock(connection, START)
    rows = [
        an_entry("1", "earn", 100),
        an_entry("2", "earn", -40),
        an_entry("3", "redeem", -50),
        an_entry("4", "redeem", 50),
    ]
    await take_mixed(connection, [ANN, *(("loyalty_entries", row) for row in rows)])
    row = await the_customer(connection)
    assert (row["loyalty_lifetime_points"], row["loyalty_points"]) == (60, 60)
    told = await read_figures(connection, "loyalty", moment_of(START, START, WORKSPACE))
    assert (told["points_issued"], told["points_redeemed"]) == (60, 0)


async def test_no_more_points_expire_than_can_be_spent(connection: AsyncConnection) -> None:
    """Two people with a lot of 100 and a debt of 65 turn out to be one."""
    await set_clock(connection, START)
    soon = (START + timedelta(days=30)).isoformat()
    lot = an_entry("a", "earn", 100, expires_at=soon)
    debt = an_entry("b", "redeem", -65, customer_id="2")
    same = {"first_name": "Ann", "loyalty_card": "77"}
    people = [("customers", {"id": key, **same}) for key in ("1", "2")]
    await take_mixed(connection, [*people, ("loyalty_entries", lot), ("loyalty_entries", debt)])
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_points_expiring"]) == (35, 35)
    more = an_entry("c", "redeem", -35, customer_id="2")
    await take(connection, "loyalty_entries", [more])
    row = await the_customer(connection)
    assert (row["loyalty_points"], row["loyalty_points_expiring"]) == (0, None)
    assert row["loyalty_points_expire_on"] is None


async def test_without_a_programme_points_expire_on_a_day_of_the_workspace(
    connection: AsyncConnection,
) -> None:
    await set_clock(connection, START)
    setting = {"key": "timezone", "value": "America/New_York"}
    await connection.execute(tables.workspace.insert().values(setting))
    expires_at = datetime(2026, 3, 1, 3, tzinfo=UTC)  # of the last of February, over there
    entry = an_entry("a", "earn", 80, expires_at=expires_at.isoformat())
    await take_mixed(connection, [ANN, ("loyalty_entries", entry)])
    row = await the_customer(connection)
    assert row["loyalty_points_expire_on"] == date(2026, 2, 28)


async def test_an_order_that_its_source_gave_points_for_earns_none_here_whichever_comes_first(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    entry = ("loyalty_entries", an_entry("a", "earn", 80, order_id="o1"))
    await take_mixed(connection, [ANN, ("orders", an_order("o1", "50"))])
    await take_mixed(connection, [entry, ("orders", an_order("o2", "7"))])
    assert await accounts_of(connection) == {"issued": -87, "available": 80, "pending": 7}
    await take(connection, "orders", [an_order("o1", "60")])
    assert await accounts_of(connection) == {"issued": -87, "available": 80, "pending": 7}


async def test_entries_that_wait_for_their_customer_are_carried_when_it_comes(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    await take(connection, "loyalty_entries", [an_entry("a", "earn", 80)])
    assert await accounts_of(connection) == {}
    await take_mixed(connection, [ANN])
    assert (await the_customer(connection))["loyalty_points"] == 80


async def test_carried_points_can_be_spent_and_expire_as_their_source_said(
    connection: AsyncConnection,
) -> None:
    await open_club(connection)
    expires_at = (START + timedelta(days=30)).isoformat()
    entry = an_entry("a", "earn", 80, expires_at=expires_at)
    await take_mixed(connection, [ANN, ("loyalty_entries", entry)])
    customer_id = (await the_customer(connection))["id"]
    await redeem_points(connection, customer_id, an_act("k"), points=20)
    row = await the_customer(connection)
    assert (row["loyalty_points_expiring"], row["loyalty_points"]) == (60, 60)
    await pass_days(connection, 31)
    gone = an_entry("x", "expire", -60, occurred_at=expires_at)
    await take(connection, "loyalty_entries", [gone])
    found = await accounts_of(connection)
    assert found == {"issued": -80, "redeemed": 20, "carried": 60}
    kinds = await connection.scalars(
        select(tables.points_entry.c.kind).order_by(tables.points_entry.c.id)
    )
    assert list(kinds) == ["earn", "redeem", "expire", "carry"]
