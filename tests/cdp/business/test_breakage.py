"""Points of our own programme at any moment: given, spent, lost; as the ledger has them, or had."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.business.moment import moment_of
from cdp.business.report import Figures, read_figures
from cdp.loyalty.acts import redeem_points
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, take_mixed
from tests.cdp.loyalty.club import (
    START,
    a_refund,
    accounts_of,
    an_act,
    an_order,
    open_club,
    pass_days,
    the_customer,
)

pytestmark = pytest.mark.anyio

NAMES = ("members", "points_issued", "points_redeemed", "points_expired")


async def told(connection: AsyncConnection, at: datetime, now: datetime) -> Figures:
    return await read_figures(connection, "loyalty", moment_of(at, now, WORKSPACE))


async def test_breakage_is_what_expired_unspent_at_any_moment(connection: AsyncConnection) -> None:
    """100 points, 20 taken back by a refund, 30 spent; 50 are lost after three months."""
    await open_club(connection)
    ann = ("customers", {"id": "1", "first_name": "Ann"})
    await take_mixed(connection, [ann, ("orders", an_order("a", "100"))])
    refunded = await pass_days(connection, 5)
    await take_mixed(connection, [("refunds", a_refund("r", "a", "20", refunded))])
    spent = await pass_days(connection, 15)
    customer_id = CustomerId((await the_customer(connection))["id"])
    await redeem_points(connection, customer_id, an_act("k"), points=30)
    now = await pass_days(connection, 200)
    accounts = await accounts_of(connection)
    assert [accounts[name] for name in ("issued", "redeemed", "expired")] == [-80, 30, 50]
    second = timedelta(seconds=1)
    for at, expected in (
        (START - second, [0, 0, 0, 0]),
        (refunded - second, [1, 100, 0, 0]),
        (spent - second, [1, 80, 0, 0]),
        (spent, [1, 80, 30, 0]),
        (START + timedelta(days=80), [1, 80, 30, 0]),
        (START + timedelta(days=100), [1, 80, 30, 50]),
        (now, [1, 80, 30, 50]),
    ):
        figures = await told(connection, at, now)
        assert [figures[name] for name in NAMES] == expected, at
    assert (figures["redemption_rate"], figures["breakage_rate"]) == (30 / 80, 50 / 80)
