"""Square: customers, loyalty, orders and refunds of the tills, by the Connect API.

Square-Version 2025-08-20. Searches sort by creation or name, not by change, and their index lags
by up to a minute, so that every list is read in a fixed window with an overlap.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cdp.delivery import Deleted, Delivery, payload_of
from cdp.values import Json
from connectors.base import Abort, Connector, Page, Setting, Values
from connectors.http import Http
from connectors.limits import Adaptive
from connectors.money import minor_money
from connectors.reading import Item, Row, consent_key, delivered
from connectors.scans import Scan, Step, latest_of, scan, utc_now, written

VERSION: Final = "2025-08-20"
PAGE: Final = 100
ORDERS_PAGE: Final = 500
ACCOUNTS_PAGE: Final = 200
POINTS_PAGE: Final = 30  # the most that loyalty events are given at once
LOCATIONS_PER_SEARCH: Final = 10
EVENTS_KEPT: Final = timedelta(days=28)
BEGINNING: Final = datetime(2009, 1, 1, tzinfo=UTC)  # before Square; a refund's default is a year

ORDER_STATES: Final[Mapping[str, str]] = {
    "OPEN": "pending",
    "COMPLETED": "completed",
    "CANCELED": "cancelled",
    "DRAFT": "draft",
}
LOYALTY_KINDS: Final[Mapping[str, tuple[str, str, int]]] = {
    "ACCUMULATE_POINTS": ("accumulate_points", "earn", 1),
    "ACCUMULATE_PROMOTION_POINTS": ("accumulate_promotion_points", "earn", 1),
    "CREATE_REWARD": ("create_reward", "redeem", -1),
    "DELETE_REWARD": ("delete_reward", "adjust", 1),
    "EXPIRE_POINTS": ("expire_points", "expire", -1),
    "ADJUST_POINTS": ("adjust_points", "adjust", 0),
    "OTHER": ("other_event", "adjust", 0),
}
"""The member with the points, the kind of entry, and the sign that the kind asks for (0: as told).

A reward takes its points when it is created, so that redeeming it moves none.
"""


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
            "orders": self._orders,
            "refunds": self._refunds,
            "loyalty_events": self._loyalty_events,
        }
        return scan(cursor, fetch[stream], now=self.now())

    async def check(self) -> str:
        """Ask for the locations."""
        names = [place.text("name") or place.need("id") for place in await self._locations()]
        return f"Square answers, with {len(names)} locations: {', '.join(names[:5])}."

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
            delivered("customers", people, customer, "version"),
            answer.text("cursor"),
            latest_of(people, "updated_at"),
        )

    async def _deleted_customers(self, at: Scan) -> Step:
        oldest = at.end - EVENTS_KEPT
        created = {"start_at": written(max(at.start or oldest, oldest)), "end_at": written(at.end)}
        query = {"filter": {"event_types": ["customer.deleted"], "created_at": created}}
        answer = await self._search("/v2/events", at, query, PAGE)
        events = answer.items("events")
        return Step(
            [gone for event in events for gone in deleted_customer(event)],
            answer.text("cursor"),
            latest_of(events, "created_at"),
        )

    async def _loyalty_accounts(self, at: Scan) -> Step:
        """All of them every time: they cannot be searched by change."""
        answer = await self._search("/v2/loyalty/accounts/search", at, None, ACCOUNTS_PAGE)
        accounts = answer.items("loyalty_accounts")
        return Step(delivered("loyalty_accounts", accounts, loyalty_account), answer.text("cursor"))

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
            delivered("orders", orders, order, "version"),
            next_page,
            latest_of(orders, "updated_at"),
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
            _undone(refunds)
            + delivered("refunds", refunds, lambda refund: refund_of(refund, sales)),
            answer.text("cursor"),
            latest_of(refunds, "updated_at"),
        )

    async def _loyalty_events(self, at: Scan) -> Step:
        query = {"filter": {"date_time_filter": {"created_at": _range(at)}}}
        answer = await self._search("/v2/loyalty/events/search", at, query, POINTS_PAGE)
        events = answer.items("events")
        return Step(
            delivered("loyalty_events", events, loyalty_entry),
            answer.text("cursor"),
            latest_of(events, "created_at"),
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
        keys = sorted({key for refund in refunds if (key := refund.text("order_id"))})
        if not keys:
            return {}
        answer = await self.http.post_json("/v2/orders/batch-retrieve", {"order_ids": keys})
        return {
            found.need("id"): sold
            for found in answer.items("orders")
            for part in found.items("returns")
            if (sold := part.text("source_order_id"))
        }


def customer(item: Item) -> Iterator[tuple[str, Row]]:
    """A customer, and the refusal of email if they unsubscribed."""
    key, address = item.need("id"), item.item("address")
    street = [address.text(f"address_line_{number}") for number in (1, 2, 3)]
    birthday = item.text("birthday")
    yield (
        "customers",
        {
            "id": key,
            "email": item.get("email_address"),
            "phone": item.get("phone_number"),
            "first_name": item.get("given_name"),
            "last_name": item.get("family_name"),
            # 0000 stands for a year that the customer did not tell.
            "birth_date": birthday if birthday and not birthday.startswith("0000") else None,
            "street": ", ".join(line for line in street if line),
            "city": address.get("locality"),
            "region": address.get("administrative_district_level_1"),
            "postal_code": address.get("postal_code"),
            "country": address.get("country"),
            "external_ids": _external_ids(key, item.text("reference_id")),
            "created_at": item.get("created_at"),
            "updated_at": item.get("updated_at"),
            "nickname": item.get("nickname"),
            "company": item.get("company_name"),
            "creation_source": item.get("creation_source"),
        },
    )
    if item.flag("preferences", "email_unsubscribed"):
        at = {"email": item.text("email_address")}
        yield (
            "consents",
            {
                "id": consent_key(key, "email", at),
                "customer_id": key,
                **at,
                "channel": "email",
                "purpose": "marketing",
                "status": "withdrawn",
                "recorded_at": item.get("updated_at"),
                "evidence": "Square: preferences.email_unsubscribed",
            },
        )


def deleted_customer(event: Item) -> list[Delivery]:
    """The tombstone that a `customer.deleted` event asks for."""
    key, moment = event.text("data", "id"), latest_of([event], "created_at")
    if key is None or moment is None:
        return []
    return [Deleted("customers", key, moment, payload_of(event.raw))]


def loyalty_account(item: Item) -> Iterator[tuple[str, Row]]:
    """A profile of its own: the account changes without its customer, and may have none."""
    key = item.need("id")
    yield (
        "customers",
        {
            "id": loyalty_key(key),
            "phone": item.get("mapping", "phone_number"),
            "loyalty_card": key,
            "external_ids": _external_ids(item.text("customer_id"), None),
            "created_at": item.get("enrolled_at") or item.get("created_at"),
            "updated_at": item.get("updated_at"),
            "loyalty_balance": item.get("balance"),
            "loyalty_lifetime_points": item.get("lifetime_points"),
        },
    )


def loyalty_key(account: str) -> str:
    """The key of the profile that a loyalty account is."""
    return f"loyalty:{account}"


def loyalty_entry(item: Item) -> Iterator[tuple[str, Row]]:
    """A movement of points; events that move none give no row."""
    member, kind, sign = LOYALTY_KINDS.get(item.need("type"), ("", "", 0))
    points = item.number(member, "points") if member else None
    if not points:
        return
    yield (
        "loyalty_entries",
        {
            "id": item.need("id"),
            "customer_id": loyalty_key(item.need("loyalty_account_id")),
            "kind": kind,
            "points": sign * abs(points) if sign else points,
            "occurred_at": item.get("created_at"),
            "order_id": item.get(member, "order_id"),
            "reason": item.get(member, "reason"),
        },
    )


def order(item: Item) -> Iterator[tuple[str, Row]]:
    """A sale. An order that only returns goods is no purchase: its refund tells the money."""
    lines = item.items("line_items")
    if not lines and item.items("returns"):
        return
    payers = [payer for tender in item.items("tenders") if (payer := tender.text("customer_id"))]
    state = item.text("state") or ""
    yield (
        "orders",
        {
            "id": item.need("id"),
            "customer_id": item.text("customer_id") or next(iter(payers), None),
            "placed_at": item.get("created_at"),
            "currency": item.get("total_money", "currency"),
            "total": minor_money(item, "total_money"),
            "discount": minor_money(item, "total_discount_money"),
            "tax": minor_money(item, "total_tax_money"),
            "status": ORDER_STATES.get(state, state.lower()),
            "channel": "pos",
            "lines": [_line(line) for line in lines],
            "updated_at": item.get("updated_at"),
            "location_id": item.get("location_id"),
            "source_name": item.get("source", "name"),
        },
    )


def _line(line: Item) -> Row:
    return {
        "line": line.get("uid"),
        "product_id": line.get("catalog_object_id"),
        "title": line.get("name"),
        "quantity": line.get("quantity"),
        "unit_price": minor_money(line, "base_price_money") or 0,
        "discount": minor_money(line, "total_discount_money"),
    }


def refund_of(item: Item, sales: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """Money that was given back, on the order that sold the goods; a pending one is none yet."""
    named = item.text("order_id")
    if item.text("status") != "COMPLETED" or named is None:
        return
    yield (
        "refunds",
        {
            "id": item.need("id"),
            "order_id": sales.get(named, named),
            "refunded_at": item.get("created_at"),
            "amount": minor_money(item, "amount_money"),
            "currency": item.get("amount_money", "currency"),
            "reason": item.get("reason"),
        },
    )


def _undone(refunds: list[Item]) -> list[Delivery]:
    """A bank may still refuse what was given back: then it never was."""
    return [
        Deleted("refunds", key, moment, payload_of(refund.raw))
        for refund in refunds
        if refund.text("status") in ("REJECTED", "FAILED")
        and (key := refund.text("id"))
        and (moment := latest_of([refund], "updated_at"))
    ]


def _external_ids(customer_id: str | None, reference_id: str | None) -> dict[str, str]:
    """What ties a loyalty account to its customer, and either to another system."""
    named = {"square_customer": customer_id, "square_reference": reference_id}
    return {kind: value for kind, value in named.items() if value}


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
    "Square's tills: customers, loyalty, orders, refunds",
    (
        Setting("access_token", "the account's access token", is_required=True, is_secret=True),
        Setting("webhook_key", "the signature key of its webhooks", is_secret=True),
        Setting("webhook_url", "the address that Square was told to call"),
        Setting("url", "Square's base address, without /v2"),
    ),
    build,
)
