"""Square's Events API: what has happened to a seller's objects, searched for 28 days."""

from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from connectors.sandbox.square_kinds import CREATED, EVENT_NAMES, key_of
from connectors.sandbox.square_query import Limits, Query, time_range
from connectors.sandbox.state import Bounds, Collection, Item, Requests, micros_of

EVENTS_KEPT: Final = timedelta(days=28)  # OpenAPI description of SearchEvents
MERCHANT_ID: Final = "MLSANDBOX0001"

_EVENTS = Limits(100, 100)


class EventLog:
    """Every event so far; those that Square has forgotten are not found."""

    def __init__(self) -> None:
        self._events = Collection(key_of("event_id"), {"CREATED_AT": CREATED})

    def note(self, kind: str, key: str, what: str, moment: str, item: Item | None) -> None:
        """An object was created, updated or deleted; `item` is None of one that is gone."""
        prefix, name = EVENT_NAMES[kind]
        event_type = f"{prefix}.{what}"
        if prefix == "loyalty.event":
            event_type = "loyalty.event.created"
        event_id = uuid5(NAMESPACE_URL, f"{event_type}:{key}:{moment}")
        data: Item = {"type": name, "id": key}
        data |= {"deleted": True} if item is None else {"object": {name: item}}
        self._events.put(
            {
                "merchant_id": MERCHANT_ID,
                "type": event_type,
                "event_id": str(event_id),
                "created_at": moment,
                "data": data,
            }
        )

    def search(self, query: Query, now: datetime, requests: Requests) -> Item:
        """The answer of SearchEvents."""
        filters, sort = query.part("query", "filter"), query.part("query", "sort")
        types = filters.get("event_types")
        oldest = micros_of(now - EVENTS_KEPT)
        asked = time_range(filters.get("created_at"))
        low = asked.low if isinstance(asked.low, int) else oldest
        bounds = Bounds(low=max(low, oldest), high=asked.high)

        def where(item: Item) -> bool:
            return not isinstance(types, list) or item["type"] in types

        turn = query.turn(query.limit(_EVENTS), descending=sort.get("order") == "DESC")
        page = self._events.page("CREATED_AT", turn, bounds, where)
        body = query.paged("events", page, requests)
        body["metadata"] = [
            {"event_id": e["event_id"], "api_version": "2025-08-20"} for e in page.items
        ]
        return body
