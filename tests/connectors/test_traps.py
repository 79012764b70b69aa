"""The trap of each vendor's protocol, and that nobody falls into it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp.delivery import Received, Refused
from cdp.records import (
    CampaignRecord,
    LoyaltyEntryRecord,
    OrderRecord,
    ProductRecord,
    Record,
    RefundRecord,
)
from cdp.values import Json
from connectors.base import Abort, Page, Retry, Source, Values
from connectors.conformance.bench import FAST, KEY, Sandbox
from connectors.conformance.cases import CASES
from connectors.ecommerce import shopify
from connectors.ecommerce.shopify import ShopifySource
from connectors.registry import CONNECTORS
from connectors.sandbox import shopify as sandbox_shopify
from connectors.sandbox.bluesky import BlueskySandbox
from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.server import serving
from connectors.sandbox.shopify import ShopifySandbox
from connectors.sandbox.square import SquareSandbox
from connectors.sandbox.state import Faults
from connectors.social.bluesky import BlueskySource

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SQUARE: Values = {"access_token": KEY}
SHOPIFY: Values = {"shop": "sandbox", "access_token": KEY}
BLUESKY: Values = {"identifier": "brand.example.com", "password": KEY}


@asynccontextmanager
async def reading(name: str, sandbox: Sandbox | Starlette, values: Values) -> AsyncIterator[Source]:
    app = sandbox if isinstance(sandbox, Starlette) else sandbox.app
    async with serving(app) as url:
        source = CONNECTORS[name].build({**values, "url": url})
        try:
            yield source
        finally:
            await source.close()


async def read(source: Source, stream: str, cursor: Json = None) -> list[Page]:
    return [page async for page in source.pages(stream, cursor)]


def records(pages: Sequence[Page]) -> list[Record]:
    found = []
    for page in pages:
        for delivery in page.deliveries:
            assert isinstance(delivery, Received), delivery
            found.append(delivery.record)
    return found


def keys(pages: Sequence[Page], stream: str = "customers") -> list[str]:
    return [record.key for record in records(pages) if record.stream == stream]


def money(amount: str) -> dict[str, object]:
    return {"shopMoney": {"amount": amount, "currencyCode": "EUR"}}


def shopify_order(number: int, *, lines: int = 1, refunds: int = 0) -> dict[str, object]:
    return {
        "id": f"gid://shopify/Order/{number}",
        "name": f"#{number}",
        "createdAt": "2026-01-05T10:00:00Z",
        "updatedAt": "2026-01-05T10:00:00Z",
        "displayFinancialStatus": "PAID",
        "currencyCode": "EUR",
        "totalPriceSet": money(f"{lines}.00"),
        "lineItems": [
            {
                "id": f"gid://shopify/LineItem/{number * 1_000 + line}",
                "title": "Mug",
                "quantity": 1,
                "originalUnitPriceSet": money("1.00"),
                "originalTotalSet": money("1.00"),
                "discountedTotalSet": money("1.00"),
            }
            for line in range(lines)
        ],
        "refunds": [
            {
                "id": f"gid://shopify/Refund/{number * 1_000 + refund}",
                "createdAt": "2026-01-05T11:00:00Z",
                "totalRefundedSet": money("0.10"),
            }
            for refund in range(refunds)
        ],
    }


async def test_shopify_order_with_more_lines_than_a_page_is_whole() -> None:
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST)
    for number, lines, refunds in ((1, 2, 0), (2, 237, 0), (3, 10, 12)):
        sandbox.put("orders", shopify_order(number, lines=lines, refunds=refunds))
    async with reading("shopify", sandbox, SHOPIFY) as source:
        pages = await read(source, "orders")
    orders = [record for record in records(pages) if isinstance(record, OrderRecord)]
    assert {order.id: len(order.lines or []) for order in orders} == {"1": 2, "2": 237, "3": 10}
    assert len({line.line for order in orders for line in order.lines or []}) == 249
    assert len(keys(pages, "refunds")) == 12


async def test_shopify_throttle_with_http_200_is_waited_out_for_as_long_as_it_says() -> None:
    throttled = {
        "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
        "extensions": {
            "cost": {
                "requestedQueryCost": 500,
                "throttleStatus": {
                    "maximumAvailable": 2000,
                    "currentlyAvailable": 300,
                    "restoreRate": 100,
                },
            }
        },
    }

    async def answer(_request: Request) -> JSONResponse:
        return JSONResponse(throttled)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    async with reading("shopify", app, SHOPIFY) as source:
        with pytest.raises(Retry, match="throttles") as caught:
            await read(source, "customers")
    assert caught.value.after_seconds == pytest.approx(2.0)


async def test_shopify_page_that_is_too_dear_is_halved_until_it_is_not() -> None:
    too_dear = {
        "errors": [{"message": "Query cost is 1200.", "extensions": {"code": "MAX_COST_EXCEEDED"}}]
    }
    nothing = {"data": {"found": {"pageInfo": {"hasNextPage": False}, "nodes": []}}}

    async def answer(request: Request) -> JSONResponse:
        first = (await request.json())["variables"]["first"]
        return JSONResponse(too_dear if first > 20 else nothing)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    async with reading("shopify", app, SHOPIFY) as source:
        assert isinstance(source, ShopifySource)
        while source.sizes["orders"] > 20:
            with pytest.raises(Retry, match="too dear"):
                await read(source, "orders")
        assert len(await read(source, "orders")) == 1


async def test_shopify_listing_is_begun_again_before_its_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shopify.MAX_LISTED == sandbox_shopify.MAX_OBJECTS_PER_LISTING == 25_000
    ceiling = 2_500  # a tenth, so that the shop is soon told
    monkeypatch.setattr(shopify, "MAX_LISTED", ceiling)
    monkeypatch.setattr(sandbox_shopify, "MAX_OBJECTS_PER_LISTING", ceiling)
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST)
    case, people = CASES["shopify"], ceiling + 150
    for number in range(people):
        case.put(sandbox, number, "Ann", AT + timedelta(seconds=number // 40))
    async with reading("shopify", sandbox, SHOPIFY) as source:
        assert isinstance(source, ShopifySource)
        source.sizes["customers"] = 100
        found = set(keys(await read(source, "customers")))
    assert len(found) == people


async def test_stale_cursor_begins_the_window_again() -> None:
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST)
    for number in range(230):
        CASES["shopify"].put(sandbox, number, "Ann", AT + timedelta(seconds=number))
    async with reading("shopify", sandbox, SHOPIFY) as source:
        first = (await read(source, "customers"))[0]
        assert isinstance(first.cursor, dict)
        stale = {**first.cursor, "page": '[null,"gone",100]'}
        rest = await read(source, "customers", stale)
    assert len(set(keys([first, *rest]))) == 230


async def test_square_index_that_lags_loses_nobody() -> None:
    now = datetime.now(UTC)
    sandbox = SquareSandbox(access_token=KEY, faults=FAST, index_lag_seconds=60)
    put = CASES["square"].put
    put(sandbox, 0, "Ann", now - timedelta(minutes=3))
    put(sandbox, 1, "Bob", now - timedelta(seconds=30))
    async with reading("square", sandbox, SQUARE) as source:
        pages = await read(source, "customers")
        assert keys(pages) == ["CUSTOMER0"]
    caught_up = SquareSandbox(access_token=KEY, faults=FAST)
    put(caught_up, 0, "Ann", now - timedelta(minutes=3))
    put(caught_up, 1, "Bob", now - timedelta(seconds=30))
    async with reading("square", caught_up, SQUARE) as source:
        assert "CUSTOMER1" in keys(await read(source, "customers", pages[-1].cursor))


async def test_square_watermark_does_not_move_before_the_scan_is_complete() -> None:
    sandbox = SquareSandbox(access_token=KEY, faults=FAST)
    for number in range(230):
        CASES["square"].put(sandbox, number, "Ann", AT + timedelta(seconds=230 - number))
    async with reading("square", sandbox, SQUARE) as source:
        pages = await read(source, "customers")
    unfinished = [page.cursor for page in pages[:-1]]
    assert all(isinstance(cursor, dict) and "since" not in cursor for cursor in unfinished)
    assert pages[-1].cursor == {"since": "2026-01-05T09:58:50.000000Z"}


async def test_square_orders_of_more_locations_than_one_search_takes() -> None:
    sandbox = SquareSandbox(access_token=KEY, faults=FAST)
    for number in range(23):
        place = f"PLACE{number:02}"
        sandbox.put(
            "locations",
            {"id": place, "name": place, "status": "ACTIVE", "created_at": "2025-01-01T00:00:00Z"},
        )
        sandbox.put(
            "orders",
            {
                "id": f"ORDER{number}",
                "location_id": place,
                "state": "COMPLETED",
                "created_at": "2026-01-05T10:00:00.000Z",
                "updated_at": "2026-01-05T10:00:00.000Z",
                "total_money": {"amount": 100, "currency": "EUR"},
                "version": 1,
            },
        )
    async with reading("square", sandbox, SQUARE) as source:
        pages = await read(source, "orders")
    assert len(set(keys(pages, "orders"))) == 23


async def test_square_refund_of_a_return_order_finds_the_sale() -> None:
    refund = {
        "id": "REFUND",
        "status": "COMPLETED",
        "order_id": "RETURN",
        "amount_money": {"amount": 250, "currency": "EUR"},
        "created_at": "2026-01-05T10:00:00Z",
        "updated_at": "2026-01-05T10:00:00Z",
    }

    async def refunds(request: Request) -> JSONResponse:
        # Without it the vendor tells only of the refunds that were made within the last year.
        assert request.query_params["begin_time"] < "2010"
        return JSONResponse({"refunds": [refund]})

    async def orders(request: Request) -> JSONResponse:
        assert (await request.json())["order_ids"] == ["RETURN"]
        return JSONResponse(
            {"orders": [{"id": "RETURN", "returns": [{"source_order_id": "SALE"}]}]}
        )

    app = Starlette(
        routes=[
            Route("/v2/refunds", refunds),
            Route("/v2/orders/batch-retrieve", orders, methods=["POST"]),
        ]
    )
    async with reading("square", app, SQUARE) as source:
        (record,) = records(await read(source, "refunds"))
    assert isinstance(record, RefundRecord)
    assert record.order_id == "SALE"


async def test_square_catalog_is_read_by_change_with_the_names_of_its_categories() -> None:
    sandbox = SquareSandbox(access_token=KEY, faults=FAST)

    def put_item(number: int, category: str, at: str) -> None:
        sandbox.put(
            "catalog",
            {
                "type": "ITEM",
                "id": f"ITEM{number}",
                "updated_at": at,
                "version": 1,
                "item_data": {
                    "name": "Mug",
                    "categories": [{"id": category}],
                    "variations": [{"id": f"V{number}", "item_variation_data": {}}],
                },
            },
        )

    for key in ("KITCHEN", "SALE"):
        name = {"name": key.title(), "category_type": "REGULAR_CATEGORY"}
        category = {"type": "CATEGORY", "id": key, "updated_at": "2026-01-01T00:00:00Z"}
        sandbox.put("catalog", {**category, "version": 1, "category_data": name})
    for number in range(1_200):
        put_item(number, "KITCHEN", "2026-01-05T10:00:00.000Z")
    async with reading("square", sandbox, SQUARE) as source:
        whole = await read(source, "products")
        put_item(7, "SALE", "2026-01-06T10:00:00.000Z")
        later = await read(source, "products", whole[-1].cursor)
    found = {each.key: each for each in records(whole) if isinstance(each, ProductRecord)}
    assert (len(whole), len(found), found["V7"].category) == (2, 1_200, "Kitchen")
    changed = {each.key: each for each in records(later) if isinstance(each, ProductRecord)}
    assert changed["V7"].category == "Sale"


async def test_klaviyo_campaigns_of_every_channel_are_listed() -> None:
    sandbox = KlaviyoSandbox(api_key=KEY, faults=FAST)
    for number, channel in enumerate(["email", "sms", "mobile_push"] * 70):
        moment = "2026-01-05T10:00:00+00:00"
        attributes = {"name": "News", "channel": channel, "created_at": moment}
        sandbox.put("campaigns", {"type": "campaign", "id": f"C{number}", "attributes": attributes})
    async with reading("klaviyo", sandbox, {"api_key": KEY}) as source:
        found = records(await read(source, "campaigns"))
    assert Counter(each.channel for each in found if isinstance(each, CampaignRecord)) == {
        "email": 70,
        "sms": 70,
        "push": 70,
    }


async def test_square_points_belong_to_the_profile_of_their_account() -> None:
    sandbox = SquareSandbox(access_token=KEY, faults=FAST)
    moment = "2026-01-05T10:00:00Z"
    sandbox.put(
        "loyalty_accounts",
        {
            "id": "ACCOUNT",
            "program_id": "PROGRAM",
            "customer_id": "ANN",
            "mapping": {"phone_number": "+447700900123"},
            "created_at": moment,
            "updated_at": moment,
        },
    )
    sandbox.put(
        "loyalty_events",
        {
            "id": "EVENT",
            "type": "ACCUMULATE_POINTS",
            "accumulate_points": {"points": 12},
            "loyalty_account_id": "ACCOUNT",
            "created_at": moment,
        },
    )
    async with reading("square", sandbox, SQUARE) as source:
        (account,) = records(await read(source, "loyalty_accounts"))
        (entry,) = records(await read(source, "loyalty_events"))
    assert isinstance(entry, LoyaltyEntryRecord)
    assert (entry.customer_id, entry.points) == (account.key, 12)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Give the time."""
        return self.now


@pytest.mark.parametrize("hours", [3, 24 * 100])
async def test_bluesky_session_that_expired_is_renewed(hours: int) -> None:
    clock = Clock()
    sandbox = BlueskySandbox(password=KEY, faults=FAST, clock=clock)
    for number in range(230):
        CASES["bluesky"].put(sandbox, number, "Ann", AT + timedelta(seconds=number))
    async with reading("bluesky", sandbox, BLUESKY) as source:
        assert isinstance(source, BlueskySource)
        pages = []
        async for page in source.pages("followers", None):
            pages.append(page)
            clock.now += timedelta(hours=hours)
    assert len(set(keys(pages))) == 230


async def test_bluesky_reads_until_the_watermark_is_met() -> None:
    sandbox = BlueskySandbox(password=KEY, faults=FAST)
    for number in range(450):
        CASES["bluesky"].put(sandbox, number, "Ann", AT + timedelta(minutes=number))
    async with reading("bluesky", sandbox, BLUESKY) as source:
        whole = await read(source, "notifications")
        again = await read(source, "notifications", whole[-1].cursor)
    assert len(set(keys(whole, "interactions"))) == 450
    assert (len(whole) >= 5, len(again)) == (True, 1)


async def test_bluesky_wrong_password_tells_what_the_server_said() -> None:
    async with reading("bluesky", BlueskySandbox(password="another"), BLUESKY) as source:
        with pytest.raises(Abort, match="Bluesky answered 401") as caught:
            await source.check()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("connector", CASES)
async def test_the_vendor_throttles_at_its_own_pace_and_the_connector_keeps_to_it(
    connector: str,
) -> None:
    case = CASES[connector]
    sandbox = case.sandbox(replace(Faults(), rate_multiplier=1.0))
    for number in range(230):
        case.put(sandbox, number, "Ann", AT + timedelta(seconds=number))
    async with reading(connector, sandbox, dict(case.settings)) as source:
        assert len(set(keys(await read(source, case.people)))) == 230


SENT: Json = {"type": "metric", "id": "M", "attributes": {"name": "Received Email"}}


@pytest.mark.parametrize(
    ("connector", "stream", "answer", "kept"),
    [
        (
            "shopify",
            "customers",
            {
                "data": {
                    "found": {"nodes": [{"id": "gid://shopify/Customer/1", "defaultAddress": 7}]}
                }
            },
            ("customers", "1", "defaultAddress"),
        ),
        (
            "shopify",
            "orders",
            {"data": {"found": {"nodes": [{"id": "gid://shopify/Order/2", "lineItems": 7}]}}},
            ("orders", "2", "lineItems"),
        ),
        (
            "square",
            "loyalty_accounts",
            {"loyalty_accounts": [{"id": "A", "customer_id": 7}]},
            ("customers", "loyalty:A", "customer_id"),
        ),
        ("square", "loyalty_events", {"events": [{"id": "E"}]}, ("loyalty_entries", "E", "type")),
        (
            "square",
            "refunds",
            {"refunds": [{"id": "R", "status": "COMPLETED", "order_id": 7}]},
            ("refunds", "R", "order_id"),
        ),
        (
            "klaviyo",
            "profiles",
            {"data": [{"id": "P", "attributes": 7}]},
            ("customers", "P", "attributes"),
        ),
        (
            "klaviyo",
            "events",
            {
                "data": [
                    {
                        "id": "E",
                        "attributes": 7,
                        "relationships": {"metric": {"data": {"id": "M"}}},
                    }
                ],
                "included": [SENT, {"type": "metric", "id": 8}],
            },
            ("messages", "E", "attributes"),
        ),
    ],
)
async def test_object_that_cannot_be_mapped_is_refused_as_the_record_that_it_would_be(
    connector: str, stream: str, answer: Json, kept: tuple[str, str, str]
) -> None:
    async def serve(_request: Request) -> JSONResponse:
        return JSONResponse(answer)

    app = Starlette(routes=[Route("/{path:path}", serve, methods=["GET", "POST"])])
    async with reading(connector, app, CASES[connector].settings) as source:
        (page,) = await read(source, stream)
    (refused,) = page.deliveries
    assert isinstance(refused, Refused)
    assert (refused.stream, refused.key, refused.path) == kept
