"""Emulates Shopify's Admin GraphQL API: cost, throttling with HTTP 200, search, connections."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.front import Front, answer, body_of
from connectors.sandbox.graphql import Plan, parsed, plan
from connectors.sandbox.limiter import LeakyBucket
from connectors.sandbox.listings import Arguments, Listing, Resolvers
from connectors.sandbox.shopify_objects import TYPES, filled
from connectors.sandbox.shopify_schema import SDL, SHOP
from connectors.sandbox.shopify_search import Search, parse_search, whole_second
from connectors.sandbox.state import (
    NO_FAULTS,
    Bounds,
    Clock,
    Collection,
    Draw,
    Entry,
    Faults,
    Item,
    Requests,
    SortValue,
    Turn,
    as_text,
    utc_now,
)

# A standard plan, as extensions.cost reports it (shopify.dev, GraphQL Admin API rate limits, 2025).
BUCKET_POINTS = 2000
RESTORE_POINTS_PER_SECOND = 100
MAX_QUERY_POINTS = 1000

# Deeper pages are refused (shopify.dev, API limits).
MAX_OBJECTS_PER_LISTING = 25_000

SCOPES = ("read_all_orders", "read_customers", "read_orders", "read_products")
"""All that there is to grant here (shopify.dev, API access scopes)."""

_RATE_LIMITS_PAGE = "https://shopify.dev/api/usage/rate-limits"
_VERSION = re.compile(r"\d{4}-(01|04|07|10)|unstable")
_SCHEMA = build_schema(SDL)

Reader = Callable[[Item], SortValue | None]


def _time(name: str) -> Reader:
    return lambda item: None if item.get(name) is None else whole_second(item[name])


def _lower(name: str) -> Reader:
    return lambda item: as_text(item[name]).lower() if item.get(name) else None


def _number(item: Item) -> int:
    return int(as_text(item["id"]).rsplit("/", 1)[-1])


_TIMES: dict[str, Reader] = {
    "created_at": _time("createdAt"),
    "updated_at": _time("updatedAt"),
    "processed_at": _time("processedAt"),
}
_TEXTS: dict[str, dict[str, Reader]] = {
    "customers": {
        "email": _lower("email"),
        "phone": _lower("phone"),
        "first_name": _lower("firstName"),
        "last_name": _lower("lastName"),
    },
    "orders": {
        "email": _lower("email"),
        "name": _lower("name"),
        "financial_status": _lower("displayFinancialStatus"),
    },
    "products": {"title": _lower("title"), "vendor": _lower("vendor"), "status": _lower("status")},
}
_READERS: dict[str, dict[str, Reader]] = {
    kind: {"id": _number, "created_at": _TIMES["created_at"], "updated_at": _TIMES["updated_at"]}
    | ({"processed_at": _TIMES["processed_at"]} if kind == "orders" else {})
    | texts
    for kind, texts in _TEXTS.items()
}
_ORDERS: dict[str, dict[str, Reader]] = {
    kind: {"ID": _number, "CREATED_AT": _TIMES["created_at"], "UPDATED_AT": _TIMES["updated_at"]}
    | ({"PROCESSED_AT": _TIMES["processed_at"]} if kind == "orders" else {})
    for kind in _TEXTS
}


class ShopifySandbox:
    """A shop: customers, orders, products. Deleted objects are simply gone, as in the real API."""

    def __init__(
        self,
        *,
        access_token: str,
        faults: Faults = NO_FAULTS,
        clock: Clock | None = None,
        scopes: Sequence[str] = SCOPES,
    ) -> None:
        """A shop; `scopes` are what its merchant has granted to the token."""
        self.requests = Requests()
        self._access_token = access_token
        self._scopes = scopes
        self._faults = faults
        self._kinds = {
            kind: Collection(lambda item: as_text(item["id"]), orders)
            for kind, orders in _ORDERS.items()
        }
        self._bucket = LeakyBucket(
            BUCKET_POINTS * self._faults.rate_multiplier,
            RESTORE_POINTS_PER_SECOND * self._faults.rate_multiplier,
            clock or utc_now,
        )
        front = Front(self._faults, self.requests, {"errors": "Internal Server Error"})
        path = "/admin/api/{version}/graphql.json"
        endpoint = front.endpoint("graphql", self._graphql)
        self.app = Starlette(routes=[Route(path, endpoint, methods=["POST"])])

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace a customer, an order or a product in the shape of the GraphQL type.

        Connections are plain lists, `customer` and `product` references are `{"id": gid}`, money
        is a MoneyBag whose presentmentMoney may be left out. ValueError or KeyError names what is
        missing.
        """
        missing = [name for name in ("id", "createdAt", "updatedAt") if name not in item]
        if missing:
            raise ValueError(f"an object of {kind} has no {', '.join(missing)}")
        self._kinds[kind].put(filled(kind, item))

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete by gid. The Admin API shows nothing of it: the object is gone (webhooks tell)."""
        self._kinds[kind].remove(key)

    async def _graphql(self, request: Request, draw: Draw) -> Response:
        if request.headers.get("x-shopify-access-token") != self._access_token:
            refusal = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return answer(
                {"errors": refusal},
                401,
                {"www-authenticate": 'Basic realm="Shopify API Authentication"'},
            )
        version = request.path_params["version"]
        if not _VERSION.fullmatch(version):
            return answer({"errors": "Not Found"}, 404)
        headers = {"x-shopify-api-version": version}
        try:
            body = await body_of(request)
            query = as_text(body.get("query"))
            return answer(self._executed(query, body, draw), 200, headers)
        except GraphQLError as error:
            return answer({"errors": [error.formatted]}, 200, headers)
        except ValueError as error:
            return answer({"errors": {"query": str(error)}}, 400, headers)

    def _executed(self, query: str, body: Item, draw: Draw) -> Item:
        document = parsed(_SCHEMA, query)
        if _is_introspection(document):
            return _introspected(document)
        variables, name = body.get("variables"), body.get("operationName")
        warnings: list[Item] = []
        ready = plan(
            _SCHEMA,
            document,
            name if isinstance(name, str) else None,
            variables if isinstance(variables, dict) else {},
            self._resolvers(draw, warnings),
        )
        if ready.requested > MAX_QUERY_POINTS:
            raise _too_dear(ready.requested)
        if self._faults.throttle and not self._bucket.take(ready.requested):
            self.requests.faults["throttled"] += 1
            extensions = {"code": "THROTTLED", "documentation": _RATE_LIMITS_PAGE}
            return {
                "errors": [{"message": "Throttled", "extensions": extensions}],
                "extensions": self._extensions(ready.requested, None, []),
            }
        return self._run(ready, warnings)

    def _run(self, ready: Plan, warnings: list[Item]) -> Item:
        actual = ready.requested
        try:
            data, actual = ready.run()
        finally:
            if self._faults.throttle:
                self._bucket.take(actual - ready.requested)
        return {"data": data, "extensions": self._extensions(ready.requested, actual, warnings)}

    def _extensions(self, requested: int, actual: int | None, warnings: list[Item]) -> Item:
        bucket = self._bucket
        cost: Item = {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": bucket.maximum,
                "currentlyAvailable": int(bucket.available),
                "restoreRate": bucket.restore_rate,
            },
        }
        return {"cost": cost, "search": warnings} if warnings else {"cost": cost}

    def _resolvers(self, draw: Draw, warnings: list[Item]) -> Resolvers:
        kinds = self._kinds

        def listing(kind: str) -> Callable[[Arguments], Listing]:
            return lambda arguments: self._listing(kind, arguments, draw, warnings)

        def reference(kind: str, name: str) -> Callable[[Item, Arguments], Item | None]:
            def find(source: Item, _arguments: Arguments) -> Item | None:
                pointer = source.get(name)
                return (
                    kinds[kind].get(as_text(pointer["id"])) if isinstance(pointer, dict) else None
                )

            return find

        values: dict[tuple[str, str], Callable[[Item, Arguments], object]] = {
            ("QueryRoot", "shop"): lambda _source, _arguments: SHOP,
            ("QueryRoot", "currentAppInstallation"): lambda _source, _arguments: {
                "id": "gid://shopify/AppInstallation/1",
                "accessScopes": [{"handle": scope, "description": ""} for scope in self._scopes],
            },
            ("QueryRoot", "node"): lambda _source, arguments: self._node(arguments["id"]),
            ("QueryRoot", "nodes"): lambda _source, arguments: self._nodes(arguments["ids"]),
            ("Order", "customer"): reference("customers", "customer"),
            ("LineItem", "product"): reference("products", "product"),
        }
        for kind, type_name in TYPES.items():
            values["QueryRoot", type_name.lower()] = _by_id(kinds[kind])
            values["QueryRoot", f"{kind}Count"] = self._count(kind)
        return Resolvers(
            {("QueryRoot", kind): listing(kind) for kind in kinds},
            values,
            {"DateTime": _date_time},
        )

    def _node(self, gid: object) -> Item | None:
        for kind, type_name in TYPES.items():
            if as_text(gid).startswith(f"gid://shopify/{type_name}/"):
                return self._kinds[kind].get(as_text(gid))
        return None

    def _nodes(self, gids: object) -> list[Item | None]:
        assert isinstance(gids, list)  # the schema says so
        return [self._node(gid) for gid in gids]

    def _count(self, kind: str) -> Callable[[Item, Arguments], Item]:
        def count(_source: Item, arguments: Arguments) -> Item:
            search = _search(kind, arguments)
            turn = Turn(limit=MAX_OBJECTS_PER_LISTING)
            where = search.predicate(_READERS[kind])
            page = self._kinds[kind].page("UPDATED_AT", turn, search.bounds("updated_at"), where)
            precision = "AT_LEAST" if page.more else "EXACT"
            return {"count": len(page.found) + page.more, "precision": precision}

        return count

    def _listing(
        self, kind: str, arguments: Arguments, draw: Draw, warnings: list[Item]
    ) -> Listing:
        if f"read_{kind}" not in self._scopes:
            raise GraphQLError(
                f"Access denied for {kind} field. Required access: `read_{kind}` access scope.",
                extensions={"code": "ACCESS_DENIED"},
            )
        search = _search(kind, arguments)
        if search.unknown:
            warnings.append(_warning(kind, arguments, search))
        order = str(arguments["sortKey"])
        if order not in _ORDERS[kind]:
            raise GraphQLError(f"the sandbox does not sort {kind} by {order}")
        after, seen = _opened(arguments.get("after"))
        first = arguments["first"]
        assert isinstance(first, int)  # the compiler checked it
        if seen + first > MAX_OBJECTS_PER_LISTING:
            raise GraphQLError(
                f"Pagination is limited to {MAX_OBJECTS_PER_LISTING} objects; narrow the query.",
                extensions={"code": "BAD_REQUEST"},
            )
        turn = Turn(first, after, bool(arguments["reverse"]), draw.duplicate)
        name = order.lower()
        bounds = search.bounds(name) if name in _READERS[kind] else Bounds()
        page = self._kinds[kind].page(order, turn, bounds, search.predicate(_READERS[kind]))
        if page.repeated:
            self.requests.faults["duplicate"] += 1
        found = [
            (_cursor(entry, seen + place), item)
            for place, (entry, item) in enumerate(page.found, start=1)
        ]
        return Listing(found, page.more, after is not None)


def _search(kind: str, arguments: Arguments) -> Search:
    query = arguments.get("query")
    times = set(_READERS[kind]) & set(_TIMES)
    try:
        return parse_search(as_text(query) if query else None, times, set(_TEXTS[kind]))
    except ValueError as error:
        raise GraphQLError(str(error)) from error


def _warning(kind: str, arguments: Arguments, search: Search) -> Item:
    return {
        "path": [kind],
        "query": arguments.get("query"),
        "warnings": [
            {
                "field": name,
                "message": "Invalid search field for this query.",
                "code": "invalid_field",
            }
            for name in search.unknown
        ],
    }


def _by_id(collection: Collection) -> Callable[[Item, Arguments], Item | None]:
    return lambda _source, arguments: collection.get(as_text(arguments["id"]))


def _cursor(entry: Entry, seen: int) -> str:
    raw = msgspec.json.encode({"last_value": entry[0], "last_id": entry[1], "seen": seen})
    return base64.b64encode(raw).decode()


def _opened(cursor: object) -> tuple[Entry | None, int]:
    """Return where a cursor stands and how many objects came before it."""
    if cursor is None:
        return None, 0
    try:
        raw = msgspec.json.decode(base64.b64decode(as_text(cursor), validate=True))
        return (raw["last_value"], raw["last_id"]), int(raw["seen"])
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise GraphQLError(
            "Invalid cursor for current pagination sort.", extensions={"code": "INVALID_CURSOR"}
        ) from error


def _too_dear(requested: int) -> GraphQLError:
    return GraphQLError(
        f"Query cost is {requested}, which exceeds the single query max cost limit"
        f" ({MAX_QUERY_POINTS}).",
        extensions={
            "code": "MAX_COST_EXCEEDED",
            "cost": requested,
            "maxCost": MAX_QUERY_POINTS,
            "documentation": _RATE_LIMITS_PAGE,
        },
    )


def _date_time(value: object) -> object:
    """Print a time as Shopify does: UTC, whole seconds, Z."""
    text = as_text(value)
    if len(text) == len("2026-01-31T00:00:00Z") and text.endswith("Z"):
        return text
    moment = datetime.fromtimestamp(whole_second(text) / 1_000_000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_introspection(document: DocumentNode) -> bool:
    return any(
        isinstance(field, FieldNode) and field.name.value in {"__schema", "__type"}
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        for field in definition.selection_set.selections
    )


def _introspected(document: DocumentNode) -> Item:
    result = execute_sync(_SCHEMA, document)
    assert isinstance(result, ExecutionResult)
    return dict(result.formatted)
