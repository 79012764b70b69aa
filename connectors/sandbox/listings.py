"""Relay listings as Shopify serves and charges them."""

from collections.abc import Callable, Mapping, Sequence
from math import floor, log
from typing import NamedTuple

from connectors.sandbox.state import Item

Arguments = dict[str, object]
"""A field's arguments, coerced."""

Serialize = Callable[[object], object]
"""Turns a scalar into its JSON."""


# A connection costs this much before its items (shopify.engineering, "Rate limiting GraphQL APIs
# by calculating query complexity").
CONNECTION_POINTS = 2


def sized(count: int) -> int:
    """Return how many items' cost a list of `count` is charged.

    Since 2024 Shopify charges far less than one point per item and does not say how much.
    floor(2 ln n), at least 1, agrees with what people measured: 1 -> 1 and 200 -> 10 (Business
    Central's audit of 2025-07), 250 -> 11 (community.shopify.dev 23101: 25 points in all).
    """
    return 0 if count == 0 else max(1, floor(2 * log(count)))


class Listing(NamedTuple):
    """What a connection resolver returns: the items with their cursors."""

    found: Sequence[tuple[str, Item]]
    has_next: bool
    has_previous: bool


ListingResolver = Callable[[Arguments], Listing]


class Resolvers(NamedTuple):
    """How fields are found that are not simply a key of their object, by (type, field)."""

    listings: Mapping[tuple[str, str], ListingResolver]
    values: Mapping[tuple[str, str], Callable[[Item, Arguments], object]]
    scalars: Mapping[str, Serialize]


def page_info(page: Listing) -> Item:
    """Return Relay's PageInfo."""
    return {
        "hasNextPage": page.has_next,
        "hasPreviousPage": page.has_previous,
        "startCursor": page.found[0][0] if page.found else None,
        "endCursor": page.found[-1][0] if page.found else None,
    }


def sliced(value: object, arguments: Arguments) -> Listing:
    """Return a part of a list that lies within its object; the cursor is the place in it."""
    assert isinstance(value, list)  # put() fills the lists
    after, first = arguments.get("after"), arguments["first"]
    assert isinstance(first, int)
    start = int(after) + 1 if isinstance(after, str) and after.isdigit() else 0
    found = [(str(start + place), item) for place, item in enumerate(value[start : start + first])]
    return Listing(found, start + first < len(value), start > 0)
