"""Stored scores: those of the models, in force at once, and made again for whoever changes."""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Table, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox, tables
from cdp.filters import predicate
from cdp.forecasting import CAUSE, Scored, score_as_of
from cdp.query import count_customers, present
from cdp.scoring.reading import read_order_days, read_subscriptions
from cdp.segments.refresh import WHOLE_FROM, refresh_step
from cdp.workspace import Workspace
from tests.cdp.builders import a_customer, a_record
from tests.cdp.scoring.shop import CUSTOMERS, NOW, TODAY, a_shop, add_days, traits_of

pytestmark = pytest.mark.anyio

WORKSPACE: Final = Workspace(timezone="UTC", horizon_days=120)


async def scored(connection: AsyncConnection) -> Scored:
    return await score_as_of(connection, WORKSPACE, NOW, None)


async def stored(connection: AsyncConnection) -> dict[int, dict[str, Any]]:
    rows = await connection.execute(select(tables.score))
    return {row["customer_id"]: dict(row) for row in rows.mappings()}


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def follow(connection: AsyncConnection) -> None:
    later = datetime.now(UTC) + timedelta(seconds=1)
    while await refresh_step(connection, WORKSPACE, later) is not None:
        pass


async def count(connection: AsyncConnection, table: Table) -> int:
    return await connection.scalar(select(func.count()).select_from(table)) or 0


async def test_everybody_who_ordered_is_scored_and_traits_tell_it(
    connection: AsyncConnection,
) -> None:
    ids = await a_shop(connection)
    nobody = await a_customer(connection)
    told = await scored(connection)
    assert told.report is not None
    assert (told.version, told.scored, told.report.customer_count) == (1, CUSTOMERS, CUSTOMERS)
    cltv = await traits_of(connection, "cltv", NOW, WORKSPACE)
    predicted = sum(Decimal(str(cltv[one]["predicted"])) for one in ids)
    assert predicted == round(Decimal(told.report.total_spend), 2)
    expected = sum(float(str(cltv[one]["expected_orders"])) for one in ids)
    assert expected == pytest.approx(told.report.total_orders.expected, rel=1e-4)
    first = next(one for one in cltv.values() if one["rank"] == 1)
    assert float(str(first["predicted"])) == max(float(str(cltv[one]["predicted"])) for one in ids)
    assert first["model"] == f"{told.report.model} 1"
    assert first["computed_at"] == NOW
    assert first["reason"] is None
    for one in (cltv[each] for each in ids):
        # Who most likely never comes again has an upper bound of zero, and a mean above it.
        assert one["predicted_low"] <= one["predicted_high"]  # type: ignore[operator]
        assert one["total"] == one["historic"] + one["predicted"]  # type: ignore[operator]
    assert cltv[nobody]["predicted"] is None
    assert cltv[nobody]["reason"] is tables.ForecastGap.NO_ORDER
    churn = await traits_of(connection, "churn", NOW, WORKSPACE)
    rows = await stored(connection)
    high = {one for one in ids if churn[one]["risk"] is tables.ChurnRisk.HIGH}
    assert high == {one for one in ids if rows[one]["no_order"] > 2 / 3}
    assert churn[nobody]["risk"] is None


async def test_order_days_are_read_as_they_are_stored(connection: AsyncConnection) -> None:
    ids = await a_shop(connection)
    await connection.execute(
        tables.source_profile.update()
        .where(tables.source_profile.c.id == ids[1])
        .values(customer_id=ids[0])
    )
    days = tables.purchase_day
    await connection.execute(
        days.update().where(days.c.source_profile_id == ids[2]).values(priced_order_count=0)
    )
    read = await read_order_days(connection, WORKSPACE, None)
    rows = await connection.execute(
        select(
            tables.source_profile.c.customer_id,
            days.c.on,
            func.sum(days.c.qualifying_spend).filter(days.c.priced_order_count > 0),
        )
        .join(tables.source_profile, tables.source_profile.c.id == days.c.source_profile_id)
        .group_by(tables.source_profile.c.customer_id, days.c.on)
        .order_by(tables.source_profile.c.customer_id, days.c.on)
    )
    expected = [(one, on.toordinal(), spend) for one, on, spend in rows]
    assert read.customer.tolist() == [row[0] for row in expected]
    assert read.day.tolist() == [row[1] for row in expected]
    assert np.isnan(read.spend).sum() == sum(row[2] is None for row in expected) > 0
    known = ~np.isnan(read.spend)
    assert read.spend[known] == pytest.approx([float(row[2]) for row in expected if row[2]])


async def test_order_days_of_everybody_are_those_of_each(connection: AsyncConnection) -> None:
    ids = await a_shop(connection)
    profile = tables.source_profile
    await connection.execute(
        profile.update().where(profile.c.id.in_(ids[:3])).values(customer_id=ids[4])
    )
    await connection.execute(profile.delete().where(profile.c.id == ids[7]))  # erased meanwhile
    everybody = await read_order_days(connection, WORKSPACE, None)
    each = await read_order_days(connection, WORKSPACE, None, select(profile.c.customer_id))
    assert everybody.customer.tolist() == each.customer.tolist()
    assert everybody.day.tolist() == each.day.tolist()
    assert everybody.spend == pytest.approx(each.spend, nan_ok=True)
    assert not {ids[0], ids[7]} & set(everybody.customer.tolist())


async def test_a_backlog_is_scored_with_everybody_and_not_once_more(
    connection: AsyncConnection,
) -> None:
    ids = await a_shop(connection)
    await outbox.note(connection, range(ids[0], ids[0] + WHOLE_FROM + 1), "ingest")
    later = datetime.now(UTC) + timedelta(days=1)
    await outbox.note(connection, [ids[0]], "ingest", later)
    waiting = tables.touched_customer
    await connection.execute(
        waiting.update().where(waiting.c.due_at < later).values(due_at=NOW)  # when it is scored
    )
    await scored(connection)
    rows = await connection.execute(select(waiting.c.due_at))
    assert [row[0] for row in rows] == [later]  # what is yet to come waits on
    due = await connection.scalars(select(tables.segment.c.due_cause))
    assert set(due) == {CAUSE}


async def test_who_changes_is_scored_again_as_a_whole_scoring_by_the_same_model_would(
    connection: AsyncConnection,
) -> None:
    ids = await a_shop(connection)
    await scored(connection)
    before = await stored(connection)
    # One orders again, one is merged away, one is new.
    busy, gone, survivor = ids[3], ids[4], ids[5]
    await add_days(connection, [busy], [TODAY], [70.0])
    await connection.execute(
        tables.source_profile.update()
        .where(tables.source_profile.c.id == gone)
        .values(customer_id=survivor)
    )
    await connection.execute(tables.customer.delete().where(tables.customer.c.id == gone))
    new = await a_customer(connection)
    await add_days(connection, [new, survivor], [TODAY, TODAY], [20.0, 35.0])
    await outbox.note(connection, [busy, gone, survivor, new], "ingest")
    await follow(connection)
    some = await stored(connection)
    assert gone not in some
    assert some[new]["predicted"] > 0
    assert some[busy]["expected_orders"] > before[busy]["expected_orders"]
    untouched = set(ids) - {busy, gone, survivor}
    assert {one: before[one] for one in untouched} == {one: some[one] for one in untouched}
    for one in (busy, survivor, new):
        above = sum(some[each]["predicted"] > some[one]["predicted"] for each in untouched)
        assert abs(some[one]["rank"] - above) <= 4
    # Too many at once to look at one by one: everybody, by the stored model.
    await connection.execute(
        insert(tables.touched_customer).values(cause="ingest", ids=[busy] * 100_001)
    )
    await follow(connection)
    everybody = await stored(connection)
    assert everybody.keys() == some.keys()
    for name in ("predicted", "predicted_low", "predicted_high", "no_order", "alive"):
        # Bounds are interpolated in tables that customers share; all else is equal to the digit.
        near = pytest.approx(_values(some, name), abs=0.02, rel=1e-3)
        assert _values(everybody, name) == near
    by_value = sorted(everybody.values(), key=lambda row: -row["predicted"])
    assert [row["rank"] for row in by_value[:3]] == [1, 2, 3]


def _values(rows: dict[int, dict[str, Any]], name: str) -> list[float]:
    return [float(rows[one][name]) for one in sorted(rows)]


async def test_a_shop_that_has_seen_too_little_has_cut_points_and_a_reason_for_the_rest(
    connection: AsyncConnection,
) -> None:
    customers = [await a_customer(connection) for _ in range(5)]
    for place, one in enumerate(customers[:4]):
        await add_days(connection, [one], [TODAY - timedelta(days=place)], [10.0 + place])
    assert (await traits_of(connection, "rfm", NOW, WORKSPACE))[customers[0]]["group"] is None
    cltv = await traits_of(connection, "cltv", NOW, WORKSPACE)
    assert cltv[customers[0]]["reason"] is tables.ForecastGap.NOT_SCORED
    told = await scored(connection)
    assert told.report is None
    assert told.cut_points is not None
    cltv = await traits_of(connection, "cltv", NOW, WORKSPACE)
    assert cltv[customers[0]]["reason"] is tables.ForecastGap.TOO_FEW_CUSTOMERS
    assert cltv[customers[4]]["reason"] is tables.ForecastGap.NO_ORDER
    assert cltv[customers[0]]["model"] is None
    rfm = await traits_of(connection, "rfm", NOW, WORKSPACE)
    assert rfm[customers[4]]["group"] is tables.RfmGroup.PROSPECT
    assert rfm[customers[4]]["shopify_group"] is tables.ShopifyRfmGroup.PROSPECTS
    assert rfm[customers[4]]["code"] is None
    assert rfm[customers[0]]["recency_score"] == 4
    await outbox.note(connection, customers, "ingest")
    await follow(connection)
    assert await count(connection, tables.score) == 0


async def test_a_scoring_of_the_past_knows_nothing_later_and_stays_there(
    connection: AsyncConnection,
) -> None:
    customer_id = await a_customer(connection)
    for day in (40, 30, 5):
        await a_record(
            connection,
            tables.sales_order,
            customer_id,
            placed_at=days_ago(day),
            currency="EUR",
            total=10,
        )
    await add_days(
        connection, [customer_id] * 3, [TODAY - timedelta(days=one) for one in (40, 30, 5)], [9] * 3
    )
    past = days_ago(20)
    read = await read_order_days(connection, WORKSPACE, past)
    assert [date.fromordinal(day) for day in read.day.tolist()] == [
        TODAY - timedelta(days=40),
        TODAY - timedelta(days=30),
    ]
    assert read.spend.tolist() == [10, 10]
    told = await score_as_of(connection, WORKSPACE, NOW, past)
    assert told.cut_points is not None
    assert told.cut_points.recency_days == (10, 10, 10, 10)
    assert told.cut_points.frequency == (2, 2, 2, 2)
    assert told.cut_points.monetary == (Decimal(20),) * 4


async def test_every_version_is_kept_and_segments_are_looked_at_again(
    connection: AsyncConnection,
) -> None:
    customer_id = await a_customer(connection)
    await add_days(connection, [customer_id], [TODAY], [10.0])
    await follow(connection)
    assert not await connection.scalar(
        select(func.count()).where(tables.segment.c.due_at <= func.clock_timestamp())
    )
    first, second = await scored(connection), await scored(connection)
    assert (first.version, second.version) == (1, 2)
    assert await count(connection, tables.score_model) == 2
    assert await connection.scalar(select(tables.score_basis.c.version)) == 2
    due = await connection.scalars(select(tables.segment.c.due_cause))
    assert set(due) == {"scored"}


async def test_subscribers_are_told_how_likely_all_their_plans_end(
    connection: AsyncConnection,
) -> None:
    async def subscribe(customer_id: int, began: int, ended: int | None = None) -> None:
        await a_record(
            connection,
            tables.subscription,
            customer_id,
            plan="box",
            status="active" if ended is None else "cancelled",
            started_at=days_ago(began),
            ended_at=None if ended is None else days_ago(ended),
        )

    one, two, gone = [
        await a_customer(connection, active_subscriptions=n, monthly_value=10 * n)
        for n in (1, 2, 0)
    ]
    for began, ended in ((300, 200), (250, 100), (200, 20)):
        await subscribe(gone, began, ended)
    await subscribe(one, 150)
    await subscribe(two, 150)
    await subscribe(two, 150)
    await scored(connection)
    told = await traits_of(connection, "subscription", NOW, WORKSPACE)
    single = told[one]["churn_probability"]
    assert isinstance(single, float)
    assert 0 < single < 1
    assert told[two]["churn_probability"] == pytest.approx(single**2, abs=1e-6)
    assert told[gone]["churn_probability"] is None
    months = WORKSPACE.horizon_days / 30.4375 / -math.log(1 - single)
    worth = [float(str(told[who]["lifetime_value"])) for who in (one, two)]
    assert worth == pytest.approx([10 * months, 20 * months], abs=0.01)
    assert told[gone]["lifetime_value"] is None


@pytest.mark.parametrize("told", ["ended_at", "cancelled_at", "updated_at"])
async def test_subscriptions_of_a_past_moment_know_no_later_end(
    connection: AsyncConnection, told: str
) -> None:
    plan: dict[str, Any] = {"status": "cancelled", "learned_at": NOW, told: days_ago(50)}
    customer_id = await a_customer(connection)
    began = days_ago(300)
    await a_record(connection, tables.subscription, customer_id, started_at=began, **plan)
    before, since = [await read_subscriptions(connection, days_ago(ago)) for ago in (100, 20)]
    assert (before.has_ended.tolist(), before.goes_on.tolist()) == ([False], [True])
    assert (since.has_ended.tolist(), since.goes_on.tolist()) == ([True], [False])
    assert (before.days.tolist(), since.days.tolist()) == ([200], [250])


async def test_a_subscription_that_hardly_ever_ends_is_worth_ten_years_of_fees(
    connection: AsyncConnection,
) -> None:
    subscribers = {
        end: await a_customer(connection, active_subscriptions=1, monthly_value=Decimal("9.99"))
        for end in (0.0, 0.000_001, 1.0)
    }
    await scored(connection)
    await connection.execute(
        tables.score.insert(),
        [
            {"customer_id": number, "computed_at": NOW, "plan_end": end}
            for end, number in subscribers.items()
        ],
    )
    told = await traits_of(connection, "subscription", NOW, WORKSPACE)
    worth = {end: told[number]["lifetime_value"] for end, number in subscribers.items()}
    assert worth[0.0] == worth[0.000_001] == Decimal("1198.80")
    assert worth[1.0] == pytest.approx(
        Decimal(str(9.99 * WORKSPACE.horizon_days / 30.4375 / 13.8155)), abs=Decimal("0.01")
    )


@pytest.mark.parametrize(
    ("filter_", "read"),
    [
        ({"purchases": {"netSpend": {"gte": "10"}}}, set()),
        ({"rfm": {"group": {"eq": "CHAMPIONS"}}}, {"score_basis"}),
        ({"cltv": {"predicted": {"gte": "10"}}}, {"score"}),
        ({"cltv": {"model": {"eq": "MBG_NBD 1"}}}, {"score", "score_basis"}),
    ],
)
async def test_who_asks_nothing_of_a_score_does_not_read_it(
    connection: AsyncConnection, filter_: dict[str, Any], read: set[str]
) -> None:
    scope = present(NOW, WORKSPACE)
    condition = predicate(filter_, scope, workspace=WORKSPACE, may_see_personal=True)
    query = count_customers(scope, where=[condition]).compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    plan = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {query}")
    told = re.findall(r'"Relation Name": "(\w+)"', json.dumps(plan.scalar_one()))
    assert set(told) == {"customer"} | read
