"""Shopify: customers, consent, products, orders and refunds of a shop, by the Admin GraphQL API.

Requests cost points; a request too many is answered with HTTP 200 and the error THROTTLED. One
listing ends after 25,000 objects, so that a long one is begun again at the last change seen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from cdp.delivery import Delivery
from cdp.values import Json
from connectors.asked import require_lists
from connectors.base import Abort, Connector, Page, Retry, Setting, Skip, Values
from connectors.ecommerce import shopify_queries as queries
from connectors.ecommerce.shopify_records import customer, key_of, order, product
from connectors.http import Http
from connectors.limits import CostBucket
from connectors.reading import Item, Mapper, delivered, refused
from connectors.scans import Scan, Step, latest_of, scan, utc_now, written

ALL_ORDERS: Final = "read_all_orders"
MAX_LISTED: Final = 25_000  # objects of one listing, by Shopify's rule
MAX_LINE_PAGES: Final = 100  # of one order: ten thousand lines
FIRST_SIZES: Final = {"customers": 100, "products": 100, "orders": 50}

PASSING: Final = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT"})


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
        """Ask for the shop, for what the token may read, and for each list."""
        answer = await self._ask("", queries.SHOP, {})
        await require_lists("Shopify", self)
        shop, granted = answer.item("shop"), answer.items("currentAppInstallation", "accessScopes")
        told = f"Shopify answers: {shop.text('name')} ({shop.text('myshopifyDomain')})."
        if ALL_ORDERS not in {scope.text("handle") for scope in granted}:
            told += f" It gives the orders of the last 60 days alone: the token lacks {ALL_ORDERS}."
        return told

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _customers(self, at: Scan) -> Step:
        found, next_page = await self._listed("customers", queries.CUSTOMERS, at)
        return _step("customers", found, customer, next_page, at)

    async def _products(self, at: Scan) -> Step:
        found, next_page = await self._listed("products", queries.PRODUCTS, at)
        return _step("products", found, product, next_page, at)

    async def _orders(self, at: Scan) -> Step:
        found, next_page = await self._listed("orders", queries.ORDERS, at)
        whole: list[Item] = []
        untaken: list[Delivery] = []
        for each in found:
            try:
                whole.append(await self._whole(each))
            except Skip as skip:
                untaken.append(refused("orders", each, skip, key_of))
        step = _step("orders", whole, order, next_page, at)
        latest = latest_of(found, "updatedAt", until=at.end)
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
        latest = latest_of(found, "updatedAt", until=at.end)
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


def _step(stream: str, found: list[Item], mapper: Mapper, next_page: str | None, at: Scan) -> Step:
    deliveries = delivered(stream, found, mapper, key=key_of)
    return Step(deliveries, next_page, latest_of(found, "updatedAt", until=at.end))


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
