"""Emulates Square's Connect v2 API: customers, orders, refunds, loyalty, catalog and events."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.front import Front, Handler, answer, body_of
from connectors.sandbox.limiter import Windows
from connectors.sandbox.square_events import EventLog
from connectors.sandbox.square_kinds import EVENT_NAMES, KINDS, key_of
from connectors.sandbox.square_query import Limits, Query, SquareError, cut, time_range, within
from connectors.sandbox.state import (
    NO_FAULTS,
    Bounds,
    Clock,
    Collection,
    Draw,
    Entry,
    Faults,
    Item,
    Page,
    Requests,
    Turn,
    as_item,
    as_list,
    as_text,
    iso_millis,
    micros,
    micros_of,
    utc_now,
)

# Square publishes no quota (it answers 429 RATE_LIMITED); developers report a few tens per second.
REQUESTS_PER_SECOND = 20

# OpenAPI: SearchOrdersRequest.location_ids, loyalty account queries.
MAX_LOCATIONS = 10
MAX_ORDER_IDS = 100
MAX_LOYALTY_CUSTOMERS = 30

# Prepared customer listings kept for the pages that follow; a sync has one or two open at a time.
MAX_OPEN_LISTINGS = 8

_CUSTOMERS = Limits(100, 100)
_ORDERS = Limits(500, 1000)
_REFUNDS = Limits(100, 100)
_LOYALTY_ACCOUNTS = Limits(30, 200)
_LOYALTY_EVENTS = Limits(30, 30)
_CATALOG = Limits(100, 1000)


class SquareSandbox:
    """A seller with locations, customers, orders, refunds, loyalty and a catalog.

    `index_lag_seconds`: a customer updated within that many seconds of the clock is not found yet.
    """

    def __init__(
        self,
        *,
        access_token: str,
        faults: Faults = NO_FAULTS,
        clock: Clock | None = None,
        index_lag_seconds: float = 0.0,
    ) -> None:
        self.requests = Requests()
        self._access_token = access_token
        self._faults = faults
        self._clock = clock or utc_now
        self._index_lag = timedelta(seconds=index_lag_seconds)
        self._windows = Windows(((REQUESTS_PER_SECOND, 1),), self._faults.rate_multiplier)
        self._kinds = {kind: Collection(key_of(), orders) for kind, orders in KINDS.items()}
        self._events = EventLog()
        self._open_listings: dict[str, list[Entry]] = {}
        self.app = Starlette(routes=self._routes())

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace one object in the shape of Square's API, by `id`.

        Kinds: customers, orders, locations, refunds, loyalty_accounts, loyalty_events, catalog.
        Each put of a customer, order, refund or loyalty object is also an event.
        """
        former = self._kinds[kind].put(item)
        if kind in EVENT_NAMES:
            moment = as_text(item.get("updated_at") or item["created_at"])
            self._events.note(
                kind, as_text(item["id"]), "updated" if former else "created", moment, item
            )

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete by id: gone from searches, an event `*.deleted`; in the catalog `is_deleted`."""
        former = self._kinds[kind].remove(key)
        if former is None:
            raise KeyError(f"no {kind} object {key}")
        if kind == "catalog":
            gone = {"id": key, "type": former["type"], "updated_at": iso_millis(at)}
            self._kinds[kind].put({**gone, "version": micros_of(at) // 1000, "is_deleted": True})
        elif kind in EVENT_NAMES:
            self._events.note(kind, key, "deleted", iso_millis(at), None)

    def _routes(self) -> list[Route]:
        refusal: Item = {
            "category": "API_ERROR",
            "code": "INTERNAL_SERVER_ERROR",
            "detail": "An internal error has occurred.",
        }
        front = Front(self._faults, self.requests, {"errors": [refusal]})
        operations: list[tuple[str, str, str, _Operation]] = [
            ("GET", "/v2/locations", "ListLocations", self._locations),
            ("POST", "/v2/customers/search", "SearchCustomers", self._customers),
            ("POST", "/v2/orders/search", "SearchOrders", self._orders),
            ("POST", "/v2/orders/batch-retrieve", "BatchRetrieveOrders", self._orders_of_ids),
            ("GET", "/v2/refunds", "ListPaymentRefunds", self._refunds),
            ("POST", "/v2/loyalty/accounts/search", "SearchLoyaltyAccounts", self._accounts),
            ("POST", "/v2/loyalty/events/search", "SearchLoyaltyEvents", self._loyalty_events),
            ("GET", "/v2/catalog/list", "ListCatalog", self._catalog_list),
            ("POST", "/v2/catalog/search", "SearchCatalogObjects", self._catalog_search),
            ("POST", "/v2/events", "SearchEvents", self._events_found),
        ]
        return [
            Route(path, front.endpoint(name, self._guarded(operation)), methods=[method])
            for method, path, name, operation in operations
        ]

    def _guarded(self, operation: "_Operation") -> Handler:
        async def serve(request: Request, draw: Draw) -> Response:
            if request.headers.get("authorization") != f"Bearer {self._access_token}":
                detail = "This request could not be authorized."
                return _refused(401, "AUTHENTICATION_ERROR", "UNAUTHORIZED", detail)
            if self._faults.throttle and self._windows.take(self._clock()):
                self.requests.faults["throttled"] += 1
                detail = "This request could not be processed as the rate limit is exceeded."
                return _refused(429, "RATE_LIMIT_ERROR", "RATE_LIMITED", detail)
            try:
                asked = await _asked(request)
                return answer(operation(Query(asked, draw)))
            except SquareError as error:
                return answer({"errors": [error.body]}, 400)
            except ValueError as error:
                return _refused(400, "INVALID_REQUEST_ERROR", "BAD_REQUEST", str(error))

        return serve

    def _locations(self, query: "Query") -> Item:
        page = self._kinds["locations"].page("CREATED_AT", Turn(limit=MAX_LOCATIONS * 30))
        return {"locations": page.items} if page.items else {}

    def _customers(self, query: "Query") -> Item:
        sort = query.part("query", "sort")
        order, direction = sort.get("field", "DEFAULT"), sort.get("order", "ASC")
        if order not in {"DEFAULT", "CREATED_AT"}:
            raise SquareError(
                "INVALID_VALUE", f"`{order}` is not a valid enum value", "query.sort.field"
            )
        limit = query.limit(_CUSTOMERS)
        if query.draw.short_page:
            limit = max(1, limit * 2 // 3)
        turn = query.turn(limit, descending=direction == "DESC")
        filters = query.part("query", "filter")
        unknown = set(filters) - {"updated_at", "created_at"}
        if unknown:
            raise SquareError("BAD_REQUEST", f"the sandbox does not filter customers by {unknown}")
        updated = time_range(filters.get("updated_at"))
        created = time_range(filters.get("created_at"))
        seen_until = micros_of(self._clock() - self._index_lag)

        def where(item: Item) -> bool:
            at, born = micros(item["updated_at"]), micros(item["created_at"])
            return at <= seen_until and within(updated, at) and within(created, born)

        needs_where = bool(filters) or bool(self._index_lag)
        page = self._listed_customers(str(order), turn, updated, where if needs_where else None)
        body = query.paged("customers", page, self.requests)
        if query.asked.get("count") is True:
            body["count"] = self._kinds["customers"].count("UPDATED_AT", updated)
        return body

    def _listed_customers(
        self, order: str, turn: Turn, updated: Bounds, where: Callable[[Item], bool] | None
    ) -> Page:
        """Return a page in an order that is not the filter's.

        A window of updates is small beside all customers, so its entries are sorted once and kept
        for the pages that follow; the listing of everything walks the sorted index itself.
        """
        customers = self._kinds["customers"]
        if updated.low is None or where is None:
            return customers.page(order, turn, where=where)
        key = f"{order}:{turn.descending}:{updated}:{customers.version}"
        entries = self._open_listings.get(key)
        if entries is None:
            place = KINDS["customers"][order]
            window = customers.page("UPDATED_AT", Turn(limit=len(customers) + 1), updated)
            entries = sorted(
                ((place(item) or "", as_text(item["id"])) for item in window.items),
                reverse=turn.descending,
            )
            while len(self._open_listings) >= MAX_OPEN_LISTINGS:
                self._open_listings.pop(next(iter(self._open_listings)))
            self._open_listings[key] = entries
        return cut(customers, entries, turn, where)

    def _orders(self, query: "Query") -> Item:
        locations = _ids(query, "location_ids", MAX_LOCATIONS)
        filters, sort = query.part("query", "filter"), query.part("query", "sort")
        order = sort.get("sort_field", "CREATED_AT")
        if order not in KINDS["orders"]:
            raise SquareError("INVALID_VALUE", f"`{order}` is not a valid enum value", "sort_field")
        times = as_item(filters.get("date_time_filter") or {})
        if len(times) > 1:
            raise SquareError("BAD_REQUEST", "Only one time range may be filtered at a time.")
        for name in times:
            if name.upper() != order:
                detail = f"Sort field must match the date time filter: {name}."
                raise SquareError("BAD_REQUEST", detail, "query.sort.sort_field")
        bounds = time_range(next(iter(times.values()), None))
        states = as_item(filters.get("state_filter") or {}).get("states")
        buyers = as_item(filters.get("customer_filter") or {}).get("customer_ids")

        def where(item: Item) -> bool:
            return (
                item["location_id"] in locations
                and (not isinstance(states, list) or item.get("state") in states)
                and (not isinstance(buyers, list) or item.get("customer_id") in buyers)
            )

        turn = query.turn(query.limit(_ORDERS), descending=sort.get("sort_order") != "ASC")
        page = self._kinds["orders"].page(str(order), turn, bounds, where)
        if query.asked.get("return_entries") is not True:
            return query.paged("orders", page, self.requests)
        body = query.paged("order_entries", page, self.requests)
        body["order_entries"] = [
            {"order_id": o["id"], "version": o.get("version"), "location_id": o["location_id"]}
            for o in page.items
        ]
        return body

    def _orders_of_ids(self, query: "Query") -> Item:
        """Orders by id; an unknown id is passed over, as the vendor says."""
        ids = _ids(query, "order_ids", MAX_ORDER_IDS)
        found = (self._kinds["orders"].get(str(key)) for key in ids)
        return {"orders": [order for order in found if order is not None]}

    def _refunds(self, query: "Query") -> Item:
        asked = query.asked
        now = self._clock()
        order = str(asked.get("sort_field", "CREATED_AT"))
        created = time_range(
            {
                "start_at": asked.get("begin_time") or iso_millis(now - timedelta(days=365)),
                "end_at": asked.get("end_time") or iso_millis(now),
            }
        )
        # A range of updates replaces the default range of creation, not one that was asked for.
        updated = time_range(
            {
                "start_at": asked.get("updated_at_begin_time"),
                "end_at": asked.get("updated_at_end_time"),
            }
        )
        if updated != Bounds() and not asked.get("begin_time"):
            created = Bounds()

        def where(item: Item) -> bool:
            return (
                within(created, micros(item["created_at"]))
                and within(updated, micros(item["updated_at"]))
                and asked.get("status") in {None, item.get("status")}
                and asked.get("location_id") in {None, item.get("location_id")}
            )

        limit = min(_REFUNDS.maximum, int(as_text(asked.get("limit", "100"))))
        turn = query.turn(limit, descending=asked.get("sort_order", "DESC") == "DESC")
        bounds = updated if order == "UPDATED_AT" else created
        page = self._kinds["refunds"].page(order, turn, bounds, where)
        return query.paged("refunds", page, self.requests)

    def _accounts(self, query: "Query") -> Item:
        asked = query.part("query")
        buyers, mappings = asked.get("customer_ids"), asked.get("mappings")
        if buyers and mappings:
            raise SquareError("CONFLICTING_PARAMETERS", "Use either mappings or customer_ids.")
        phones = [as_item(m).get("phone_number") for m in as_list(mappings or [])]
        if len(as_list(buyers or [])) > MAX_LOYALTY_CUSTOMERS:
            raise SquareError("ARRAY_LENGTH_TOO_LONG", "At most 30.", "query.customer_ids")

        def where(item: Item) -> bool:
            mapping = as_item(item.get("mapping") or {})
            return (not isinstance(buyers, list) or item.get("customer_id") in buyers) and (
                not phones or mapping.get("phone_number") in phones
            )

        page = self._kinds["loyalty_accounts"].page(
            "CREATED_AT", query.turn(query.limit(_LOYALTY_ACCOUNTS)), where=where
        )
        return query.paged("loyalty_accounts", page, self.requests)

    def _loyalty_events(self, query: "Query") -> Item:
        filters = query.part("query", "filter")
        times = as_item(filters.get("date_time_filter") or {})
        account = as_item(filters.get("loyalty_account_filter") or {}).get("loyalty_account_id")
        types = as_item(filters.get("type_filter") or {}).get("types")
        # Here, and only here, the end is exclusive (OpenAPI, LoyaltyEventFilter.date_time_filter).
        bounds = time_range(times.get("created_at"), high_open=True)

        def where(item: Item) -> bool:
            return account in {None, item["loyalty_account_id"]} and (
                not isinstance(types, list) or item["type"] in types
            )

        turn = query.turn(query.limit(_LOYALTY_EVENTS), descending=True)
        page = self._kinds["loyalty_events"].page("CREATED_AT", turn, bounds, where)
        return query.paged("events", page, self.requests)

    def _events_found(self, query: "Query") -> Item:
        return self._events.search(query, self._clock(), self.requests)

    def _catalog_list(self, query: "Query") -> Item:
        types = str(query.asked.get("types") or "").upper()
        wanted = {name.strip() for name in types.split(",") if name.strip()}

        def where(item: Item) -> bool:
            return not item.get("is_deleted") and (not wanted or item["type"] in wanted)

        page = self._kinds["catalog"].page("ID", query.turn(_CATALOG.default), where=where)
        return query.paged("objects", page, self.requests)

    def _catalog_search(self, query: "Query") -> Item:
        types = query.asked.get("object_types")
        deleted = query.asked.get("include_deleted_objects") is True
        begin = query.asked.get("begin_time")

        def where(item: Item) -> bool:
            return (deleted or not item.get("is_deleted")) and (
                not isinstance(types, list) or item["type"] in types
            )

        # begin_time is exclusive: objects changed after it.
        bounds = Bounds(low=micros(begin), low_open=True) if begin else Bounds()
        turn = query.turn(query.limit(_CATALOG))
        page = self._kinds["catalog"].page("UPDATED_AT", turn, bounds, where)
        body = query.paged("objects", page, self.requests)
        related = self._categories_of(page.items)
        if related and query.asked.get("include_related_objects") is True:
            body["related_objects"] = related
        return body

    def _categories_of(self, items: list[Item]) -> list[Item]:
        """The categories that items name, each once."""
        named = (as_item(item.get("item_data") or {}).get("categories") for item in items)
        keys = {as_text(as_item(each)["id"]) for one in named for each in as_list(one or [])}
        found = (self._kinds["catalog"].get(key) for key in sorted(keys))
        return [category for category in found if category is not None]


_Operation = Callable[[Query], Item]


def _ids(query: Query, name: str, most: int) -> list[object]:
    """A list of ids that must be given, and be no longer than the vendor takes."""
    ids = query.asked.get(name)
    if not isinstance(ids, list) or not ids:
        raise SquareError("MISSING_REQUIRED_PARAMETER", "Missing required parameter.", name)
    if len(ids) > most:
        what = name.replace("_", " ")
        raise SquareError("ARRAY_LENGTH_TOO_LONG", f"At most {most} {what}.", name)
    return ids


async def _asked(request: Request) -> Item:
    if request.method == "POST":
        return await body_of(request)
    parameters: Mapping[str, str] = request.query_params
    return dict(parameters)


def _refused(status: int, category: str, code: str, detail: str) -> Response:
    return answer({"errors": [{"category": category, "code": code, "detail": detail}]}, status)
