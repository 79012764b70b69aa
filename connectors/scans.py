"""Reads a list in windows of time: bounds stay fixed for a scan, the watermark moves at its end."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cdp.delivery import Delivery
from cdp.values import Json
from connectors.base import Abort, Page
from connectors.reading import Item

OVERLAP: Final = timedelta(minutes=5)
"""Read again before the watermark: longer than any vendor's index is known to lag."""

EARLIEST: Final = datetime(1971, 1, 1, tzinfo=UTC)
"""Before it no vendor changed anything; from it on, some days less are a moment still."""

MAX_PAGES: Final = 1_000_000  # of one scan; a vendor whose list never ends is at fault
MAX_CIRCLE: Final = 10_000  # pages whose cursors are remembered: less than a megabyte


@dataclass(frozen=True, slots=True)
class Scan:
    """One reading of a list: what changed from `start` (None: ever) to `end`, both inclusive.

    `page` is the vendor's own cursor, None for the first page. `latest` is the last change seen:
    it becomes the watermark when the scan is complete. Our clock has a say in it only where a
    change is said to come after the scan: by such a watermark nothing would ever be read again.
    """

    start: datetime | None
    end: datetime
    page: str | None = None
    latest: datetime | None = None

    def after(self, step: "Step") -> "Scan":
        """The same scan, one page on."""
        seen = [moment for moment in (self.latest, step.latest) if moment is not None]
        latest = min(max(seen), self.end) if seen else None
        return replace(self, page=step.next_page, latest=latest)

    @property
    def since(self) -> datetime | None:
        """Where a list in the order of change is to be begun, or begun again."""
        return self.start if self.latest is None else self.latest

    def unfinished(self) -> Json:
        """The cursor within the scan."""
        return {
            "start": _written(self.start),
            "end": _written(self.end),
            "page": self.page,
            "latest": _written(self.latest),
        }

    def finished(self, overlap: timedelta) -> Json:
        """The cursor after the scan: the next one starts a little before the last change seen."""
        since = self.start if self.latest is None else self.latest - overlap
        return {"since": _written(since)}


@dataclass(frozen=True, slots=True)
class Step:
    """One response: what it delivers, the vendor's cursor of the next, the last change in it."""

    deliveries: Sequence[Delivery]
    next_page: str | None
    latest: datetime | None = None


def open_scan(cursor: Json, now: datetime) -> Scan:
    """Take up the scan that a cursor is in the middle of, or begin the next one."""
    if not isinstance(cursor, dict):
        return Scan(None, now)
    end = _read(cursor.get("end"))
    if end is None:
        return Scan(_read(cursor.get("since"), until=now), now)
    page = cursor.get("page")
    return Scan(
        _read(cursor.get("start"), until=end),
        end,
        page if isinstance(page, str) else None,
        _read(cursor.get("latest"), until=end),
    )


async def scan(
    cursor: Json,
    fetch: Callable[[Scan], Awaitable[Step]],
    *,
    now: datetime,
    overlap: timedelta = OVERLAP,
) -> AsyncIterator[Page]:
    """Every page of one scan. A vendor's cursor that has gone stale starts the scan again.

    Raises Abort for a list that goes in a circle or does not end, and what `fetch` raises.
    """
    current = open_scan(cursor, now)
    is_resumed = current.page is not None
    recent = _Recent()
    for _ in range(MAX_PAGES):
        try:
            step = await fetch(current)
        except Abort as refusal:
            if not is_resumed or refusal.status != 400:
                raise
            current, is_resumed = replace(current, page=None), False
            continue
        is_resumed = False
        recent.add(current.page)
        if step.next_page in recent:
            raise Abort("The vendor's list goes in a circle: it gave the same cursor again.")
        current = current.after(step)
        if current.page is None:
            yield Page(step.deliveries, current.finished(overlap))
            return
        yield Page(step.deliveries, current.unfinished())
    raise Abort(f"The list did not end within {MAX_PAGES} pages.")


class _Recent:
    """The cursors of the last pages, as hashes: a vendor's cursor may be long."""

    def __init__(self) -> None:
        self._order: deque[int] = deque(maxlen=MAX_CIRCLE)
        self._hashes: set[int] = set()

    def add(self, page: str | None) -> None:
        """Remember one; the oldest is forgotten where there are too many."""
        if page is None:
            return
        if len(self._order) == MAX_CIRCLE:
            self._hashes.discard(self._order[0])
        self._order.append(hash(page))
        self._hashes.add(hash(page))

    def __contains__(self, page: str | None) -> bool:
        return page is not None and hash(page) in self._hashes


def latest_of(items: Sequence[Item], *path: str, until: datetime | None = None) -> datetime | None:
    """The latest moment at the path among the objects of a page; unreadable ones do not count.

    Neither do those after `until`, the end of a scan, which are no changes that it could have seen.
    """
    moments = (_read(item.get(*path)) for item in items)
    return max(
        (each for each in moments if each is not None and (until is None or each <= until)),
        default=None,
    )


def utc_now() -> datetime:
    """The machine's time, for a connector that is given no other clock."""
    return datetime.now(UTC)


def written(moment: datetime) -> str:
    """A moment as vendors take it: UTC, microseconds, Z."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)


def _read(value: object, *, until: datetime | None = None) -> datetime | None:
    """A moment in UTC, `until` for a later one; None for what is none that a vendor could mean."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if moment < EARLIEST:
        return None
    return moment if until is None else min(moment, until)
