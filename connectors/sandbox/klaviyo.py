"""Emulates Klaviyo's JSON:API: profiles, events, metrics, campaigns, in two rate windows."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.front import Front, Handler, answer
from connectors.sandbox.klaviyo_filter import Comparison, KlaviyoError, parse_filter
from connectors.sandbox.klaviyo_resources import RANGES, RESOURCES, Resource, related
from connectors.sandbox.limiter import FixedWindow, Windows
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
    as_text,
    utc_now,
)

MEDIA_TYPE = "application/vnd.api+json"
_REVISION = re.compile(r"\d{4}-\d{2}-\d{2}(\.\w+)?")


# Asking for predictive analytics has budgets of its own (OpenAPI, Get Profiles).
_PREDICTIVE_WINDOWS = ((10, 1), (150, 60))

# Metrics have no page[size]: at most 200 a page (OpenAPI, Get Metrics).
_METRICS_PAGE = 200


class KlaviyoSandbox:
    """An account with profiles, events, metrics and campaigns."""

    def __init__(
        self, *, api_key: str, faults: Faults = NO_FAULTS, clock: Clock | None = None
    ) -> None:
        self.requests = Requests()
        self._api_key = api_key
        self._faults = faults
        self._clock = clock or utc_now
        self._kinds = {
            kind: Collection(lambda item: as_text(item["id"]), resource.sorts)
            for kind, resource in RESOURCES.items()
        }
        multiplier = self._faults.rate_multiplier
        self._windows = {
            kind: Windows(resource.windows, multiplier) for kind, resource in RESOURCES.items()
        }
        self._windows["profile"] = Windows(RESOURCES["profiles"].windows, multiplier)
        self._windows["predictive"] = Windows(_PREDICTIVE_WINDOWS, multiplier)
        front = Front(
            self._faults, self.requests, _errors(500, "error", "A server error occurred.", {})
        )
        routes = [
            Route(f"/api/{kind}", front.endpoint(f"get_{kind}", self._guarded(kind)))
            for kind in RESOURCES
        ]
        one = front.endpoint("get_profile", self._guarded("profile"))
        self.app = Starlette(routes=[*routes, Route("/api/profiles/{id}", one)])

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace one JSON:API resource (`type`, `id`, `attributes`, `relationships`).

        Kinds: profiles, events, metrics, campaigns. A profile's attributes may carry
        `subscriptions`, shown only when asked for; a campaign's a `channel` (email, sms,
        mobile_push), never shown, which the obligatory filter messages.channel compares.
        """
        resource = RESOURCES[kind]
        if item.get("type") != resource.type:
            raise ValueError(f"{kind} take type {resource.type!r}, got {item.get('type')!r}")
        self._kinds[kind].put(item)

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete by id. Lists show nothing of it; a profile asked for by its id answers 404."""
        self._kinds[kind].remove(key)

    def _guarded(self, operation: str) -> Handler:
        """Wrap an operation: key, revision, both rate windows, errors."""

        async def serve(request: Request, draw: Draw) -> Response:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            budget = operation
            if "predictive_analytics" in _additional(request, "profile"):
                budget = "predictive"
            windows = self._windows[budget]
            now = self._clock()
            spent = windows.take(now) if self._faults.throttle else None
            if spent is not None:
                self.requests.faults["throttled"] += 1
                return _throttled(spent, now)
            try:
                body = self._body(operation, request, draw)
            except KlaviyoError as error:
                source = {"parameter": error.parameter}
                body = _errors(error.status, error.code, str(error), source)
                return answer(body, error.status, _budget(windows, now), MEDIA_TYPE)
            return answer(body, 200, _budget(windows, now), MEDIA_TYPE)

        return serve

    def _refusal(self, request: Request) -> Response | None:
        header = request.headers.get("authorization", "")
        if not header.startswith("Klaviyo-API-Key "):
            detail = "Missing or invalid authorization scheme. Please use Klaviyo-API-Key."
            body = _errors(401, "not_authenticated", detail, {"pointer": "/data/"})
            return answer(body, 401, media_type=MEDIA_TYPE)
        if header != f"Klaviyo-API-Key {self._api_key}":
            detail = "Missing or invalid private key."
            body = _errors(401, "authentication_failed", detail, {"pointer": "/data/"})
            return answer(body, 401, media_type=MEDIA_TYPE)
        if not _REVISION.fullmatch(request.headers.get("revision", "")):
            detail = "The revision header must be a date, YYYY-MM-DD."
            body = _errors(400, "invalid", detail, {"parameter": "revision"})
            return answer(body, 400, media_type=MEDIA_TYPE)
        return None

    def _body(self, operation: str, request: Request, draw: Draw) -> Item:
        base = str(request.base_url).rstrip("/")
        if operation != "profile":
            return self._list(_List(operation, RESOURCES[operation], request, base), draw)
        shape = _Shape(RESOURCES["profiles"], request, base)
        profile = self._kinds["profiles"].get(request.path_params["id"])
        if profile is None:
            detail = f"A profile with id {request.path_params['id']} does not exist."
            raise KlaviyoError(detail, "id", code="not_found", status=404)
        return {"data": shape.shown(profile)}

    def _list(self, listing: "_List", draw: Draw) -> Item:
        comparisons = listing.comparisons()
        sort, descending = listing.sort()
        after = listing.after()
        turn = Turn(listing.size(), after, descending, draw.duplicate)
        bounds, where = _split(comparisons, sort, listing.resource)
        page = self._kinds[listing.kind].page(sort, turn, bounds, where)
        if page.repeated:
            self.requests.faults["duplicate"] += 1
        shape = _Shape(listing.resource, listing.request, listing.base)
        body: Item = {
            "data": [shape.shown(item) for item in page.items],
            "links": {
                "self": str(listing.request.url),
                "next": listing.next(page),
                "prev": None,
            },
        }
        wanted = listing.includes()
        if wanted:
            body["included"] = self._included(listing, wanted, page)
        return body

    def _included(self, listing: "_List", wanted: list[str], page: Page) -> list[Item]:
        found: list[Item] = []
        for relation in wanted:
            kind = listing.resource.includes[relation]
            shape = _Shape(RESOURCES[kind], listing.request, listing.base)
            read = related(relation)
            for key in dict.fromkeys(as_text(read(item)) for item in page.items):
                item = self._kinds[kind].get(key)
                if item is not None:
                    found.append(shape.shown(item))
        return found


class _List:
    """The parameters of one list request, checked as they are read."""

    def __init__(self, kind: str, resource: Resource, request: Request, base: str) -> None:
        self.kind = kind
        self.resource = resource
        self.request = request
        self.base = base
        self._parameters = request.query_params

    def comparisons(self) -> list[Comparison]:
        """Return the filter; KlaviyoError when a field or operator is not allowed here."""
        found = parse_filter(self._parameters.get("filter", ""))
        for one in found:
            if one.operator not in self.resource.filters.get(one.field, frozenset()):
                detail = f"'{one.operator}' is not an allowed operator for '{one.field}'."
                raise KlaviyoError(detail, "filter")
        required = self.resource.required_filter
        if required is not None and required not in {one.field for one in found}:
            raise KlaviyoError(f"A filter on {required} is required.", "filter")
        return found

    def sort(self) -> tuple[str, bool]:
        """Return the sort field and whether it runs downwards."""
        asked = self._parameters.get("sort", self.resource.default_sort)
        name = asked.removeprefix("-")
        if name not in self.resource.sorts:
            raise KlaviyoError(f"'{asked}' is not a valid sort.", "sort")
        return name, asked.startswith("-")

    def size(self) -> int:
        """Return the page's size."""
        asked = self._parameters.get("page[size]")
        if self.resource.page_sizes is None:
            if asked is not None:
                raise KlaviyoError("'size' is not a valid page parameter.", "page[size]")
            return _METRICS_PAGE
        default, maximum = self.resource.page_sizes
        if asked is None:
            return default
        if not asked.isdigit() or not 1 <= int(asked) <= maximum:
            raise KlaviyoError(f"Page size must be between 1 and {maximum}.", "page[size]")
        return int(asked)

    def includes(self) -> list[str]:
        """Return the relationships to include."""
        asked = [name for name in self._parameters.get("include", "").split(",") if name]
        for name in asked:
            if name not in self.resource.includes:
                raise KlaviyoError(f"'{name}' is not a valid include.", "include")
        return asked

    def after(self) -> Entry | None:
        """Return where the cursor stands; None on the first page."""
        cursor = self._parameters.get("page[cursor]")
        if not cursor:
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[int | str, str])
        except (binascii.Error, msgspec.DecodeError, ValueError) as error:
            raise KlaviyoError("Invalid cursor.", "page[cursor]") from error

    def next(self, page: Page) -> str | None:
        """Return the next page's full address, with all parameters of this one."""
        if not page.more or page.last is None:
            return None
        cursor = base64.urlsafe_b64encode(msgspec.json.encode(page.last)).decode()
        kept = [(k, v) for k, v in self._parameters.multi_items() if k != "page[cursor]"]
        return f"{self.base}{self.request.url.path}?{urlencode([*kept, ('page[cursor]', cursor)])}"


class _Shape:
    """How one resource is shown: sparse fieldsets, additional fields, links."""

    def __init__(self, resource: Resource, request: Request, base: str) -> None:
        self._hidden = resource.additional - _additional(request, resource.type)
        fields = request.query_params.get(f"fields[{resource.type}]")
        self._fields = None if fields is None else {f.split(".")[0] for f in fields.split(",")}
        self._url = f"{base}/api/{resource.type}s/"

    def shown(self, item: Item) -> Item:
        """Return the resource as this request sees it."""
        attributes = {
            name: value
            for name, value in as_item(item["attributes"]).items()
            if name not in self._hidden and (self._fields is None or name in self._fields)
        }
        links = {"self": f"{self._url}{item['id']}/"}
        return {**item, "attributes": attributes, "links": links}


def _additional(request: Request, type_name: str) -> set[str]:
    return set(request.query_params.get(f"additional-fields[{type_name}]", "").split(","))


def _split(
    comparisons: list[Comparison], sort: str, resource: Resource
) -> tuple[Bounds, Callable[[Item], bool] | None]:
    """Turn comparisons of the sort's own field into a range, the others into a test."""
    bounds = Bounds()
    tests: list[Comparison] = []
    for one in comparisons:
        if one.field == sort and one.operator in RANGES:
            bounds = one.narrowed(bounds)
        else:
            tests.append(one)
    if not tests:
        return bounds, None
    readers = resource.readers
    return bounds, lambda item: all(one.holds(readers[one.field](item)) for one in tests)


def _budget(windows: Windows, now: datetime) -> dict[str, str]:
    """Return the headers of the steady window, which every answer but a 429 carries."""
    steady = windows.windows[-1]
    return {
        "RateLimit-Limit": str(steady.limit),
        "RateLimit-Remaining": str(steady.remaining),
        "RateLimit-Reset": str(steady.seconds_left(now)),
    }


def _throttled(spent: FixedWindow, now: datetime) -> Response:
    seconds = spent.seconds_left(now)
    plural = "" if seconds == 1 else "s"
    detail = f"Request was throttled. Expected available in {seconds} second{plural}."
    body = _errors(429, "throttled", detail, {"pointer": "/data/"}, "Request was throttled.")
    return answer(body, 429, {"Retry-After": str(seconds)}, MEDIA_TYPE)


def _errors(
    status: int, code: str, detail: str, source: dict[str, str], title: str | None = None
) -> Item:
    identifier = str(uuid5(NAMESPACE_URL, f"{code}:{detail}"))
    titles = {
        400: "Invalid input.",
        401: "Incorrect authentication credentials.",
        404: "Not found.",
    }
    error: Item = {
        "id": identifier,
        "status": status,
        "code": code,
        "title": title or titles.get(status, detail),
        "detail": detail,
        "source": source,
        "links": {},
        "meta": {},
    }
    return {"errors": [error]}
