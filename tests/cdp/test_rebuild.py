"""A rebuild: what whole tables give is what batches gave, and only what differs is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Select, Table, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import Database
from cdp.deciding import Author
from cdp.rebuild import rebuild
from cdp.stewardship import merge_customers
from cdp.tables import customer, purchase_day, sales_order
from tests.cdp.ingesting import WORKSPACE, take_mixed

pytestmark = pytest.mark.anyio

Row = tuple[str, Mapping[str, object]]


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild of several slices: of so few orders it would see none to part them by."""
    monkeypatch.setattr("cdp.rebuild.SAMPLED_PERCENT", 100)


TOKYO = replace(WORKSPACE, timezone="Asia/Tokyo")
CUSTOMERS, ORDERS = 8, 60


def a_history(random: Random) -> Iterator[Row]:
    """Orders of some people on a few days: of several a day, with lines, refunds and currencies."""
    for number in range(CUSTOMERS):
        yield "customers", {"id": f"c{number}", "first_name": f"Name {number}"}
    for on in ("2024-06-01", "2024-06-03"):
        rate = {"base": "EUR", "currency": "USD", "on": on, "rate": "0.90"}
        yield "exchange_rates", rate
    yield "products", {"id": "tea", "category": "Tea"}
    for number in range(ORDERS):
        day, hour = random.randint(1, 4), random.randint(0, 23)
        moment = f"2024-06-{day:02}T{hour:02}:30:00Z"
        order = {
            "id": f"o{number}",
            "customer_id": f"c{random.randrange(CUSTOMERS - 1)}",
            "placed_at": "2099-01-01T00:00:00Z" if number % 20 == 7 else moment,
            "currency": random.choice(("EUR", "EUR", "USD", "JPY")),
            "total": random.choice(("10", "10.00", "29.90")),
            "status": random.choice(("completed", "completed", "refunded", "cancelled")),
            "channel": random.choice(("web", "till", None)),
            "lines": [
                {"quantity": 1, "unit_price": "5.50", **random.choice(_SOLD)}
                for _ in range(random.randrange(3))
            ],
        }
        yield "orders", order
        if random.random() < 0.3:
            yield (
                "refunds",
                {
                    "id": f"r{number}",
                    "order_id": f"o{number}",
                    "amount": "10",
                    "currency": random.choice(("EUR", "USD", "CHF")),
                    "refunded_at": random.choice((moment, "2099-02-01T00:00:00Z")),
                },
            )
    for number in range(CUSTOMERS):
        message = {"id": f"m{number}", "customer_id": f"c{number % 3}", "channel": "email"}
        yield "messages", {**message, "kind": "opened", "occurred_at": "2024-06-02T10:00:00Z"}


_SOLD = ({"product_id": "tea"}, {"category": "Cups"}, {"category": "Tea"}, {"title": "A thing"})


async def _told(
    connection: AsyncConnection, *others: ColumnElement[str]
) -> Sequence[Sequence[object]]:
    """Every row of days and of customers, numbers as they are written."""
    rows: list[Sequence[object]] = []
    for table in (purchase_day, customer):
        found = await connection.execute(_written(table, *others))
        rows += [tuple(row) for row in found]
    return rows


def _written(table: Table, *others: ColumnElement[str]) -> Select[Any]:
    columns = [
        one if isinstance(one.type, JSONB) else cast(one, Text)
        for one in table.c
        if one.name not in ("updated_at", "search")
    ]
    return select(*columns, *others).order_by(*table.primary_key)


async def _a_shop(connection: AsyncConnection) -> None:
    await take_mixed(connection, list(a_history(Random(5))))
    ids = (await connection.scalars(select(customer.c.id).order_by(customer.c.id).limit(2))).all()
    await merge_customers(connection, list(ids), Author("ann", "One person."), WORKSPACE)


async def test_a_rebuild_gives_what_batches_gave_whatever_the_rows_had_become(
    connection: AsyncConnection,
) -> None:
    await _a_shop(connection)
    before = await _told(connection)
    day = purchase_day.c
    await connection.execute(purchase_day.delete().where(day.source_profile_id % 3 == 0))
    await connection.execute(purchase_day.update().where(day.order_count == 1).values(refunded=9))
    stray = {"order_count": 1, "priced_order_count": 1, "gross_spend": 1, "refunded": 0}
    (profile_id,) = await connection.scalars(select(func.min(sales_order.c.source_profile_id)))
    await connection.execute(
        purchase_day.insert().values(
            source_profile_id=profile_id, on=func.current_date(), qualifying_spend=1,
            unpriced_count=0, **stray,
        )
    )  # fmt: skip
    await connection.execute(customer.update().values(order_count=77, favourite_channel="post"))
    await connection.execute(customer.update().values(messages_opened=5))
    assert await rebuild(connection, WORKSPACE) == CUSTOMERS - 1
    assert await _told(connection) == before


async def test_a_rebuild_for_other_days_gives_what_batches_give_for_them(
    connection: AsyncConnection,
) -> None:
    async def days() -> Sequence[Sequence[object]]:
        columns = [one for one in purchase_day.c if one.name != "source_profile_id"]
        told = [one if isinstance(one.type, JSONB) else cast(one, Text) for one in columns]
        found = await connection.execute(select(*told))
        return sorted((tuple(row) for row in found), key=repr)

    async with connection.begin_nested() as elsewhere:
        await take_mixed(connection, list(a_history(Random(6))), workspace=TOKYO)
        wanted = await days()
        await elsewhere.rollback()
    await take_mixed(connection, list(a_history(Random(6))))
    assert await days() != wanted
    await rebuild(connection, TOKYO)
    assert await days() == wanted


async def test_a_rebuild_writes_no_row_that_stays_as_it_is(connection: AsyncConnection) -> None:
    await _a_shop(connection)
    place: ColumnElement[str] = literal_column("ctid::text")
    before = await _told(connection, place)
    await rebuild(connection, WORKSPACE)
    assert await _told(connection, place) == before
    await connection.execute(
        customer.update().values(gross_spend=customer.c.gross_spend + 1).where(_is_first())
    )
    await rebuild(connection, WORKSPACE)
    moved = [row for row, old in zip(await _told(connection, place), before, strict=True)
             if row != old]  # fmt: skip
    assert len(moved) == 1


def _is_first() -> ColumnElement[bool]:
    return customer.c.id == select(func.min(customer.alias().c.id)).scalar_subquery()


async def test_readers_see_the_former_facts_until_a_rebuild_is_committed(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        await _a_shop(connection)
    spent = "SELECT sum(gross_spend), (SELECT sum(gross_spend) FROM purchase_day) FROM customer"
    before = await database.reader.fetchrow(spent)
    async with database.transaction() as connection:
        await rebuild(connection, replace(WORKSPACE, currency="USD"))
        assert await database.reader.fetchrow(spent) == before
    after = await database.reader.fetchrow(spent)
    assert after != before
    assert after is not None
    assert after[0] == after[1]
    left = "SELECT count(*) FROM pg_class WHERE relname IN ('priced_order', 'changed_day')"
    assert await database.reader.fetchval(left) == 0
