"""A list is read page by page to its end, and one that has none is left."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, cycle, repeat

import pytest

from cdp.values import Json
from connectors.base import Abort
from connectors.scans import MAX_CIRCLE, Scan, Step, scan

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
