"""The Square emulator behaves as Square's OpenAPI description says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sandbox.square import SquareSandbox
from connectors.sandbox.state import NO_FAULTS, Faults

pytestmark = pytest.mark.anyio

# A vendor's answer; the tests look into it.
Json = Any

TOKEN = "EAAA_test"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Return the time set."""
        return self.now


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat(timespec="milliseconds")


def a_customer(number: int, minutes: float, **more: object) -> dict[str, object]:
    return {
        "id": f"CUST{number:04d}",
        "given_name": "Bob",
        "family_name": f"Example{number:04d}",
        "email_address": f"bob{number}@example.com",
        "created_at": ago(10_000 - number),
        "updated_at": ago(minutes),
        "version": 1,
    } | more


def an_order(number: int, minutes: float, location: str = "L1") -> dict[str, object]:
    return {
        "id": f"ORD{number:04d}",
        "location_id": location,
        "customer_id": "CUST0001",
        "state": "COMPLETED",
        "created_at": ago(minutes + 5),
        "updated_at": ago(minutes),
        "closed_at": ago(minutes),
        "version": 3,
        "total_money": {"amount": 1250, "currency": "USD"},
    }


def a_seller(
    customers: int = 0, faults: Faults = NO_FAULTS, clock: Clock | None = None, lag: float = 0
) -> SquareSandbox:
    seller = SquareSandbox(
        access_token=TOKEN, faults=faults, clock=clock or Clock(), index_lag_seconds=lag
    )
    seller.put("locations", {"id": "L1", "name": "Main", "created_at": ago(1), "currency": "USD"})
    for number in range(1, customers + 1):
        seller.put("customers", a_customer(number, minutes=1000 - number))
    return seller


async def call(
    seller: SquareSandbox, path: str, body: dict[str, object] | None = None, token: str = TOKEN
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Square-Version": "2025-08-20"}
    transport = httpx.ASGITransport(seller.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://square.example.com"
    ) as client:
        if body is None:
            return await client.get(path, headers=headers)
        return await client.post(path, json=body, headers=headers)


async def ask(seller: SquareSandbox, path: str, body: dict[str, object] | None = None) -> Json:
    response = await call(seller, path, body)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(
    seller: SquareSandbox, path: str, name: str, body: dict[str, object], key: str = "id"
) -> list[str]:
    found: list[str] = []
    asked = dict(body)
    for _ in range(200):
        page = await ask(seller, path, asked)
        found += [item[key] for item in page.get(name, [])]
        if "cursor" not in page:
            return found
        asked["cursor"] = page["cursor"]
    raise AssertionError("the listing does not end")


def updated_between(start: str, end: str) -> dict[str, object]:
    return {"filter": {"updated_at": {"start_at": start, "end_at": end}}}


async def code_of(seller: SquareSandbox, path: str, body: dict[str, object]) -> str:
    response = await call(seller, path, body)
    assert response.status_code == 400
    code = response.json()["errors"][0]["code"]
    assert isinstance(code, str)
    return code


async def test_wrong_token_is_401_with_squares_error() -> None:
    response = await call(a_seller(), "/v2/locations", token="other")
    assert response.status_code == 401
    (error,) = response.json()["errors"]
    assert (error["category"], error["code"]) == ("AUTHENTICATION_ERROR", "UNAUTHORIZED")


async def test_customers_are_found_by_update_but_sorted_by_creation() -> None:
    seller = a_seller(30)
    seller.put("customers", a_customer(3, minutes=1, version=2))
    body: dict[str, object] = {
        "limit": 4,
        "query": updated_between(ago(990), ago(0)) | {"sort": {"field": "CREATED_AT"}},
    }
    found = await listed(seller, "/v2/customers/search", "customers", body)
    assert found == ["CUST0003", *[f"CUST{n:04d}" for n in range(10, 31)]]


async def test_customers_cannot_be_sorted_by_update() -> None:
    sort: dict[str, object] = {"query": {"sort": {"field": "UPDATED_AT"}}}
    assert await code_of(a_seller(), "/v2/customers/search", sort) == "INVALID_VALUE"


async def test_default_sort_is_by_name_and_descends_when_asked() -> None:
    seller = a_seller()
    for number, name in enumerate(("Zoe", "adam", "Mia")):
        seller.put("customers", a_customer(number, 1, given_name=name))
    query: dict[str, object] = {"query": {"sort": {"field": "DEFAULT", "order": "DESC"}}}
    body = await ask(seller, "/v2/customers/search", query)
    assert [c["given_name"] for c in body["customers"]] == ["Zoe", "Mia", "adam"]


async def test_pages_are_short_now_and_then_and_still_complete() -> None:
    seller = a_seller(200, Faults(throttle=False))
    sizes: list[int] = []
    body: dict[str, object] = {"limit": 10}
    for _ in range(60):
        page = await ask(seller, "/v2/customers/search", body)
        sizes.append(len(page["customers"]))
        if "cursor" not in page:
            break
        body["cursor"] = page["cursor"]
    assert sum(sizes) == 200
    assert any(size < 10 for size in sizes[:-1])


async def test_fresh_update_is_not_found_before_the_index_has_caught_up() -> None:
    clock = Clock()
    seller = a_seller(clock=clock, lag=30)
    seller.put("customers", a_customer(1, minutes=0.25))
    query: dict[str, object] = {"query": updated_between(ago(60), ago(-60))}
    assert await ask(seller, "/v2/customers/search", query) == {}
    clock.now += timedelta(seconds=30)
    assert len((await ask(seller, "/v2/customers/search", query))["customers"]) == 1


async def test_cursor_of_another_query_is_refused() -> None:
    seller = a_seller(20)
    page = await ask(seller, "/v2/customers/search", {"limit": 5})
    foreign: dict[str, object] = {
        "cursor": page["cursor"],
        "query": {"sort": {"field": "CREATED_AT"}},
    }
    assert await code_of(seller, "/v2/customers/search", foreign) == "INVALID_CURSOR"


@pytest.mark.parametrize(("limit", "code"), [(0, "VALUE_TOO_LOW"), (101, "VALUE_TOO_HIGH")])
async def test_limit_out_of_range_is_refused(limit: int, code: str) -> None:
    assert await code_of(a_seller(), "/v2/customers/search", {"limit": limit}) == code


async def test_orders_need_locations() -> None:
    assert await code_of(a_seller(), "/v2/orders/search", {}) == "MISSING_REQUIRED_PARAMETER"


async def test_order_update_filter_demands_the_same_sort_field() -> None:
    filtered = {"filter": {"date_time_filter": {"updated_at": {"start_at": ago(60)}}}}
    body: dict[str, object] = {"location_ids": ["L1"], "query": filtered}
    assert await code_of(a_seller(), "/v2/orders/search", body) == "BAD_REQUEST"


async def test_orders_of_the_location_come_in_update_order() -> None:
    seller = a_seller()
    for number in range(1, 8):
        seller.put("orders", an_order(number, minutes=60 - number))
    seller.put("orders", an_order(8, minutes=1, location="L2"))
    body: dict[str, object] = {
        "location_ids": ["L1"],
        "limit": 2,
        "query": {
            "filter": {
                "date_time_filter": {"updated_at": {"start_at": ago(58), "end_at": ago(54)}}
            },
            "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
        },
    }
    found = await listed(seller, "/v2/orders/search", "orders", body)
    assert found == [f"ORD{n:04d}" for n in (2, 3, 4, 5, 6)]
    entries = await listed(
        seller, "/v2/orders/search", "order_entries", body | {"return_entries": True}, "order_id"
    )
    assert entries == found


async def test_refunds_are_listed_by_update() -> None:
    seller = a_seller()
    for number in range(3):
        seller.put(
            "refunds",
            {
                "id": f"R{number}",
                "status": "COMPLETED",
                "order_id": "ORD0001",
                "location_id": "L1",
                "amount_money": {"amount": 500, "currency": "USD"},
                "created_at": ago(600_000),
                "updated_at": ago(30 - number),
            },
        )
    window = f"updated_at_begin_time={ago(29)}&sort_field=UPDATED_AT&sort_order=ASC&limit=1"
    window = window.replace("+", "%2B")
    first = await ask(seller, f"/v2/refunds?{window}")
    second = await ask(seller, f"/v2/refunds?{window}&cursor={first['cursor']}")
    assert [r["id"] for r in first["refunds"] + second["refunds"]] == ["R1", "R2"]
    # Without an update range the default is the last year by creation.
    assert await ask(seller, "/v2/refunds") == {}


async def test_loyalty_accounts_and_events_are_searched_thirty_at_a_time() -> None:
    seller = a_seller(faults=Faults(throttle=False))
    seller.put(
        "loyalty_accounts",
        {
            "id": "LA1",
            "program_id": "P1",
            "balance": 40,
            "customer_id": "CUST0001",
            "mapping": {"id": "M1", "phone_number": "+15125550142"},
            "created_at": ago(900),
            "updated_at": ago(1),
        },
    )
    for number in range(45):
        seller.put(
            "loyalty_events",
            {
                "id": f"E{number:02d}",
                "type": "ACCUMULATE_POINTS",
                "loyalty_account_id": "LA1",
                "created_at": ago(500 - number),
                "accumulate_points": {"loyalty_program_id": "P1", "points": 2},
            },
        )
    accounts = await ask(
        seller, "/v2/loyalty/accounts/search", {"query": {"customer_ids": ["CUST0001"]}}
    )
    assert accounts["loyalty_accounts"][0]["balance"] == 40
    found = await listed(seller, "/v2/loyalty/events/search", "events", {})
    assert found == [f"E{n:02d}" for n in range(44, -1, -1)]
    assert await code_of(seller, "/v2/loyalty/events/search", {"limit": 31}) == "VALUE_TOO_HIGH"


async def test_deleted_customer_vanishes_and_only_the_events_tell() -> None:
    seller = a_seller(2)
    seller.delete("customers", "CUST0001", NOW - timedelta(minutes=1))
    found = await listed(seller, "/v2/customers/search", "customers", {})
    assert found == ["CUST0002"]
    query: dict[str, object] = {"query": {"filter": {"event_types": ["customer.deleted"]}}}
    (event,) = (await ask(seller, "/v2/events", query))["events"]
    assert event["data"] == {"type": "customer", "id": "CUST0001", "deleted": True}


async def test_catalog_shows_deleted_objects_only_when_asked() -> None:
    seller = a_seller()
    for number in range(2):
        item = {"type": "ITEM", "id": f"I{number}", "updated_at": ago(9), "version": 1}
        seller.put("catalog", item)
    seller.delete("catalog", "I0", NOW)
    assert [o["id"] for o in (await ask(seller, "/v2/catalog/list"))["objects"]] == ["I1"]
    search: dict[str, object] = {"begin_time": ago(5), "include_deleted_objects": True}
    (gone,) = (await ask(seller, "/v2/catalog/search", search))["objects"]
    assert (gone["id"], gone["is_deleted"]) == ("I0", True)


async def test_too_many_requests_are_429_until_the_next_second() -> None:
    clock = Clock()
    seller = a_seller(faults=Faults(rate_multiplier=0.1), clock=clock)
    statuses = [(await call(seller, "/v2/locations")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = await call(seller, "/v2/locations")
    assert refused.json()["errors"][0]["code"] == "RATE_LIMITED"
    clock.now += timedelta(seconds=1)
    assert (await call(seller, "/v2/locations")).status_code == 200


async def test_duplicate_fault_repeats_a_customer_across_the_page_boundary() -> None:
    seller = a_seller(6, Faults(duplicate_rate=1.0))
    for query in ({}, {"query": updated_between(ago(5000), ago(0))}):
        found = await listed(seller, "/v2/customers/search", "customers", {"limit": 4, **query})
        assert len(found) > len(set(found)) == 6


async def test_customer_without_name_address_and_number_is_never_found() -> None:
    seller = a_seller(1)
    nobody: dict[str, object] = {
        "id": "CUST9999",
        "note": "instant",
        "created_at": ago(9),
        "updated_at": ago(9),
    }
    seller.put("customers", nobody)
    assert await listed(seller, "/v2/customers/search", "customers", {}) == ["CUST0001"]
