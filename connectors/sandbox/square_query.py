"""One request to Square: its limit, its cursor, its time ranges, its page."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from connectors.sandbox.state import (
    Bounds,
    Collection,
    Draw,
    Entry,
    Item,
    Page,
    Requests,
    Turn,
    as_item,
    as_text,
    micros,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operation's `limit` may be."""

    default: int
    maximum: int


class SquareError(ValueError):
    """A request that Square refuses; `code` is one of its ErrorCode."""

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.body: Item = {"category": "INVALID_REQUEST_ERROR", "code": code, "detail": detail}
        if field is not None:
            self.body["field"] = field


class Query:
    """One request: its parameters, its place in the listing, its luck."""

    def __init__(self, asked: Item, draw: Draw) -> None:
        self.asked = asked
        self.draw = draw
        # A cursor belongs to its query: only limit and cursor may change from page to page.
        same = {k: v for k, v in asked.items() if k not in {"cursor", "limit"}}
        self._digest = hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()[:16]

    def part(self, *names: str) -> Item:
        """Return a nested object of the request; {} where it is absent."""
        found = self.asked
        for name in names:
            found = as_item(found.get(name) or {})
        return found

    def limit(self, limits: Limits) -> int:
        """Return the page's size; SquareError when it is out of range."""
        limit = self.asked.get("limit", limits.default)
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise SquareError("EXPECTED_INTEGER", "Expected an integer value.", "limit")
        if limit < 1:
            raise SquareError("VALUE_TOO_LOW", "`limit` must be at least 1.", "limit")
        if limit > limits.maximum:
            raise SquareError(
                "VALUE_TOO_HIGH", f"`limit` must be at most {limits.maximum}.", "limit"
            )
        return limit

    def turn(self, limit: int, *, descending: bool = False) -> Turn:
        """Return the part of the listing that is asked for; SquareError on a foreign cursor."""
        after: Entry | None = None
        cursor = self.asked.get("cursor")
        if cursor:
            try:
                digest, value, key = msgspec.json.decode(
                    base64.urlsafe_b64decode(as_text(cursor)), type=tuple[str, int | str, str]
                )
            except (binascii.Error, msgspec.DecodeError, ValueError) as error:
                raise SquareError("INVALID_CURSOR", "Invalid cursor.", "cursor") from error
            if digest != self._digest:
                raise SquareError(
                    "INVALID_CURSOR", "The cursor belongs to another query.", "cursor"
                )
            after = (value, key)
        return Turn(limit, after, descending, self.draw.duplicate)

    def paged(self, name: str, page: Page, requests: Requests) -> Item:
        """Return the body of one page; an empty one is {}, as Square answers."""
        if page.repeated:
            requests.faults["duplicate"] += 1
        body: Item = {name: page.items} if page.items else {}
        if page.more and page.last is not None:
            raw = msgspec.json.encode([self._digest, *page.last])
            body["cursor"] = base64.urlsafe_b64encode(raw).decode()
        return body


def cut(
    collection: Collection, entries: list[Entry], turn: Turn, where: Callable[[Item], bool]
) -> Page:
    """Return a turn's part of prepared entries."""
    start = 0
    if turn.after is not None:
        start = _place(entries, turn)
    found: list[tuple[Entry, Item]] = []
    for entry in entries[start:]:
        item = collection.get(entry[1])
        if item is None or not where(item):
            continue
        if len(found) == turn.limit:
            return Page.of(found, turn, more=True)
        found.append((entry, item))
    return Page.of(found, turn, more=False)


def _place(entries: list[Entry], turn: Turn) -> int:
    """Return where a turn begins in entries that are sorted in its direction."""
    after = turn.after
    assert after is not None  # the caller looked
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        entry = entries[middle]
        before = entry > after if turn.descending else entry < after
        if before or (entry == after and not turn.repeat):
            low = middle + 1
        else:
            high = middle
    return low


def time_range(value: object, *, high_open: bool = False) -> Bounds:
    """Read a TimeRange; both ends belong to it unless `high_open`."""
    if value is None:
        return Bounds()
    asked = as_item(value)
    try:
        low, high = (
            micros(asked[end]) if asked.get(end) else None for end in ("start_at", "end_at")
        )
    except ValueError as error:
        raise SquareError("INVALID_TIME", str(error)) from error
    if low is not None and high is not None and low > high:
        raise SquareError("INVALID_TIME_RANGE", "start_at is after end_at.")
    return Bounds(low=low, high=high, high_open=high_open)


def within(bounds: Bounds, value: int) -> bool:
    """Say whether a time lies in a range, both ends included."""
    low, high = bounds.low, bounds.high
    return (not isinstance(low, int) or value >= low) and (
        not isinstance(high, int) or value <= high
    )
