"""A list is read page by page to its end, and one that has none is left."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, cycle, repeat

import pytest

from cdp.values import Json
from connectors.base import Abort
from connectors.reading import Item
from connectors.scans import MAX_CIRCLE, OVERLAP, Scan, Step, latest_of, open_scan, scan, written

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


async def pages_read(next_pages: Iterator[str | None], cursor: str | None = None) -> int:
    """How many pages were read to the end of the list; fewer than none where it is a circle."""
    read = 0

    async def fetch(_at: Scan) -> Step:
        return Step([], next(next_pages))

    start: Json = {"end": "2026-01-05T10:00:00Z", "page": cursor} if cursor else None
    try:
        async for _ in scan(start, fetch, now=NOW):
            read += 1
    except Abort:
        return -read
    return read


@pytest.mark.parametrize(
    ("next_pages", "read"),
    [
        (lambda: chain(map(str, range(30)), repeat(None)), 31),
        (lambda: repeat("a"), -1),
        (lambda: cycle("ab"), -2),
        (lambda: chain("abc", cycle("xyz")), -6),
    ],
)
async def test_list_that_goes_in_a_circle_is_left(
    next_pages: Callable[[], Iterator[str | None]], read: int
) -> None:
    assert await pages_read(next_pages()) == read


async def test_circle_back_to_where_a_run_was_taken_up_is_seen() -> None:
    assert await pages_read(cycle("ba"), cursor="a") == -1


async def test_cursors_that_are_remembered_are_bounded() -> None:
    circle = [str(number) for number in range(MAX_CIRCLE + 1)]
    ends = chain(circle, ["0"], repeat(None))
    assert await pages_read(ends) == MAX_CIRCLE + 3


def found(*moments: object) -> list[Item]:
    return [Item({"updated": moment}) for moment in moments]


@pytest.mark.parametrize(
    "moment",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-01-05",
        "soon",
        None,
    ],
)
def test_moment_that_no_vendor_can_mean_does_not_count(moment: object) -> None:
    honest = "2025-01-05T10:00:00+02:00"
    assert latest_of(found(moment), "updated") is None
    assert latest_of(found(moment, honest), "updated") == datetime(2025, 1, 5, 8, tzinfo=UTC)


def test_change_after_the_scan_does_not_count() -> None:
    items = found("2026-01-05T09:00:00Z", "9999-12-31T23:59:59Z")
    assert latest_of(items, "updated", until=NOW) == NOW - timedelta(hours=1)


async def watermark_after(latest: datetime | None, cursor: Json = None) -> datetime | None:
    """Where the next scan starts after one page with that last change."""

    async def fetch(_at: Scan) -> Step:
        return Step([], None, latest)

    (page,) = [page async for page in scan(cursor, fetch, now=NOW)]
    return open_scan(page.cursor, NOW).start


async def test_change_in_the_far_future_does_not_end_a_list_for_good() -> None:
    never = datetime(2900, 1, 1, tzinfo=UTC)
    assert await watermark_after(never) == NOW - OVERLAP
    assert await watermark_after(None, {"since": "2900-01-01T00:00:00Z"}) == NOW
    halfway: Json = {"end": written(NOW), "page": "a", "latest": "2900-01-01T00:00:00Z"}
    assert await watermark_after(None, halfway) == NOW - OVERLAP


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
async def test_watermark_at_the_end_of_time_reads_the_list_from_its_beginning(since: str) -> None:
    assert await watermark_after(None, {"since": since}) is None
