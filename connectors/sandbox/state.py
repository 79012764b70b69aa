"""What every emulator holds: its objects in sorted indexes, its faults, its count of requests."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

Item = dict[str, object]
"""One vendor-shaped object, as JSON would carry it."""

Clock = Callable[[], datetime]
"""Where an emulator reads the time; aware."""

SortValue = int | str
Entry = tuple[SortValue, str]
"""A place in a sorted index: the sort value, then the object's key, so that ties have an order."""

# Sorts after every key, so that (value, LAST_KEY) stands behind all entries of that value.
LAST_KEY = "\U0010ffff"

# From here on one sort of the whole list is cheaper than inserting entry by entry.
MAX_SINGLE_INSERTS = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the machine's time; the clock of an emulator that was given none."""
    return datetime.now(UTC)


def micros(text: object) -> int:
    """Return microseconds since 1970 of an ISO 8601 time; ValueError where it has no offset."""
    moment = datetime.fromisoformat(as_text(text))
    if moment.tzinfo is None:
        raise ValueError(f"time without offset: {text!r}")
    return (moment - _EPOCH) // _MICROSECOND


def micros_of(moment: datetime) -> int:
    """Return microseconds since 1970 of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def iso_millis(moment: datetime) -> str:
    """Return a time as most vendors print it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_text(value: object) -> str:
    """Return value if it is text, else ValueError: vendor objects are checked when they are put."""
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, got {value!r}")


def as_item(value: object) -> Item:
    """Return value if it is a JSON object, else ValueError."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"expected an object, got {value!r}")


def as_list(value: object) -> list[object]:
    """Return value if it is a JSON array, else ValueError."""
    if isinstance(value, list):
        return value
    raise ValueError(f"expected a list, got {value!r}")


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose; rates are 0..1, drawn per request from one seeded stream.

    `duplicate_rate` repeats the last item of the previous page at the start of a page;
    `throttle` is the vendor's own limiter; `rate_multiplier` raises the vendor's own budget,
    since a sandbox on loopback need not be as slow as a real account's quota.
    """

    seed: int = 0
    server_error_rate: float = 0.0
    truncated_rate: float = 0.0
    duplicate_rate: float = 0.0
    throttle: bool = True
    rate_multiplier: float = 1.0


NO_FAULTS = Faults()
"""Nothing goes wrong; the vendor's own limiter is on."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decided for one request."""

    server_error: bool
    truncated: bool
    duplicate: bool
    short_page: bool


class Dice:
    """Draws the faults of request after request; the same seed and order give the same faults."""

    # Square's pages "may be shorter"; no rate is published, one in ten shows it in any real sync.
    SHORT_PAGE_RATE = 0.1

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311 (repeatable on purpose, nothing secret)

    def draw(self) -> Draw:
        """Return the next request's faults; always four draws, so no rate shifts another."""
        roll = self._random.random
        faults = self._faults
        return Draw(
            server_error=roll() < faults.server_error_rate,
            truncated=roll() < faults.truncated_rate,
            duplicate=roll() < faults.duplicate_rate,
            short_page=roll() < self.SHORT_PAGE_RATE,
        )


@dataclass(slots=True)
class Requests:
    """What an emulator was asked and what it did on purpose."""

    served: Counter[str] = field(default_factory=Counter)
    """Requests by operation, faulty ones included."""
    faults: Counter[str] = field(default_factory=Counter)
    """Faults given: server_error, truncated, duplicate, throttled."""

    @property
    def total(self) -> int:
        """All requests that reached an operation."""
        return self.served.total()


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range of sort values; None is open. `low_open` and `high_open` exclude the bound itself."""

    low: SortValue | None = None
    low_open: bool = False
    high: SortValue | None = None
    high_open: bool = False


EVERYTHING = Bounds()


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a sorted listing."""

    found: list[tuple[Entry, Item]]
    more: bool
    repeated: bool = False
    """The first item is the one that the previous page ended with."""

    @classmethod
    def of(cls, found: list[tuple[Entry, Item]], turn: "Turn", *, more: bool) -> "Page":
        """Return the page that a turn found; nothing but the repeated item is an empty page.

        Otherwise a vendor that ends its listings with an empty page would never end one.
        """
        repeated = turn.repeat and bool(found) and found[0][0] == turn.after
        if repeated and len(found) == 1:
            return cls([], more=False)
        return cls(found, more, repeated)

    @property
    def items(self) -> list[Item]:
        """The objects alone."""
        return [item for _, item in self.found]

    @property
    def last(self) -> Entry | None:
        """Where the page ended; None when it is empty."""
        return self.found[-1][0] if self.found else None


@dataclass(frozen=True, slots=True)
class Turn:
    """Which part of a listing is wanted."""

    limit: int
    after: Entry | None = None
    descending: bool = False
    repeat: bool = False
    """Begin with `after` itself again: the duplicate across a page boundary."""

    def __post_init__(self) -> None:
        # A page of one that repeats would hold nothing new, for ever.
        if self.limit == 1 or self.after is None:
            object.__setattr__(self, "repeat", False)


class SortedIndex:
    """Entries in order; many additions are sorted once, when somebody reads."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._pending: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Add one entry."""
        self._pending.append(entry)

    def discard(self, entry: Entry) -> None:
        """Take one entry out."""
        entries = self._settled()
        at = bisect_left(entries, entry)
        if at < len(entries) and entries[at] == entry:
            del entries[at]

    def walk(self, bounds: Bounds, turn: Turn) -> Iterator[Entry]:
        """Yield the entries within bounds from the turn's start on, in the turn's direction."""
        entries = self._settled()
        start, stop = self._span(entries, bounds)
        if turn.after is not None:
            if turn.descending:
                behind = bisect_right if turn.repeat else bisect_left
                stop = min(stop, behind(entries, turn.after))
            else:
                behind = bisect_left if turn.repeat else bisect_right
                start = max(start, behind(entries, turn.after))
        places = range(stop - 1, start - 1, -1) if turn.descending else range(start, stop)
        for place in places:
            yield entries[place]

    def count(self, bounds: Bounds) -> int:
        """Return how many entries lie within bounds."""
        start, stop = self._span(self._settled(), bounds)
        return max(0, stop - start)

    @staticmethod
    def _span(entries: list[Entry], bounds: Bounds) -> tuple[int, int]:
        start, stop = 0, len(entries)
        if bounds.low is not None:
            start = bisect_left(entries, (bounds.low, LAST_KEY if bounds.low_open else ""))
        if bounds.high is not None:
            stop = bisect_left(entries, (bounds.high, "" if bounds.high_open else LAST_KEY))
        return start, stop

    def _settled(self) -> list[Entry]:
        if len(self._pending) > MAX_SINGLE_INSERTS:
            self._entries.extend(self._pending)
            self._entries.sort()
        else:
            for entry in self._pending:
                insort(self._entries, entry)
        self._pending.clear()
        return self._entries


class Collection:
    """The objects of one kind, by key and in every order that the vendor can list them."""

    def __init__(
        self,
        key: Callable[[Item], str],
        orders: Mapping[str, Callable[[Item], SortValue | None]],
    ) -> None:
        self._key = key
        self._orders = dict(orders)
        self._indexes = {name: SortedIndex() for name in orders}
        self._items: dict[str, Item] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Item | None:
        """Return one object; None when there is none."""
        return self._items.get(key)

    def put(self, item: Item) -> Item | None:
        """Insert or replace one object; return the one that it replaced."""
        key = self._key(item)
        places = {name: value(item) for name, value in self._orders.items()}
        former = self.remove(key)
        for name, place in places.items():
            if place is not None:
                self._indexes[name].add((place, key))
        self._items[key] = item
        self.version += 1
        return former

    def remove(self, key: str) -> Item | None:
        """Take one object out; return it, or None when there was none."""
        item = self._items.pop(key, None)
        if item is None:
            return None
        for name, value in self._orders.items():
            place = value(item)
            if place is not None:
                self._indexes[name].discard((place, key))
        self.version += 1
        return item

    def page(
        self,
        order: str,
        turn: Turn,
        bounds: Bounds = EVERYTHING,
        where: Callable[[Item], bool] | None = None,
    ) -> Page:
        """Return the turn's part of the listing in that order."""
        found: list[tuple[Entry, Item]] = []
        more = False
        for entry in self._indexes[order].walk(bounds, turn):
            item = self._items[entry[1]]
            if where is not None and not where(item):
                continue
            if len(found) == turn.limit:
                more = True
                break
            found.append((entry, item))
        return Page.of(found, turn, more=more)

    def count(self, order: str, bounds: Bounds = EVERYTHING) -> int:
        """Return how many objects lie within bounds."""
        return self._indexes[order].count(bounds)
