"""What the models are told of a shop: the same by facts as by each of its order days."""

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import refresh_facts
from cdp.scoring import backtest, shop
from cdp.scoring.appraise import shop_of
from cdp.scoring.histories import Histories
from cdp.scoring.reading import read_order_days
from cdp.scoring.shop import read_calendar, read_histories, read_shop
from cdp.values import CustomerId
from cdp.workspace import Workspace
from tests.cdp.scoring.shop import TODAY, a_shop, add_days

pytestmark = pytest.mark.anyio

WORKSPACE = Workspace(timezone="UTC")
UNPRICED = 3  # customers of whose orders some have no rate


async def a_shop_with_oddities(connection: AsyncConnection) -> list[int]:
    """Merged customers with days in common, and orders that no rate gives a price."""
    ids = await a_shop(connection)
    profile, day, customer = tables.source_profile, tables.purchase_day, tables.customer
    await connection.execute(
        profile.update().where(profile.c.id.in_(ids[1:4])).values(customer_id=ids[0])
    )
    await connection.execute(customer.delete().where(customer.c.id.in_(ids[1:4])))
    await connection.execute(
        customer.update().where(customer.c.id == ids[0]).values(profile_count=4)
    )
    shared = [TODAY] * 3
    await add_days(connection, ids[:3], shared, [10.0, 20.0, 30.0])
    await connection.execute(
        day.update()
        .where(day.c.source_profile_id.in_(ids[10 : 10 + UNPRICED]))
        .values(priced_order_count=0, qualifying_spend=0)
    )
    await add_days(connection, ids[10:11], [TODAY], [40.0])
    everybody = [CustomerId(one) for one in await connection.scalars(select(customer.c.id))]
    await refresh_facts(connection, everybody, WORKSPACE)
    return ids


def told(histories: Histories) -> list[list[float]]:
    return [getattr(histories, name).tolist() for name in Histories.__slots__ if name != "spend"]


@pytest.mark.parametrize("many", [1, 10_000])
async def test_facts_tell_what_every_order_day_would(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    await a_shop_with_oddities(connection)
    monkeypatch.setattr(backtest, "MOST_CUSTOMERS", 100)
    monkeypatch.setattr(shop, "MANY", many)
    by_days = shop_of(await read_order_days(connection, WORKSPACE, None), TODAY)
    by_facts = await read_shop(connection, WORKSPACE, TODAY, None)
    assert told(by_facts.histories) == told(by_days.histories)
    assert by_facts.histories.spend == pytest.approx(by_days.histories.spend)
    assert (by_facts.histories.priced < by_facts.histories.repeats + 1).sum() == UNPRICED
    assert by_facts.sample.customer.tolist() == by_days.sample.customer.tolist()
    assert by_facts.sample.day.tolist() == by_days.sample.day.tolist()
    assert by_facts.sample.spend == pytest.approx(by_days.sample.spend, nan_ok=True)
    assert 0 < len(np.unique(by_facts.sample.customer)) <= 100
    calendar = await read_calendar(connection, by_facts.histories, TODAY)
    assert calendar.start == by_days.calendar.start
    assert calendar.joined.tolist() == by_days.calendar.joined.tolist()
    assert calendar.ordered.tolist() == by_days.calendar.ordered.tolist()


async def test_histories_of_some_are_theirs_among_everybodys(connection: AsyncConnection) -> None:
    ids = await a_shop_with_oddities(connection)
    customer = tables.customer.c.id
    some = select(customer).where(customer.between(ids[0], ids[20]))
    of_some = await read_histories(connection, WORKSPACE, TODAY, None, some)
    of_all = await read_histories(connection, WORKSPACE, TODAY, None)
    theirs = of_all.where(np.isin(of_all.customer, of_some.customer))
    assert len(of_some) == 18
    assert told(of_some) == told(theirs)
    assert of_some.spend.tolist() == theirs.spend.tolist()
