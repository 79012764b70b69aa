"""Square: customers, loyalty, products, orders and refunds of the tills, by the Connect API.

Square-Version 2025-08-20. Searches sort by creation or name, not by change, and their index lags
by up to a minute, so that every list is read in a fixed window with an overlap.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cdp.values import Json
from connectors.asked import require_lists
from connectors.base import Abort, Connector, Page, Setting, Skip, Values
from connectors.http import Http
from connectors.limits import Adaptive
from connectors.pos.square_records import (
    customer,
    deletes,
    loyalty_account,
    loyalty_entry,
    loyalty_key,
    order,
    product_key,
    products,
    refund_of,
    undone,
)
from connectors.reading import Item, delivered, names_of
from connectors.scans import Scan, Step, latest_of, scan, utc_now, written

VERSION: Final = "2025-08-20"
PAGE: Final = 100
ORDERS_PAGE: Final = 500
ACCOUNTS_PAGE: Final = 200
POINTS_PAGE: Final = 30  # the most that loyalty events are given at once
LOCATIONS_PER_SEARCH: Final = 10
CATALOG_PAGE: Final = 1_000
EVENTS_KEPT: Final = timedelta(days=28)
EVENTS_TODO: Final = (
    "Deletes are told by the Events API alone: it takes a personal access token, no OAuth token,"
    " and knows of nothing before PUT /v2/events/enable was called."
)
BEGINNING: Final = datetime(2009, 1, 1, tzinfo=UTC)  # before Square; a refund's default is a year


@dataclass(slots=True)
class SquareSource:
    """One Square account."""

    http: Http
    now: Callable[[], datetime] = utc_now
    connector: str = "square"
    streams: tuple[str, ...] = (
        "customers",
        "deleted_customers",
        "loyalty_accounts",
        "products",
        "orders",
        "refunds",
        "loyalty_events",
    )

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read one list."""
        fetch: Mapping[str, Callable[[Scan], Awaitable[Step]]] = {
            "customers": self._customers,
            "deleted_customers": self._deleted_customers,
            "loyalty_accounts": self._loyalty_accounts,
            "products": self._products,
            "orders": self._orders,
            "refunds": self._refunds,
            "loyalty_events": self._loyalty_events,
        }
        return scan(cursor, fetch[stream], now=self.now())

    async def check(self) -> str:
        """Ask for the locations and each list."""
        names = [place.text("name") or place.need("id") for place in await self._locations()]
        await require_lists("Square", self)
        return (
            f"Square answers, with {len(names)} locations: {', '.join(names[:5])}."
            " It tells of deletes only once the application's events were enabled."
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _customers(self, at: Scan) -> Step:
        query = {
            "filter": {"updated_at": _range(at)},
            "sort": {"field": "CREATED_AT", "order": "ASC"},
        }
        answer = await self._search("/v2/customers/search", at, query, PAGE)
        people = answer.items("customers")
        return Step(
            delivered("customers", people, customer, version="version"),
            answer.text("cursor"),
            latest_of(people, "updated_at", until=at.end),
        )

    async def _deleted_customers(self, at: Scan) -> Step:
        oldest = at.end - EVENTS_KEPT
        created = {"start_at": written(max(at.start or oldest, oldest)), "end_at": written(at.end)}
        query = {"filter": {"event_types": ["customer.deleted"], "created_at": created}}
        try:
            answer = await self._search("/v2/events", at, query, PAGE)
        except Abort as refusal:
            if not refusal.is_of_one_list:
                raise
            raise Abort(refusal.message, todo=EVENTS_TODO, status=refusal.status) from None
        events = answer.items("events")
        return Step(
            deletes(events),
            answer.text("cursor"),
            latest_of(events, "created_at", until=at.end),
        )

    async def _loyalty_accounts(self, at: Scan) -> Step:
        """All of them every time: they cannot be searched by change."""
        answer = await self._search("/v2/loyalty/accounts/search", at, None, ACCOUNTS_PAGE)
        accounts = answer.items("loyalty_accounts")
        deliveries = delivered(
            "customers", accounts, loyalty_account, key=lambda item: loyalty_key(item.need("id"))
        )
        return Step(deliveries, answer.text("cursor"))

    async def _products(self, at: Scan) -> Step:
        """The items that changed, with the categories that they name."""
        body: dict[str, object] = {
            "object_types": ["ITEM"],
            "include_related_objects": True,
            "limit": CATALOG_PAGE,
        }
        if at.start:
            body["begin_time"] = written(at.start)
        if at.page:
            body["cursor"] = at.page
        answer = await self.http.post_json("/v2/catalog/search", body)
        items = answer.items("objects")
        categories = names_of(answer.items("related_objects"), "CATEGORY", "category_data")
        deliveries = delivered(
            "products",
            items,
            lambda item: products(item, categories),
            version="version",
            key=product_key,
        )
        return Step(deliveries, answer.text("cursor"), latest_of(items, "updated_at", until=at.end))

    async def _orders(self, at: Scan) -> Step:
        """Ten locations at a time: the page tells after which location, and Square's own cursor."""
        before, cursor = _place(at.page)
        places = sorted(place.need("id") for place in await self._locations())
        wanted = [place for place in places if place > before][:LOCATIONS_PER_SEARCH]
        if not wanted:
            return Step([], None)
        body: dict[str, object] = {
            "location_ids": wanted,
            "limit": ORDERS_PAGE,
            "query": {
                "filter": {"date_time_filter": {"updated_at": _range(at)}},
                "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
            },
        }
        if cursor:
            body["cursor"] = cursor
        answer = await self.http.post_json("/v2/orders/search", body)
        following = answer.text("cursor")
        next_page = _page(before, following) if following else None
        if next_page is None and wanted[-1] != places[-1]:
            next_page = _page(wanted[-1], "")
        orders = answer.items("orders")
        return Step(
            delivered("orders", orders, order, version="version"),
            next_page,
            latest_of(orders, "updated_at", until=at.end),
        )

    async def _refunds(self, at: Scan) -> Step:
        parameters: dict[str, str | int] = {
            "begin_time": written(BEGINNING),
            "updated_at_begin_time": written(at.start or BEGINNING),
            "updated_at_end_time": written(at.end),
            "sort_field": "UPDATED_AT",
            "sort_order": "ASC",
            "limit": PAGE,
        }
        if at.page:
            parameters["cursor"] = at.page
        answer = await self.http.get_json("/v2/refunds", parameters)
        refunds = answer.items("refunds")
        sales = await self._sales_of(refunds)
        return Step(
            undone(refunds)
            + delivered("refunds", refunds, lambda refund: refund_of(refund, sales)),
            answer.text("cursor"),
            latest_of(refunds, "updated_at", until=at.end),
        )

    async def _loyalty_events(self, at: Scan) -> Step:
        query = {"filter": {"date_time_filter": {"created_at": _range(at)}}}
        answer = await self._search("/v2/loyalty/events/search", at, query, POINTS_PAGE)
        events = answer.items("events")
        return Step(
            delivered("loyalty_entries", events, loyalty_entry),
            answer.text("cursor"),
            latest_of(events, "created_at", until=at.end),
        )

    async def _search(self, path: str, at: Scan, query: object, limit: int) -> Item:
        body: dict[str, object] = {"limit": limit}
        if query is not None:
            body["query"] = query
        if at.page:
            body["cursor"] = at.page
        return await self.http.post_json(path, body)

    async def _locations(self) -> list[Item]:
        return (await self.http.get_json("/v2/locations")).items("locations")

    async def _sales_of(self, refunds: list[Item]) -> dict[str, str]:
        """For orders that only return goods: the order that sold them."""
        named = (refund.get("order_id") for refund in refunds)
        keys = sorted({key for key in named if isinstance(key, str) and key})
        if not keys:
            return {}
        answer = await self.http.post_json("/v2/orders/batch-retrieve", {"order_ids": keys})
        sales: dict[str, str] = {}
        for found in answer.items("orders"):
            # One that is malformed is refused among the orders; here it tells of no sale.
            with suppress(Skip):
                for part in found.items("returns"):
                    if sold := part.text("source_order_id"):
                        sales[found.need("id")] = sold
        return sales


def _range(at: Scan) -> dict[str, str]:
    bounds = {"end_at": written(at.end)}
    return bounds if at.start is None else {"start_at": written(at.start), **bounds}


def _page(before: str, cursor: str) -> str:
    return msgspec.json.encode([before, cursor]).decode()


def _place(page: str | None) -> tuple[str, str]:
    if page is None:
        return "", ""
    try:
        return msgspec.json.decode(page, type=tuple[str, str])
    except msgspec.DecodeError:
        raise Abort(f"The cursor {page!r} is not one of ours.", status=400) from None


def build(values: Values) -> SquareSource:
    """A source with these settings."""
    token = values["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Square-Version": VERSION}
    url = values.get("url", "https://connect.squareup.com")
    return SquareSource(Http("Square", url, headers=headers, limiter=Adaptive(), secrets=(token,)))


SQUARE: Final = Connector(
    "square",
    "pos",
    "Square's tills: customers, loyalty, products, orders, refunds",
    (
        Setting("access_token", "the account's access token", is_required=True, is_secret=True),
        Setting("webhook_key", "the signature key of its webhooks", is_secret=True),
        Setting("webhook_url", "the address that Square was told to call"),
        Setting("url", "Square's base address, without /v2"),
    ),
    build,
)
