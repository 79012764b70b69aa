"""The Shopify emulator behaves as Shopify documents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sandbox.shopify import ShopifySandbox
from connectors.sandbox.state import NO_FAULTS, Faults

pytestmark = pytest.mark.anyio

# A vendor's answer; the tests look into it.
Json = Any

TOKEN = "shpat_test"
START = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = """
query C($first: Int!, $after: String, $query: String, $reverse: Boolean) {
  customers(first: $first, after: $after, query: $query, sortKey: UPDATED_AT, reverse: $reverse) {
    edges { cursor node { ...Who updatedAt } }
    pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}
fragment Who on Customer {
  id email defaultEmailAddress { emailAddress marketingState } legacyResourceId
}
"""


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time set."""
        return self.now


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def bag(amount: str, presentment: str | None = None) -> dict[str, object]:
    money: dict[str, object] = {"shopMoney": {"amount": amount, "currencyCode": "USD"}}
    if presentment is not None:
        money["presentmentMoney"] = {"amount": presentment, "currencyCode": "EUR"}
    return money


def a_customer(number: int, minute: int | None = None) -> dict[str, object]:
    moment = at(number if minute is None else minute)
    return {
        "id": gid("Customer", number),
        "firstName": "Ann",
        "lastName": f"Example{number}",
        "defaultEmailAddress": {"emailAddress": f"ann{number}@example.com"},
        "createdAt": moment,
        "updatedAt": moment,
    }


def an_order(number: int, customer: int | None = None) -> dict[str, object]:
    return {
        "id": gid("Order", number),
        "name": f"#{number}",
        "email": "guest@example.com",
        "customer": None if customer is None else {"id": gid("Customer", customer)},
        "createdAt": at(number),
        "updatedAt": at(number),
        "displayFinancialStatus": "PARTIALLY_REFUNDED",
        "totalPriceSet": bag("30.00", "27.50"),
        "totalDiscountsSet": bag("2.00"),
        "lineItems": [
            {
                "id": gid("LineItem", number * 10 + place),
                "title": "Cup",
                "sku": f"CUP-{place}",
                "quantity": 2,
                "originalUnitPriceSet": bag("8.00"),
                "originalTotalSet": bag("16.00"),
                "discountedTotalSet": bag("15.00"),
                "product": {"id": gid("Product", 1)},
            }
            for place in range(2)
        ],
        "refunds": [
            {
                "id": gid("Refund", number),
                "createdAt": at(number),
                "totalRefundedSet": bag("15.00"),
                "refundLineItems": [
                    {
                        "quantity": 1,
                        "subtotalSet": bag("15.00"),
                        "lineItem": {"id": gid("LineItem", number * 10)},
                    }
                ],
            }
        ],
    }


def a_shop(
    customers: int = 0, faults: Faults = NO_FAULTS, clock: Clock | None = None
) -> ShopifySandbox:
    shop = ShopifySandbox(access_token=TOKEN, faults=faults, clock=clock or Clock())
    for number in range(1, customers + 1):
        shop.put("customers", a_customer(number))
    return shop


async def post(
    shop: ShopifySandbox,
    document: str,
    /,
    token: str = TOKEN,
    version: str = "2025-10",
    variables: dict[str, object] | None = None,
) -> httpx.Response:
    transport = httpx.ASGITransport(shop.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example.com") as client:
        return await client.post(
            f"/admin/api/{version}/graphql.json",
            json={"query": document, "variables": variables or {}},
            headers={"X-Shopify-Access-Token": token},
        )


async def ask(shop: ShopifySandbox, document: str, /, **variables: object) -> Json:
    response = await post(shop, document, variables=variables)
    assert response.status_code == 200, response.text
    return response.json()


async def all_customers(shop: ShopifySandbox, first: int, query: str | None = None) -> list[str]:
    found: list[str] = []
    after = None
    for _ in range(100):
        body = await ask(shop, CUSTOMERS, first=first, after=after, query=query)
        page = body["data"]["customers"]
        found += [edge["node"]["id"].rsplit("/", 1)[-1] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
    raise AssertionError("the listing does not end")


async def test_wrong_token_is_401_with_shopifys_body() -> None:
    response = await post(a_shop(), "{ shop { name } }", token="other")
    assert response.status_code == 401
    assert response.json()["errors"].startswith("[API] Invalid API key or access token")


async def test_unknown_api_version_is_404() -> None:
    assert (await post(a_shop(), "{ shop { name } }", version="2025-02")).status_code == 404


async def test_pages_follow_each_other_without_gap_or_repeat() -> None:
    assert await all_customers(a_shop(7), first=3) == [str(n) for n in range(1, 8)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"updated_at:>='{at(3)}'", ["3", "4", "5"]),
        (f"updated_at:>'{at(3)}'", ["4", "5"]),
        (f'updated_at:<"{at(3)}"', ["1", "2"]),
        (f"updated_at:>='{at(2)}' AND updated_at:<='{at(4)}'", ["2", "3", "4"]),
        (f"updated_at:>{at(2)} id:<5", ["3", "4"]),
        ("email:ann4@example.com", ["4"]),
    ],
)
async def test_search_syntax_bounds_the_listing(query: str, expected: list[str]) -> None:
    assert await all_customers(a_shop(5), first=2, query=query) == expected


async def test_unknown_search_field_is_ignored_with_a_warning() -> None:
    body = await ask(a_shop(2), CUSTOMERS, first=5, query="updated:>=2026")
    assert len(body["data"]["customers"]["edges"]) == 2
    assert body["extensions"]["search"][0]["warnings"][0]["code"] == "invalid_field"


async def test_object_updated_during_the_scan_moves_to_its_end() -> None:
    shop = a_shop(4)
    first = (await ask(shop, CUSTOMERS, first=2))["data"]["customers"]
    shop.put("customers", a_customer(1, minute=90))
    rest = await ask(shop, CUSTOMERS, first=9, after=first["pageInfo"]["endCursor"])
    ids = [edge["node"]["id"] for edge in rest["data"]["customers"]["edges"]]
    assert ids == [gid("Customer", n) for n in (3, 4, 1)]


async def test_times_are_whole_seconds_and_ties_are_all_listed() -> None:
    shop = a_shop()
    for number in range(1, 4):
        moment = f"2026-01-01T00:00:00.{number}00+00:00"
        shop.put("customers", a_customer(number) | {"updatedAt": moment})
    assert await all_customers(shop, first=1, query="updated_at:>='2026-01-01T00:00:00Z'") == [
        "1",
        "2",
        "3",
    ]
    body = await ask(shop, CUSTOMERS, first=1)
    assert body["data"]["customers"]["edges"][0]["node"]["updatedAt"] == "2026-01-01T00:00:00Z"


async def test_deleted_customer_is_gone_and_its_order_stays_a_guests() -> None:
    shop = a_shop(1)
    shop.put("orders", an_order(1, customer=1))
    shop.delete("customers", gid("Customer", 1), START)
    body = await ask(shop, "{ orders(first: 1) { nodes { customer { id } email } } }")
    assert body["data"]["orders"]["nodes"] == [{"customer": None, "email": "guest@example.com"}]
    assert await all_customers(shop, first=5) == []


async def test_order_carries_lines_refunds_and_both_moneys() -> None:
    shop = a_shop(1)
    shop.put(
        "products",
        {"id": gid("Product", 1), "title": "Cup", "createdAt": at(0), "updatedAt": at(0)},
    )
    shop.put("orders", an_order(1, customer=1))
    query = """{ orders(first: 1, sortKey: UPDATED_AT) { nodes {
        test cancelledAt displayFinancialStatus customer { id }
        totalPriceSet { shopMoney { amount currencyCode } presentmentMoney { amount } }
        lineItems(first: 1) { pageInfo { hasNextPage endCursor } nodes { sku product { title }
            originalUnitPriceSet { shopMoney { amount } presentmentMoney { amount } } } }
        refunds(first: 5) { id totalRefundedSet { shopMoney { amount } }
            refundLineItems(first: 5) { nodes { quantity lineItem { sku } } } } } } }"""
    (order,) = (await ask(shop, query))["data"]["orders"]["nodes"]
    assert order["test"] is False
    assert order["cancelledAt"] is None
    assert order["customer"] == {"id": gid("Customer", 1)}
    assert order["totalPriceSet"] == {
        "shopMoney": {"amount": "30.00", "currencyCode": "USD"},
        "presentmentMoney": {"amount": "27.50"},
    }
    lines = order["lineItems"]
    assert lines["nodes"][0]["product"] == {"title": "Cup"}
    assert lines["nodes"][0]["originalUnitPriceSet"]["presentmentMoney"] == {"amount": "8.00"}
    assert lines["pageInfo"]["hasNextPage"] is True
    assert order["refunds"][0]["refundLineItems"]["nodes"] == [
        {"quantity": 1, "lineItem": {"sku": "CUP-0"}}
    ]


async def test_cost_agrees_with_what_was_measured_on_the_real_api() -> None:
    shop = a_shop()
    for query, points in (
        ("{ products(first: 200) { pageInfo { hasNextPage } edges { cursor node { id } } } }", 12),
        ("{ customers(first: 1) { edges { node { id email } } } }", 3),
        ("{ shop { name } }", 1),
    ):
        cost = (await ask(shop, query))["extensions"]["cost"]
        assert cost["requestedQueryCost"] == points
        assert cost["actualQueryCost"] <= points


async def test_query_above_a_thousand_points_is_refused_before_it_runs() -> None:
    variants = "product { variants(first: 250) { nodes { id } } }"
    nested = f"nodes {{ lineItems(first: 250) {{ nodes {{ {variants} }} }} }}"
    body = await ask(a_shop(), f"{{ orders(first: 250) {{ {nested} }} }}")
    assert body["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert "data" not in body


async def test_throttling_is_http_200_and_ends_when_the_bucket_refills() -> None:
    clock = Clock()
    shop = a_shop(250, Faults(rate_multiplier=0.01), clock)
    served = await ask(shop, CUSTOMERS, first=2)
    assert served["extensions"]["cost"]["throttleStatus"]["maximumAvailable"] == 20
    while "errors" not in (body := await ask(shop, CUSTOMERS, first=2)):
        assert shop.requests.total < 50
    assert body["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert body["extensions"]["cost"]["actualQueryCost"] is None
    clock.now += timedelta(seconds=20)
    assert "errors" not in await ask(shop, CUSTOMERS, first=2)


async def test_difference_between_requested_and_actual_cost_is_given_back() -> None:
    cost = (await ask(a_shop(1), CUSTOMERS, first=250))["extensions"]["cost"]
    assert cost["actualQueryCost"] < cost["requestedQueryCost"]
    assert cost["throttleStatus"]["currentlyAvailable"] == 2000 - cost["actualQueryCost"]


async def test_first_is_obligatory_and_at_most_250() -> None:
    shop = a_shop()
    for query in ("{ customers { nodes { id } } }", "{ customers(first: 251) { nodes { id } } }"):
        assert "errors" in await ask(shop, query)


async def test_listing_ends_with_an_error_at_25000_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sandbox.shopify.MAX_OBJECTS_PER_LISTING", 4)
    shop = a_shop(6)
    first = (await ask(shop, CUSTOMERS, first=3))["data"]["customers"]
    assert "errors" in await ask(shop, CUSTOMERS, first=3, after=first["pageInfo"]["endCursor"])


async def test_invalid_documents_answer_with_errors() -> None:
    shop = a_shop()
    for query in ("{ nothing }", "{ customers(first: 1) {", "mutation { x }"):
        assert "errors" in await ask(shop, query)
    assert "errors" in await ask(shop, CUSTOMERS, first="many")


async def test_introspection_names_the_deprecated_email() -> None:
    query = '{ __type(name: "Customer") { fields(includeDeprecated: true) { name isDeprecated } } }'
    fields = (await ask(a_shop(), query))["data"]["__type"]["fields"]
    assert {"name": "email", "isDeprecated": True} in fields


async def test_nodes_counts_and_directives_are_answered() -> None:
    shop = a_shop(3)
    query = """query N($ids: [ID!]!, $no: Boolean!) { customersCount { count }
        nodes(ids: $ids) { __typename id
            ... on Customer { firstName lastName @skip(if: $no) } } }"""
    body = await ask(shop, query, ids=[gid("Customer", 2), gid("Customer", 9)], no=True)
    assert body["data"]["customersCount"] == {"count": 3}
    assert body["data"]["nodes"] == [
        {"__typename": "Customer", "id": gid("Customer", 2), "firstName": "Ann"},
        None,
    ]


async def test_object_without_its_times_is_refused_when_it_is_put() -> None:
    with pytest.raises(ValueError, match="updatedAt"):
        a_shop().put("customers", {"id": gid("Customer", 1), "createdAt": at(0)})
    with pytest.raises(ValueError, match="no gid of Order"):
        a_shop().put("orders", an_order(1) | {"id": gid("Customer", 1)})


async def test_duplicate_fault_repeats_the_last_object_of_the_page_before() -> None:
    shop = a_shop(4, Faults(duplicate_rate=1.0))
    assert await all_customers(shop, first=3) == ["1", "2", "3", "3", "4"]
    assert shop.requests.faults["duplicate"] == 1
