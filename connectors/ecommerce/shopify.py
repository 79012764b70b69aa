"""Shopify: customers, consent, products, orders and refunds of a shop, by the Admin GraphQL API.

Requests cost points; a request too many is answered with HTTP 200 and the error THROTTLED. One
listing ends after 25,000 objects, so that a long one is begun again at the last change seen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from cdp.delivery import Delivery
from cdp.values import Json
from connectors.base import Abort, Connector, Page, Retry, Setting, Skip, Values
from connectors.ecommerce import shopify_queries as queries
from connectors.http import Http
from connectors.limits import CostBucket
from connectors.reading import Item, Mapper, Row, consent_key, delivered, refused
from connectors.scans import Scan, Step, latest_of, scan, utc_now, written

MAX_LISTED: Final = 25_000  # objects of one listing, by Shopify's rule
MAX_LINE_PAGES: Final = 100  # of one order: ten thousand lines
FIRST_SIZES: Final = {"customers": 100, "products": 100, "orders": 50}

PASSING: Final = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT"})
PAYMENT_STATES: Final[Mapping[str, str]] = {
    "AUTHORIZED": "pending",
    "PENDING": "pending",
    "PARTIALLY_PAID": "pending",
    "PAID": "paid",
    "PARTIALLY_REFUNDED": "partially_refunded",
    "REFUNDED": "refunded",
    "VOIDED": "voided",
    "EXPIRED": "failed",
}
CONSENT_STATES: Final[Mapping[str, str]] = {"SUBSCRIBED": "granted", "UNSUBSCRIBED": "withdrawn"}
"""Other states (never asked, awaiting a double opt-in, invalid) are silence."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listing stands: what it began with, Shopify's cursor, how many came before."""

    since: datetime | None
    after: str | None = None
    seen: int = 0

    def text(self) -> str:
        """As the page of a scan."""
        since = written(self.since) if self.since else None
        return msgspec.json.encode([since, self.after, self.seen]).decode()


@dataclass(slots=True)
class ShopifySource:
    """One shop."""

    http: Http
    bucket: CostBucket
    now: Callable[[], datetime] = utc_now
    connector: str = "shopify"
    streams: tuple[str, ...] = ("customers", "products", "orders")
    sizes: dict[str, int] = field(default_factory=lambda: dict(FIRST_SIZES))
    """Objects a page, halved where a page costs more than Shopify allows for one request."""

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read one list."""
        fetch: Mapping[str, Callable[[Scan], Awaitable[Step]]] = {
            "customers": self._customers,
            "products": self._products,
            "orders": self._orders,
        }
        return scan(cursor, fetch[stream], now=self.now())

    async def check(self) -> str:
        """Ask for the shop."""
        shop = (await self._ask("", queries.SHOP, {})).item("shop")
        return f"Shopify answers: {shop.text('name')} ({shop.text('myshopifyDomain')})."

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _customers(self, at: Scan) -> Step:
        found, next_page = await self._listed("customers", queries.CUSTOMERS, at)
        return _step("customers", found, customer, next_page)

    async def _products(self, at: Scan) -> Step:
        found, next_page = await self._listed("products", queries.PRODUCTS, at)
        return _step("products", found, product, next_page)

    async def _orders(self, at: Scan) -> Step:
        found, next_page = await self._listed("orders", queries.ORDERS, at)
        whole: list[Item] = []
        untaken: list[Delivery] = []
        for each in found:
            try:
                whole.append(await self._whole(each))
            except Skip as skip:
                untaken.append(refused("orders", each, skip, key_of))
        step = _step("orders", whole, order, next_page)
        latest = latest_of(found, "updatedAt")
        return replace(step, deliveries=[*step.deliveries, *untaken], latest=latest)

    async def _listed(self, stream: str, query: str, at: Scan) -> tuple[list[Item], str | None]:
        """One page in the order of change, and the page after it."""
        place, first = _place(at), self.sizes[stream]
        variables = {"first": first, "after": place.after, "query": _search(place.since, at.end)}
        connection = (await self._ask(stream, query, variables)).item("found")
        found = connection.items("nodes")
        if not connection.flag("pageInfo", "hasNextPage"):
            return found, None
        seen = place.seen + len(found)
        if seen + first <= MAX_LISTED:
            after = connection.need("pageInfo", "endCursor")
            return found, replace(place, after=after, seen=seen).text()
        latest = latest_of(found, "updatedAt")
        if latest is None or latest == place.since:
            raise Abort(
                f"Shopify lists {MAX_LISTED} {stream} of one instant ({latest}) and no further.",
                todo="Export them from the shop and load them with cdp import.",
            )
        return found, Place(latest).text()

    async def _whole(self, item: Item) -> Item:
        """An order with all its lines and refunds, where the list held only the first of them."""
        lines, refunds = item.item("lineItems"), item.items("refunds")
        has_more = lines.flag("pageInfo", "hasNextPage")
        if not has_more and len(refunds) < queries.REFUNDS_PAGE:
            return item
        key, nodes = item.need("id"), lines.items("nodes")
        for _ in range(MAX_LINE_PAGES):
            if not lines.flag("pageInfo", "hasNextPage"):
                break
            variables = {"id": key, "after": lines.need("pageInfo", "endCursor")}
            answer = await self._ask("", queries.MORE_LINES, variables)
            lines = answer.item("order", "lineItems")
            nodes += lines.items("nodes")
        if len(refunds) >= queries.REFUNDS_PAGE:
            answer = await self._ask("", queries.ALL_REFUNDS, {"id": key})
            refunds = answer.items("order", "refunds")
        whole = {
            "lineItems": {"nodes": [line.raw for line in nodes]},
            "refunds": [refund.raw for refund in refunds],
        }
        return Item({**item.raw, **whole})

    async def _ask(self, stream: str, query: str, variables: Mapping[str, object]) -> Item:
        path = f"/admin/api/{queries.VERSION}/graphql.json"
        answer = await self.http.post_json(path, {"query": query, "variables": variables})
        self._learn(answer.item("extensions", "cost"))
        errors = answer.get("errors")
        if errors:
            raise self._failure(stream, answer)
        return answer.item("data")

    def _learn(self, cost: Item) -> None:
        status = cost.item("throttleStatus")
        figures = (
            cost.get("requestedQueryCost"),
            status.get("currentlyAvailable"),
            status.get("maximumAvailable"),
            status.get("restoreRate"),
        )
        needed, available, maximum, restore_rate = (
            float(figure) if isinstance(figure, (int, float)) else None for figure in figures
        )
        if needed and available is not None and maximum and restore_rate:
            self.bucket.learn(needed, available, maximum, restore_rate)

    def _failure(self, stream: str, answer: Item) -> Exception:
        """What an answer with errors asks for; Shopify sends them with HTTP 200."""
        errors = answer.get("errors")
        listed = answer.items("errors") if isinstance(errors, list) else []
        codes = {code for each in listed if (code := each.text("extensions", "code"))}
        said = self.http.redacted("; ".join(str(each.get("message")) for each in listed))
        if "THROTTLED" in codes:
            needed = answer.get("extensions", "cost", "requestedQueryCost")
            points = float(needed) if isinstance(needed, (int, float)) else 0.0
            return Retry("Shopify throttles.", self.bucket.seconds_until(points))
        if "MAX_COST_EXCEEDED" in codes and self.sizes.get(stream, 1) > 1:
            self.sizes[stream] = max(1, self.sizes[stream] // 2)
            return Retry(f"Shopify finds a page too dear: {said} Asking for half as many.")
        if codes & PASSING:
            return Retry(f"Shopify could not answer: {said}")
        if "ACCESS_DENIED" in codes:
            return Abort(
                f"Shopify refuses: {said}", todo="Check what the token may read.", status=403
            )
        return Abort(f"Shopify refuses: {said or errors}", status=400, answer=errors)


def _step(stream: str, found: list[Item], mapper: Mapper, next_page: str | None) -> Step:
    deliveries = delivered(stream, found, mapper, key=key_of)
    return Step(deliveries, next_page, latest_of(found, "updatedAt"))


def _place(at: Scan) -> Place:
    """Where the page of a scan stands; without one, the list begins, or begins again."""
    if at.page is None:
        return Place(at.since)
    try:
        since, after, seen = msgspec.json.decode(
            at.page, type=tuple[datetime | None, str | None, int]
        )
    except msgspec.DecodeError:
        raise Abort(f"The cursor {at.page!r} is not one of ours.", status=400) from None
    return Place(since, after, seen)


def _search(since: datetime | None, until: datetime) -> str:
    """Shopify's search syntax; its moments are whole seconds, and both bounds are inclusive."""
    begins = f"updated_at:>='{_second(since)}' " if since else ""
    return f"{begins}updated_at:<='{_second(until)}'"


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def customer(item: Item) -> Iterator[tuple[str, Row]]:
    """A customer, and what they consent to by email and by SMS."""
    key, address = key_of(item), item.item("defaultAddress")
    street = [address.text("address1"), address.text("address2")]
    yield (
        "customers",
        {
            "id": key,
            "email": item.get("defaultEmailAddress", "emailAddress"),
            "phone": item.get("defaultPhoneNumber", "phoneNumber"),
            "email_verified": _has_proof_of_email(item) or None,
            "phone_verified": _is_confirmed(item.item("defaultPhoneNumber")) or None,
            "first_name": item.get("firstName"),
            "last_name": item.get("lastName"),
            "street": ", ".join(line for line in street if line),
            "city": address.get("city"),
            "region": address.get("province"),
            "postal_code": address.get("zip"),
            "country": address.get("countryCodeV2"),
            "language": item.get("locale"),
            "tags": item.get("tags"),
            "created_at": item.get("createdAt"),
            "updated_at": item.get("updatedAt"),
            "account_state": item.get("state"),
        },
    )
    email, phone = item.item("defaultEmailAddress"), item.item("defaultPhoneNumber")
    yield from _consent(item, "email", email, {"email": email.text("emailAddress")})
    yield from _consent(item, "sms", phone, {"phone": phone.text("phoneNumber")})


def _has_proof_of_email(item: Item) -> bool:
    """Whether the person answered at the address: with an account, or by a double opt-in.

    `verifiedEmail` alone is no proof: Shopify sets it for whomever the shop's staff adds.
    """
    has_account = item.text("state") == "ENABLED" and item.flag("verifiedEmail")
    return has_account or _is_confirmed(item.item("defaultEmailAddress"))


def _is_confirmed(said: Item) -> bool:
    """Whether a double opt-in came to its end, be it taken back since or not."""
    has_answered = (said.text("marketingState") or "") in CONSENT_STATES
    return has_answered and said.text("marketingOptInLevel") == "CONFIRMED_OPT_IN"


def _consent(
    item: Item, channel: str, said: Item, at: Mapping[str, str | None]
) -> Iterator[tuple[str, Row]]:
    """What was said of the contact point `at`: of another one it is another statement."""
    key = key_of(item)
    status = CONSENT_STATES.get(said.text("marketingState") or "")
    if status is None:
        return
    level = said.text("marketingOptInLevel")
    yield (
        "consents",
        {
            "id": consent_key(key, channel, at),
            "customer_id": key,
            **at,
            "channel": channel,
            "purpose": "marketing",
            "status": status,
            # Shopify leaves the moment out where it was imported with the customer.
            "recorded_at": said.get("marketingUpdatedAt") or item.get("createdAt"),
            "evidence": f"Shopify: {level}" if level else "Shopify",
        },
    )


def product(item: Item) -> Iterator[tuple[str, Row]]:
    """A product; where it has variants, the price of the cheapest and the SKU of the first."""
    variants = item.items("variants", "nodes")
    yield (
        "products",
        {
            "id": key_of(item),
            "sku": variants[0].get("sku") if variants else None,
            "title": item.get("title"),
            "category": item.get("productType"),
            "price": item.get("priceRangeV2", "minVariantPrice", "amount"),
            "currency": item.get("priceRangeV2", "minVariantPrice", "currencyCode"),
            "vendor": item.get("vendor"),
        },
    )


def order(item: Item) -> Iterator[tuple[str, Row]]:
    """An order with its lines, and its refunds; a guest's bears an email or phone, no customer."""
    key, buyer = key_of(item), item.text("customer", "id")
    yield (
        "orders",
        {
            "id": key,
            "customer_id": number_of(buyer) if buyer else None,
            "email": item.get("email"),
            "phone": item.get("phone"),
            "placed_at": item.get("processedAt") or item.get("createdAt"),
            "currency": item.get("currencyCode"),
            "total": item.get("totalPriceSet", "shopMoney", "amount"),
            "discount": item.get("totalDiscountsSet", "shopMoney", "amount"),
            "tax": item.get("totalTaxSet", "shopMoney", "amount"),
            "shipping": item.get("totalShippingPriceSet", "shopMoney", "amount"),
            "status": _status(item),
            "channel": item.get("sourceName"),
            "lines": [_line(line) for line in item.items("lineItems", "nodes")],
            "updated_at": item.get("updatedAt"),
            "name": item.get("name"),
            "tags": item.get("tags") or None,
        },
    )
    for refund in item.items("refunds"):
        # Goods put back without money are no refund.
        if refund.amount("totalRefundedSet", "shopMoney", "amount"):
            yield "refunds", _refund(refund, key)


def _line(line: Item) -> Row:
    product_id = line.text("product", "id")
    return {
        "line": key_of(line),
        "product_id": number_of(product_id) if product_id else None,
        "sku": line.get("sku"),
        "title": line.get("title"),
        "category": line.get("product", "productType") or None,
        "quantity": line.get("quantity"),
        "unit_price": line.get("originalUnitPriceSet", "shopMoney", "amount"),
        "discount": line.get("totalDiscountSet", "shopMoney", "amount"),
    }


def _refund(refund: Item, order_key: str) -> Row:
    return {
        "id": key_of(refund),
        "order_id": order_key,
        "refunded_at": refund.get("createdAt"),
        "amount": refund.get("totalRefundedSet", "shopMoney", "amount"),
        "currency": refund.get("totalRefundedSet", "shopMoney", "currencyCode"),
        "reason": refund.get("note"),
    }


def _status(item: Item) -> str | None:
    if item.flag("test"):
        return "test"
    if item.text("cancelledAt"):
        return "cancelled"
    paid = item.text("displayFinancialStatus")
    if paid == "PAID" and item.text("displayFulfillmentStatus") == "FULFILLED":
        return "fulfilled"
    return PAYMENT_STATES.get(paid, paid.lower()) if paid else None


def key_of(item: Item) -> str:
    """The key of an object."""
    return number_of(item.need("id"))


def number_of(gid: str) -> str:
    """The plain number in `gid://shopify/Customer/123`, which webhooks give too."""
    return gid.rsplit("/", 1)[-1].partition("?")[0]


def build(values: Values) -> ShopifySource:
    """A source with these settings."""
    shop, token = values["shop"], values["access_token"]
    host = shop if "." in shop else f"{shop}.myshopify.com"
    bucket = CostBucket()
    http = Http(
        "Shopify",
        values.get("url", f"https://{host}"),
        headers={"X-Shopify-Access-Token": token},
        limiter=bucket,
        secrets=(token,),
    )
    return ShopifySource(http, bucket)


SHOPIFY: Final = Connector(
    "shopify",
    "ecommerce",
    "Shopify: customers, consent, products, orders, refunds",
    (
        Setting("shop", "the shop's name, as in NAME.myshopify.com", is_required=True),
        Setting("access_token", "an Admin API token", is_required=True, is_secret=True),
        Setting("webhook_secret", "the app's client secret, for webhooks", is_secret=True),
        Setting("url", "the shop's base address, without /admin"),
    ),
    build,
)
