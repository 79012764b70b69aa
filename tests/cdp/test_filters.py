"""Filters: what each operator means, of nulls too, and what is refused, with its place."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.bearers import identified_by
from cdp.clock import Clock, clock_of
from cdp.errors import BadInput, Forbidden
from cdp.fields import FIELDS, GROUPS, RELATIONS, Field
from cdp.filters import MAX_DEPTH, predicate, read_filter
from cdp.operands import MAX_LIST
from cdp.operators import OPERATORS
from cdp.query import present
from cdp.reading import MAX_CLAUSES
from tests.cdp.builders import (
    NOW,
    WORKSPACE,
    a_customer,
    a_profile,
    a_record,
    an_identifier,
    an_order,
    days_ago,
)

pytestmark = pytest.mark.anyio


def condition_of(given: object, *, may_see_personal: bool = True) -> ColumnElement[bool]:
    """What a filter asks of a customer."""
    scope = present(NOW, WORKSPACE)
    return predicate(given, scope, workspace=WORKSPACE, may_see_personal=may_see_personal)


async def found(
    connection: AsyncConnection, given: object, *, may_see_personal: bool = True
) -> set[str | None]:
    """The first names of the customers for whom a filter holds."""
    condition = condition_of(given, may_see_personal=may_see_personal)
    rows = await connection.scalars(select(tables.scored_customer.c.first_name).where(condition))
    return set(rows)


async def three_people(connection: AsyncConnection) -> None:
    """Ann buys much and lives in Berlin, Bob bought once, of Cid nothing is known."""
    await a_customer(
        connection,
        first_name="Ann",
        email="ann@example.com",
        phone="+447700900001",
        country="DE",
        city="Berlin",
        attributes={"shoe_size": "38", "vip": True, "points": 12.5},
        created_at=days_ago(10),
        order_count=5,
        gross_spend=Decimal("250.10"),
        last_order_at=days_ago(2),
    )
    await a_customer(
        connection,
        first_name="Bob",
        email="bob_100%@example.org",
        country="GB",
        attributes={"shoe_size": "44"},
        order_count=1,
        gross_spend=10,
        last_order_at=days_ago(100),
    )
    await a_customer(connection, first_name="Cid")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, "Ann Bob Cid"),
        ({}, "Ann Bob Cid"),
        ({"country": {"eq": "DE"}}, "Ann"),
        ({"country": {"eq": " gb"}}, "Bob"),
        ({"country": {"ne": "DE"}}, "Bob Cid"),
        ({"country": {"in": ["DE", "GB"]}}, "Ann Bob"),
        ({"country": {"in": []}}, ""),
        ({"country": {"notIn": ["DE"]}}, "Bob Cid"),
        ({"country": {"notIn": []}}, "Ann Bob Cid"),
        ({"country": {"isNull": True}}, "Cid"),
        ({"country": {"isNull": False}}, "Ann Bob"),
        ({"country": {}}, "Ann Bob Cid"),
        ({"city": {"contains": "ERL"}}, "Ann"),
        ({"city": {"startsWith": "ber"}}, "Ann"),
        ({"email": {"contains": "_100%"}}, "Bob"),
        ({"email": {"contains": "n_e"}}, ""),
        ({"email": {"eq": " ANN@Example.com "}}, "Ann"),
        ({"email": {"in": ["Ann@EXAMPLE.com", "nobody"]}}, "Ann"),
        ({"phone": {"eq": "07700 900001"}}, "Ann"),
        ({"phone": {"contains": "7700 900"}}, "Ann"),
        ({"purchases": {"netSpend": {"gt": "10"}}}, "Ann"),
        ({"purchases": {"netSpend": {"gte": 10}}}, "Ann Bob"),
        ({"purchases": {"netSpend": {"eq": "250.10"}}}, "Ann"),
        ({"purchases": {"netSpend": {"between": [10, "250.10"]}}}, "Ann Bob"),
        ({"purchases": {"netSpend": {"gt": 5, "lt": 100}}}, "Bob"),
        ({"purchases": {"orderCount": {"in": [0, 5]}}}, "Ann Cid"),
        ({"purchases": {"lastOrderAt": {"withinLast": "P30D"}}}, "Ann"),
        ({"purchases": {"lastOrderAt": {"olderThan": "P3M"}}}, "Bob"),
        ({"purchases": {"lastOrderAt": {"before": "2026-06-01"}}}, "Bob"),
        ({"purchases": {"lastOrderAt": {"after": "2026-06-13T11:00:00Z"}}}, "Ann"),
        ({"rfm": {"recencyDays": {"lte": 30}}}, "Ann"),
        ({"rfm": {"recencyDays": {"ne": 2}}}, "Bob Cid"),
        ({"lifecycle": {"stage": {"eq": "PROSPECT"}}}, "Cid"),
        ({"lifecycle": {"stage": {"notIn": ["PROSPECT"]}}}, "Ann Bob"),
        ({"createdAt": {"withinLast": "P2W"}}, "Ann"),
        ({"createdAt": {"withinLast": "P200Y"}}, "Ann Bob Cid"),
        ({"birthDate": {"olderThan": "P200Y"}}, ""),
        ({"or": [{"country": {"eq": "DE"}}, {"country": {"isNull": True}}]}, "Ann Cid"),
        ({"or": []}, ""),
        ({"and": []}, "Ann Bob Cid"),
        ({"and": [{"country": {"eq": "DE"}}, {"country": {"eq": "GB"}}]}, ""),
        ({"not": {"country": {"eq": "DE"}}}, "Bob Cid"),
        ({"not": {"purchases": {"lastOrderAt": {"after": "2020-01-01"}}}}, "Cid"),
        ({"not": {"not": {"country": {"eq": "DE"}}}}, "Ann"),
        ({"attribute": {"name": "shoe_size", "eq": "38"}}, "Ann"),
        ({"attribute": {"name": "shoe_size", "gt": 40}}, "Bob"),
        ({"attribute": {"name": "points", "between": ["12.5", 13]}}, "Ann"),
        ({"attribute": {"name": "vip", "gt": 0}}, ""),
        ({"attribute": {"name": "vip", "eq": "true"}}, "Ann"),
        ({"attribute": {"name": "vip", "isNull": True}}, "Bob Cid"),
        ({"attribute": {"name": "shoe_size", "ne": "38"}}, "Bob Cid"),
    ],
)
async def test_a_condition_holds_for(
    connection: AsyncConnection, given: object, names: str
) -> None:
    await three_people(connection)
    assert await found(connection, given) == set(names.split())


@pytest.mark.parametrize(
    "given",
    [
        {"country": {"gt": "A"}},
        {"country": {"lower": "A"}},
        {"countri": {"eq": "DE"}},
        {"purchases": {"spend": {"eq": 1}}},
        {"orders": {"any": {}}},
        {"orders": {"none": {"status": {"eq": "payed"}}}},
        {"orders": {"some": {"status": {"notIn": ["paid", ""]}}}},
        {"messages": {"none": {"kind": {"eq": "opn"}}}},
        {"orders": {"some": {"lines": {"sku": {"eq": "A"}}}}},
        {"orders": {"some": {"lines": {"some": {"brand": {"eq": "A"}}}}}},
        {"orders": {"count": {"where": {"brand": {"eq": "A"}}, "gte": 1}}},
        {"segments": {"any": ["vip"]}},
        {"segments": {"in": "vip"}},
        {"orders": {"some": {"purchases": {}}}},
        {"orders": {"count": {"contains": "1"}}},
        {"attribute": {"eq": "x"}},
        {"attribute": {"name": "x", "before": "x"}},
        {"identifier": {"value": "x"}},
        {"identifier": {"kind": "email", "op": "x"}},
        {"identifier": {"kind": "shoe"}},
        {"identifier": {"kind": "handle", "value": "x"}},
        {"identifier": {"kind": "email:x", "value": "x"}},
        {"country": None},
        {"country": {"eq": None}},
        {"country": "DE"},
        {"country": {"eq": 49}},
        {"country": {"eq": "a\0b"}},
        {"country": {"eq": "a\ud800b"}},
        {"country": {"eq": "x" * 1_001}},
        {"country": {"in": "DE"}},
        {"country": {"isNull": "yes"}},
        {"country": {"in": ["DE"] * (MAX_LIST + 1)}},
        {"id": {"eq": "abc"}},
        {"id": {"eq": "9" * 19}},
        {"purchases": {"netSpend": {"gt": "much"}}},
        {"purchases": {"netSpend": {"gt": "NaN"}}},
        {"purchases": {"netSpend": {"gt": "1e99999"}}},
        {"purchases": {"netSpend": {"gt": True}}},
        {"purchases": {"netSpend": {"between": [1]}}},
        {"purchases": {"orderCount": {"eq": 1.5}}},
        {"purchases": {"orderCount": {"eq": 2**63}}},
        {"purchases": {"lastOrderAt": {"before": "yesterday"}}},
        {"purchases": {"lastOrderAt": {"before": "2026-01-01T00:00:00"}}},
        {"purchases": {"lastOrderAt": {"withinLast": "30 days"}}},
        {"purchases": {"lastOrderAt": {"withinLast": "P"}}},
        {"purchases": {"lastOrderAt": {"withinLast": "PT"}}},
        {"purchases": {"lastOrderAt": {"withinLast": "P99999999Y"}}},
        {"purchases": {"lastOrderAt": {"olderThan": "P201Y"}}},
        {"birthDate": {"olderThan": "P7000Y"}},
        {"orders": {"some": {"placedAt": {"withinLast": "P100000M"}}}},
        {"birthDate": {"eq": "2026-02-30"}},
        {"lifecycle": {"stage": {"eq": "SLEEPY"}}},
        {"or": {"country": {"eq": "DE"}}},
        {"not": []},
        [],
        "everybody",
    ],
)
async def test_what_cannot_be_read_is_refused(given: object) -> None:
    with pytest.raises(BadInput) as refusal:
        predicate(given, present(NOW, WORKSPACE), workspace=WORKSPACE, may_see_personal=True)
    assert refusal.value.path is not None
    assert len(str(refusal.value)) < 600


def test_a_refusal_names_the_place_and_what_there_is() -> None:
    given = {"and": [{}, {"orders": {"some": {"or": [{"totl": {"gt": 1}}]}}}]}
    with pytest.raises(BadInput) as refusal:
        predicate(given, present(NOW, WORKSPACE), workspace=WORKSPACE, may_see_personal=True)
    assert refusal.value.path == "and[1].orders.some.or[0].totl"
    assert "total" in refusal.value.todo


def test_a_word_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    given = {"messages": {"none": {"kind": {"in": ["Opened", "opn"]}}}}
    with pytest.raises(BadInput, match=r"'opn'.*There are: sent, delivered,.*replied") as refusal:
        predicate(given, present(NOW, WORKSPACE), workspace=WORKSPACE, may_see_personal=True)
    assert refusal.value.path == "messages.none.kind.in[1]"


def test_a_filter_that_is_too_deep_or_too_long_is_refused() -> None:
    scope = present(NOW, WORKSPACE)
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    long = {"or": [{"country": {"eq": "DE"}}] * (MAX_CLAUSES + 1)}
    for given in (deep, long):
        with pytest.raises(BadInput, match=r"more than \d+"):
            predicate(given, scope, workspace=WORKSPACE, may_see_personal=True)


@pytest.mark.parametrize(
    "given",
    [
        *({name: {}} for name, field in FIELDS.items() if field.is_personal),
        {"attribute": {"name": "x", "eq": "y"}},
        {"identifier": {"kind": "email", "value": "ann@example.com"}},
        {"tickets": {"some": {"subject": {"contains": "x"}}}},
        {"messages": {"some": {"url": {"contains": "x"}}}},
        {"not": {"or": [{"email": {"isNull": True}}]}},
    ],
)
async def test_a_masked_reader_may_not_name_what_is_personal(given: object) -> None:
    with pytest.raises(Forbidden):
        predicate(given, present(NOW, WORKSPACE), workspace=WORKSPACE, may_see_personal=False)


async def test_a_masked_reader_filters_by_the_rest(connection: AsyncConnection) -> None:
    await three_people(connection)
    given = {"country": {"eq": "DE"}, "purchases": {"orderCount": {"gt": 1}}}
    assert await found(connection, given, may_see_personal=False) == {"Ann"}


async def buyers(connection: AsyncConnection) -> None:
    """Ann has two profiles with an order each, one dear; Bob a cheap one; Cid none that counts."""
    ann = await a_customer(connection, first_name="Ann")
    till = await a_profile(connection, ann, source="till")
    await an_order(connection, ann, total=200, channel="web", placed_at=days_ago(300))
    await an_order(connection, till, source="till", total=20, status="paid")
    bob = await a_customer(connection, first_name="Bob")
    await an_order(connection, bob, total=20, channel="web")
    cid = await a_customer(connection, first_name="Cid")
    await an_order(connection, cid, total=500, deleted_at=NOW)
    await an_order(connection, cid, total=500, placed_at=days_ago(-1))
    await an_order(connection, None, total=500)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"orders": {"some": {}}}, "Ann Bob"),
        ({"orders": {"none": {}}}, "Cid"),
        ({"orders": {"some": {"total": {"gte": 100}}}}, "Ann"),
        ({"orders": {"some": {"source": {"eq": "till"}}}}, "Ann"),
        ({"orders": {"some": {"total": {"gte": 100}, "source": {"eq": "till"}}}}, ""),
        ({"orders": {"none": {"total": {"gte": 100}}}}, "Bob Cid"),
        ({"orders": {"every": {"channel": {"eq": "web"}}}}, "Bob Cid"),
        ({"orders": {"every": {"placedAt": {"withinLast": "P30D"}}}}, "Bob Cid"),
        ({"orders": {"some": {"status": {"eq": "completed"}}}}, "Ann Bob"),
        ({"orders": {"some": {"status": {"eq": "COMPLETED"}}}}, "Ann Bob"),
        ({"orders": {"some": {"status": {"in": ["Paid", "Partially Refunded"]}}}}, "Ann"),
        ({"orders": {"some": {"status": {"eq": "processing"}}}}, "Ann"),
        ({"orders": {"some": {"status": {"eq": "draft"}}}}, ""),
        ({"orders": {"every": {"currency": {"eq": "eur"}}}}, "Ann Bob Cid"),
        ({"orders": {"some": {"not": {"channel": {"eq": "web"}}}}}, "Ann"),
        (
            {"orders": {"some": {"or": [{"total": {"lt": 1}}, {"channel": {"eq": "web"}}]}}},
            "Ann Bob",
        ),
        ({"orders": {"count": {"gte": 2}}}, "Ann"),
        ({"orders": {"count": {"eq": 0}}}, "Cid"),
        ({"orders": {"count": {"between": [1, 2]}, "none": {"total": {"gt": 100}}}}, "Bob"),
        ({"not": {"orders": {"some": {}}}}, "Cid"),
    ],
)
async def test_a_condition_on_orders_holds_for(
    connection: AsyncConnection, given: object, names: str
) -> None:
    await buyers(connection)
    assert await found(connection, given) == set(names.split())


async def test_messages_interactions_and_tickets_can_be_asked_about(
    connection: AsyncConnection,
) -> None:
    ann = await a_customer(connection, first_name="Ann")
    await a_customer(connection, first_name="Bob")
    await a_record(
        connection, tables.message, ann, kind="opened", channel="email", occurred_at=days_ago(1)
    )
    await a_record(
        connection, tables.interaction, ann, kind="follow", network="x", occurred_at=days_ago(1)
    )
    await a_record(connection, tables.ticket, ann, status="On hold", opened_at=days_ago(1))
    for given in (
        {"messages": {"some": {"kind": {"in": ["opened", "clicked"]}}}},
        {"messages": {"some": {"kind": {"eq": "OPENED"}}}},
        {"tickets": {"some": {"status": {"eq": "On hold"}}}},
        {"tickets": {"some": {"status": {"in": ["ON HOLD", "closed"]}}}},
        {"interactions": {"count": {"eq": 1}, "some": {"network": {"eq": "x"}}}},
        {"tickets": {"some": {"resolvedAt": {"isNull": True}}}},
    ):
        assert await found(connection, given) == {"Ann"}


async def test_a_merged_id_is_its_survivor(connection: AsyncConnection) -> None:
    ann = await a_customer(connection, first_name="Ann")
    await a_customer(connection, first_name="Bob")
    merged = await a_profile(connection, ann, source="till")
    assert await found(connection, {"id": {"eq": str(merged)}}) == {"Ann"}
    assert await found(connection, {"id": {"in": [ann, merged]}}) == {"Ann"}
    assert await found(connection, {"id": {"ne": merged}}) == {"Bob"}
    assert await found(connection, {"id": {"notIn": [ann]}}) == {"Bob"}
    assert await found(connection, {"id": {"eq": 999_999_999}}) == set()


async def test_an_identifier_finds_who_ever_carried_it(connection: AsyncConnection) -> None:
    ann = await a_customer(connection, first_name="Ann")
    await a_customer(connection, first_name="Bob")
    await an_identifier(connection, ann, "email", "old@example.com", is_current=False)
    await an_identifier(connection, ann, "handle:bluesky", "ann.example.com")
    for given in (
        {"kind": "email", "value": " OLD@example.com"},
        {"kind": "email"},
        {"kind": "handle:bluesky", "value": "@Ann.example.com"},
    ):
        assert await found(connection, {"identifier": given}) == {"Ann"}
    assert await found(connection, {"identifier": {"kind": "email", "value": "nobody"}}) == set()
    assert await found(connection, {"not": {"identifier": {"kind": "email"}}}) == {"Bob"}


@pytest.mark.parametrize("key", ["0", "test", "x" * 400, " padded "])
async def test_own_key_of_a_source_is_found_as_it_is_written(
    connection: AsyncConnection, key: str
) -> None:
    ann = await a_customer(connection, first_name="Ann")
    await an_identifier(connection, ann, "external:shop", key)
    given = {"kind": "external:shop", "value": key}
    assert await found(connection, {"identifier": given}) == {"Ann"}
    assert await found(connection, {"identifier": {**given, "value": f"{key}!"}}) == set()


async def test_identified_by_tells_customers_not_profiles(connection: AsyncConnection) -> None:
    ann = await a_customer(connection)
    other = await a_profile(connection, ann, source="till")
    await an_identifier(connection, other, "loyalty_card", "AB12")
    query = identified_by("loyalty_card", "ab-12", workspace=WORKSPACE)
    assert list(await connection.scalars(query)) == [ann]


async def test_orders_are_asked_by_their_lines(connection: AsyncConnection) -> None:
    ann = await a_customer(connection, first_name="Ann")
    bob = await a_customer(connection, first_name="Bob")
    await a_customer(connection, first_name="Cid")
    product = {"key": "p1", "category": "Tea"}
    await a_record(connection, tables.product, None, **product)
    lines: list[tuple[int, str, Mapping[str, Any]]] = [
        (ann, "o1", {"sku": "A-1", "product_id": "p1", "quantity": 2}),
        (ann, "o2", {"sku": "A-1", "category": "Gifts", "quantity": 1}),
        (bob, "o3", {"sku": "B-1", "category": "Tea", "quantity": 1}),
    ]
    for number, (customer_id, key, line) in enumerate(lines):
        await an_order(connection, customer_id, key=key, placed_at=days_ago(10 * number + 5))
        own = {"order_key": key, "line": "1", **line}
        await a_record(connection, tables.order_line, None, **own)

    async def ask(orders: object) -> set[str | None]:
        return await found(connection, {"orders": orders})

    tea = {"lines": {"some": {"category": {"eq": "Tea"}}}}
    sku = {"lines": {"some": {"sku": {"eq": "A-1"}}}}
    assert await ask({"some": tea}) == {"Ann", "Bob"}
    assert await ask({"none": tea}) == {"Cid"}
    assert await ask({"every": tea}) == {"Bob", "Cid"}
    assert await ask({"some": {"lines": {"count": {"gte": 2}}}}) == set()
    assert await ask({"some": {"lines": {"every": {"quantity": {"gte": 2}}}}}) == {"Ann"}
    assert await ask({"count": {"where": sku, "gte": 2}}) == {"Ann"}
    assert await ask({"count": {"where": sku, "lt": 1}}) == {"Bob", "Cid"}
    lately = {"placedAt": {"withinLast": "P10D"}, **sku}
    assert await ask({"count": {"where": lately, "eq": 1}}) == {"Ann"}
    assert await ask({"count": {"where": lately, "between": [2, 9]}}) == set()
    assert await ask({"count": {"where": {"not": sku}, "in": [1]}}) == {"Bob"}


async def test_money_of_orders_compares_in_the_workspaces_currency(
    connection: AsyncConnection,
) -> None:
    """At the rate of the order's day; of an order without a rate nothing is known."""
    for name, currency, total in (("Ann", "EUR", 150), ("Bob", "JPY", 20_000), ("Cid", "SEK", 999)):
        customer_id = await a_customer(connection, first_name=name)
        order: dict[str, Any] = {
            "key": name,
            "currency": currency,
            "total": total,
            "placed_at": days_ago(3),
        }
        await an_order(connection, customer_id, **order)
        line: dict[str, Any] = {"order_key": name, "line": "1", "unit_price": total, "quantity": 1}
        await a_record(connection, tables.order_line, None, **line)
    for days, rate in ((3, "0.006"), (2, "60")):
        on = days_ago(days).date()
        told: dict[str, Any] = {"on": on, "currency": "JPY", "base": "EUR", "rate": Decimal(rate)}
        await a_record(connection, tables.exchange_rate, None, **told)

    async def ask(order: object) -> set[str | None]:
        return await found(connection, {"orders": {"some": order}})

    assert await ask({"total": {"gt": 140}}) == {"Ann"}
    assert await ask({"total": {"between": ["120.00", 130]}}) == {"Bob"}
    assert await ask({"total": {"isNull": True}}) == {"Cid"}
    assert await ask({"lines": {"some": {"unitPrice": {"lte": 120}}}}) == {"Bob"}
    assert await found(connection, {"orders": {"none": {"total": {"lt": 10_000}}}}) == {"Cid"}


async def test_orders_can_be_asked_whether_they_qualify(connection: AsyncConnection) -> None:
    """By the rule of the facts: not void, and something is left of it."""
    orders: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
        ("Ann", {}, [{"amount": 4}, {"amount": 6, "refunded_at": days_ago(-1)}]),
        ("Bob", {}, [{"amount": 4}, {"amount": 6}]),
        ("Cid", {"status": "cancelled"}, []),
        ("Dee", {"status": "refunded"}, []),
        ("Eve", {"status": "refunded"}, [{"amount": 1}]),
    ]
    for name, order, refunds in orders:
        await an_order(connection, await a_customer(connection, first_name=name), key=name, **order)
        for refund in refunds:
            given = {"currency": "EUR", "refunded_at": days_ago(0), "order_key": name, **refund}
            await a_record(connection, tables.refund, None, **given)
    yes, no = ({"isQualifying": {"eq": answer}} for answer in (True, False))
    assert await found(connection, {"orders": {"some": yes}}) == {"Ann", "Eve"}
    assert await found(connection, {"orders": {"some": no}}) == {"Bob", "Cid", "Dee"}
    scope = present(NOW, WORKSPACE)
    read = read_filter({"orders": {"some": yes}}, scope, workspace=WORKSPACE, may_see_personal=True)
    assert read.clock == Clock()  # when a refund counts, the facts change, and tell of it


async def test_a_condition_tells_what_it_asks_of_the_clock() -> None:
    scope = present(NOW, WORKSPACE)

    def clock(given: object) -> tuple[bool, int | None]:
        read = read_filter(given, scope, workspace=WORKSPACE, may_see_personal=True).clock
        return read.is_daily, read.lag_seconds

    still = [
        {},
        {"country": {"eq": "DE"}},
        {"purchases": {"lastOrderAt": {"after": "2026-03-01"}, "netSpend": {"gt": 1}}},
        {"orders": {"some": {"total": {"gt": 1}}, "count": {"gt": 1}}},
        {"messages": {"none": {"occurredAt": {"after": "2026-03-01"}}}},
        {"birthDate": {"after": "1980-01-01"}},
    ]
    assert [clock(given) for given in still] == [(False, None)] * len(still)
    assert clock({"rfm": {"recencyDays": {"lte": 30}}}) == (True, None)
    assert clock({"not": {"or": [{"lifecycle": {"stage": {"eq": "LOST"}}}]}}) == (True, None)
    assert clock({"birthDate": {"olderThan": "P18Y"}}) == (True, None)
    assert clock({"createdAt": {"withinLast": "PT1H"}}) == (False, 60)
    assert clock({"createdAt": {"withinLast": "P1D"}}) == (False, 864)
    assert clock({"orders": {"none": {"placedAt": {"olderThan": "P1Y"}}}}) == (False, 3600)
    both = {"createdAt": {"withinLast": "P1D"}, "lifecycle": {"stage": {"ne": "NEW"}}}
    assert clock(both) == (True, 864)


async def test_every_trait_that_time_alone_changes_is_known_to(connection: AsyncConnection) -> None:
    bought = {"order_count": 2, "first_order_at": days_ago(90), "last_order_at": days_ago(20)}
    await a_customer(connection, first_name="Ann", **bought)
    now, later = (
        present(moment, WORKSPACE) for moment in (NOW, NOW + timedelta(days=500, hours=5))
    )
    for group, fields in GROUPS.items():
        for name, field in fields.items():
            values = [
                await connection.scalar(select(field.expression(scope))) for scope in (now, later)
            ]
            if values[0] != values[1]:
                assert clock_of(field.expression(now), now) != Clock(), (group, name)


async def test_the_next_look_is_at_midnight_of_the_workspace_or_after_the_lag() -> None:
    def after(clock: Clock) -> datetime | None:
        return clock.next_after(NOW, "Europe/Berlin")

    midnight = datetime(2026, 6, 15, 22, tzinfo=UTC)
    assert after(Clock()) is None
    assert after(Clock(is_daily=True)) == midnight
    assert after(Clock(lag_seconds=60)) == NOW + timedelta(seconds=60)
    assert after(Clock(is_daily=True, lag_seconds=86_400)) == midnight


def _samples() -> Mapping[str, object]:
    return {
        "ID": "1",
        "TEXT": "x",
        "EMAIL": "x@example.com",
        "PHONE": "07700 900001",
        "INTEGER": 1,
        "NUMBER": "1.5",
        "MONEY": 1.5,
        "DATE": "2026-01-31",
        "INSTANT": "2026-01-31T12:00:00+02:00",
        "BOOLEAN": True,
    }


async def test_every_field_takes_every_operator_of_its_type(connection: AsyncConnection) -> None:
    await three_people(connection)
    everybody = await found(connection, {})

    def operand(field: Field[Any], takes: str) -> object:
        values = field.enumeration
        sample = _samples()[field.type.value] if values is None else next(iter(values)).value
        sample = field.words[0] if field.words else sample
        return {
            "VALUE": sample,
            "LIST": [sample],
            "PAIR": [sample, sample],
            "TEXT": "x",
            "BOOLEAN": True,
            "DURATION": "P1Y2M3DT4H",
        }[takes]

    places: list[tuple[tuple[str, ...], Any]] = [
        *(((name,), field) for name, field in FIELDS.items()),
        *(((group, n), field) for group, fields in GROUPS.items() for n, field in fields.items()),
        *(
            ((name, "some", n), field)
            for name, relation in RELATIONS.items()
            for n, field in relation.fields.items()
        ),
        *(
            ((name, "some", inner.name, "some", n), field)
            for name, relation in RELATIONS.items()
            for inner in relation.relations.values()
            for n, field in inner.fields.items()
        ),
    ]
    for path, field in places:
        given: Any = {
            operator: operand(field, takes.value)
            for operator, takes in OPERATORS[field.type].items()
        }
        filters: list[Any] = [{operator: value} for operator, value in given.items()]
        for name in reversed(path):
            filters = [{name: one} for one in filters]
        conditions = [condition_of(one) for each in filters for one in (each, {"not": each})]
        # One statement asks them all: two for each operator would be a thousand.
        asked = select(*conditions).select_from(tables.scored_customer)
        rows = (await connection.execute(asked)).all()
        assert len(rows) == len(everybody)
        for place, one in enumerate(filters):
            answers = [(bool(row[2 * place]), bool(row[2 * place + 1])) for row in rows]
            assert all(holds != fails for holds, fails in answers), one


async def test_an_enumeration_field_tells_its_values() -> None:
    fields = [*FIELDS.values(), *(field for group in GROUPS.values() for field in group.values())]
    for field in fields:
        assert (field.enumeration is not None) == (field.type.value == "ENUM")


async def test_a_date_alone_is_the_start_of_the_workspaces_day(
    connection: AsyncConnection,
) -> None:
    await a_customer(connection, first_name="Ann", created_at=days_ago(0).replace(hour=0))
    # Midnight in Berlin is 22:00 the day before in summer.
    assert await found(connection, {"createdAt": {"gte": "2026-06-15"}}) == {"Ann"}
    assert await found(connection, {"createdAt": {"gte": "2026-06-15T00:00:01Z"}}) == set()


async def test_somebody_is_of_age_on_the_birthday(connection: AsyncConnection) -> None:
    await a_customer(connection, first_name="Ann", birth_date=days_ago(0).replace(year=2008).date())
    assert await found(connection, {"birthDate": {"olderThan": "P18Y"}}) == {"Ann"}
    assert await found(connection, {"birthDate": {"withinLast": "P18Y"}}) == set()
