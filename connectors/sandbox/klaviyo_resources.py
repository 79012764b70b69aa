"""What each of Klaviyo's list operations allows: filters, sorts, page sizes, rate windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.sandbox.state import (
    Item,
    SortValue,
    as_item,
    as_text,
    micros,
)

Reader = Callable[[Item], SortValue | None]


# Times in which a filter may compare, besides the text that it may equal.
RANGES = frozenset({"greater-than", "greater-or-equal", "less-than", "less-or-equal"})


_OPEN_RANGES = frozenset({"greater-than", "less-than"})


_EQUALS = frozenset({"equals"})


_ANY = frozenset({"any", "equals"})


def _attribute(item: Item, name: str) -> object:
    return as_item(item["attributes"]).get(name)


def _time(name: str) -> Reader:
    def read(item: Item) -> SortValue | None:
        value = _attribute(item, name)
        return micros(value) if value else None

    return read


def _text(name: str) -> Reader:
    def read(item: Item) -> SortValue | None:
        value = _attribute(item, name)
        return value if isinstance(value, str) else None

    return read


def _text_or_nothing(name: str) -> Reader:
    """Like _text, but an absent text sorts first instead of dropping the object from the list."""
    return lambda item: _text(name)(item) or ""


def _seconds(item: Item) -> SortValue:
    return micros(_attribute(item, "datetime")) // 1_000_000


def _id(item: Item) -> SortValue:
    return as_text(item["id"])


def related(name: str) -> Reader:
    """Return a reader of the id that a relationship points at."""

    def read(item: Item) -> SortValue:
        relation = as_item(as_item(item["relationships"])[name])
        return as_text(as_item(relation["data"])["id"])

    return read


@dataclass(frozen=True, slots=True)
class Resource:
    """What one list operation allows, as its OpenAPI description says (revision 2026-07-15)."""

    type: str
    windows: tuple[tuple[int, int], ...]
    default_sort: str
    sorts: Mapping[str, Reader]
    filters: Mapping[str, frozenset[str]]
    readers: Mapping[str, Reader]
    page_sizes: tuple[int, int] | None
    """Default and maximum; None where page[size] is not a parameter."""
    includes: Mapping[str, str] = field(default_factory=dict)
    """Relationship to the kind that it points at."""
    additional: frozenset[str] = frozenset()
    """Attributes that are left out unless additional-fields names them."""
    required_filter: str | None = None


_CREATED, _UPDATED = _time("created"), _time("updated")


_EVENT_TIME = _time("datetime")


RESOURCES = {
    "profiles": Resource(
        type="profile",
        windows=((75, 1), (750, 60)),
        default_sort="id",
        sorts={
            "id": _id,
            "created": _CREATED,
            "updated": _UPDATED,
            "email": _text_or_nothing("email"),
        },
        filters={
            "id": _ANY,
            "email": _ANY,
            "phone_number": _ANY,
            "external_id": _ANY,
            "created": _OPEN_RANGES,
            "updated": _OPEN_RANGES,
        },
        readers={
            "id": _id,
            "email": _text("email"),
            "phone_number": _text("phone_number"),
            "external_id": _text("external_id"),
            "created": _CREATED,
            "updated": _UPDATED,
        },
        page_sizes=(20, 100),
        additional=frozenset({"subscriptions", "predictive_analytics"}),
    ),
    "events": Resource(
        type="event",
        windows=((350, 1), (3500, 60)),
        default_sort="-datetime",
        sorts={"datetime": _EVENT_TIME, "timestamp": _seconds},
        filters={
            "metric_id": _EQUALS,
            "profile_id": _EQUALS,
            "datetime": RANGES,
            "timestamp": RANGES,
        },
        readers={
            "metric_id": related("metric"),
            "profile_id": related("profile"),
            "datetime": _EVENT_TIME,
            "timestamp": _seconds,
        },
        page_sizes=(200, 1000),
        includes={"metric": "metrics", "profile": "profiles"},
    ),
    "metrics": Resource(
        type="metric",
        windows=((10, 1), (150, 60)),
        default_sort="id",
        sorts={"id": _id},
        filters={},
        readers={},
        page_sizes=None,
    ),
    "campaigns": Resource(
        type="campaign",
        windows=((10, 1), (150, 60)),
        default_sort="created_at",
        sorts={
            "id": _id,
            "name": _text_or_nothing("name"),
            "created_at": _time("created_at"),
            "updated_at": _time("updated_at"),
            "scheduled_at": _time("scheduled_at"),
        },
        filters={
            "messages.channel": _EQUALS,
            "status": _ANY,
            "created_at": RANGES,
            "scheduled_at": RANGES,
            "updated_at": RANGES,
        },
        readers={
            "messages.channel": _text("channel"),
            "status": _text("status"),
            "created_at": _time("created_at"),
            "scheduled_at": _time("scheduled_at"),
            "updated_at": _time("updated_at"),
        },
        page_sizes=(100, 100),
        additional=frozenset({"channel"}),
        required_filter="messages.channel",
    ),
}
