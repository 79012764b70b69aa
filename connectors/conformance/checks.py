"""The checks: each puts people behind an emulator, breaks something, syncs, and looks again."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from cdp.database import Database
from cdp.delivery import Received
from cdp.sources import source_states
from cdp.values import Json
from connectors.base import Page
from connectors.conformance.bench import BEGIN, FAST, PEOPLE, WRONG_KEY, Bench, Broken, Case, expect
from connectors.conformance.troubles import Failing, Killed, Paused, Throttling

BAD_NAMES: Final = ("Nul\0", "Half\ud83d", {"first": "Ann"})
"""Text that PostgreSQL cannot hold, text that no encoding can, and what is no text."""


async def map_is_pure(bench: Bench) -> None:
    """The same list read twice gives the same deliveries."""
    bench.fill()
    async with bench.source() as (_, source):
        for stream in source.streams:
            first = [page.deliveries async for page in source.pages(stream, None)]
            again = [page.deliveries async for page in source.pages(stream, None)]
            expect(list(map(list, first)), list(map(list, again)))


async def replay_adds_nothing(bench: Bench) -> None:
    """A second sync, and a full one, find everything unchanged."""
    bench.fill()
    expect("ok", (await bench.sync()).status)
    report = await bench.sync()
    expect((0, 0, 0), tuple(report.counts[name] for name in ("new", "changed", "deleted")))
    await bench.expect_everybody()


async def cursor_resumes_anywhere(bench: Bench) -> None:
    """From the cursor of any page the rest of the list follows, and every cursor is plain JSON."""
    bench.fill()
    async with bench.source() as (_, source):
        whole = [page async for page in source.pages(bench.case.people, None)]
        for place, page in enumerate(whole[:-1]):
            cursor: Json = msgspec.json.decode(msgspec.json.encode(page.cursor))
            rest = [each async for each in source.pages(bench.case.people, cursor)]
            missing = _keys(whole[place + 1 :]) - _keys(rest)
            expect(set(), missing)
        cursors = [msgspec.json.encode(page.cursor) for page in whole]
        expect(len(cursors), len(set(cursors)))


async def every_stream_has_a_cursor(bench: Bench) -> None:
    """After a sync each stream has a place to resume."""
    bench.fill()
    await bench.sync()
    async with bench.database.read_only() as connection:
        states = await source_states(connection)
    cursors = next(state.cursors for state in states if state.name == bench.name)
    expect([], [stream for stream, cursor in cursors.items() if cursor is None])


async def duplicates_at_page_boundaries(bench: Bench) -> None:
    """An object that two pages repeat is stored once."""
    bench.sandbox = bench.case.sandbox(replace(FAST, duplicate_rate=1.0))
    bench.fill()
    expect("ok", (await bench.sync()).status)
    await bench.expect_everybody()


async def last_page_may_be_empty(bench: Bench) -> None:
    """A list whose length is a multiple of the page's ends."""
    bench.fill(200)
    expect("ok", (await bench.sync()).status)
    await bench.expect_everybody()


async def nobody_at_all(bench: Bench) -> None:
    """An empty source is read to its end, and the people who come later are found."""
    expect("ok", (await bench.sync()).status)
    bench.fill(3)
    await bench.sync()
    await bench.expect_everybody()


async def change_in_the_instant_of_the_watermark(bench: Bench) -> None:
    """A change that bears the very moment at which the last sync stopped is not lost."""
    bench.fill()
    await bench.sync()
    bench.change(PEOPLE, "Newcomer", BEGIN + timedelta(seconds=PEOPLE - 1))
    await bench.sync()
    await bench.expect_everybody()


async def later_change_is_seen(bench: Bench) -> None:
    """A change after the last sync arrives, and becomes the person's name."""
    bench.fill()
    await bench.sync()
    bench.change(0, "Renamed", BEGIN + timedelta(hours=1))
    await bench.sync()
    await bench.expect_everybody()


async def delete_is_seen(bench: Bench) -> None:
    """Somebody deleted at the vendor is deleted here."""
    assert bench.case.delete is not None
    at = datetime.now(UTC) - timedelta(hours=2)
    bench.fill(3, at)
    await bench.sync()
    bench.case.delete(bench.sandbox, bench.first_number + 1, at + timedelta(hours=1))
    del bench.put[1]
    await bench.sync()
    await bench.expect_everybody()


async def errors_that_pass(bench: Bench) -> None:
    """Server errors and bodies that break off cost time, not records."""
    bench.sandbox = bench.case.sandbox(
        replace(FAST, seed=3, server_error_rate=0.2, truncated_rate=0.2)
    )
    bench.fill()
    expect("ok", (await bench.sync()).status)
    await bench.expect_everybody()


async def throttled_with_no_time_to_wait(bench: Bench) -> None:
    """429 with `Retry-After: 0`, or without, is waited out with our own backoff."""
    bench.fill()
    expect("ok", (await bench.sync(Throttling(bench.sandbox.app))).status)
    await bench.expect_everybody()


async def bad_records_keep_no_good_one_out(bench: Bench) -> None:
    """Records that cannot be taken are refused, each with its reason, until they can be taken."""
    bench.fill()
    moment = BEGIN + timedelta(seconds=PEOPLE // 2)  # on a page with good ones before and after
    for number, name in enumerate(BAD_NAMES, start=PEOPLE):
        bench.spoil(number, name, moment)
    expect("partial", (await bench.sync()).status)
    await bench.expect_everybody()
    letters = await bench.letters()
    expect({"customers"}, {letter.stream for letter in letters})
    expect(len(BAD_NAMES), len({letter.key for letter in letters if letter.key and letter.reason}))
    for number in range(PEOPLE, PEOPLE + len(BAD_NAMES)):
        bench.change(number, f"Person{number}", BEGIN + timedelta(hours=1))
    expect("ok", (await bench.sync()).status)
    await bench.expect_everybody()
    expect([], await bench.letters())


async def wrong_key_stops_it(bench: Bench) -> None:
    """A wrong key ends the run with the vendor's answer; nothing stored is lost, no key shown."""
    bench.fill()
    await bench.sync()
    report = await bench.sync(settings={bench.case.secret: WRONG_KEY})
    expect("failed", report.status)
    error = report.error or ""
    if "answered 40" not in error or bench.name not in error or WRONG_KEY in error:
        raise Broken(f"The refusal names not source and answer, or shows the key: {error}")
    await bench.expect_everybody()
    expect("ok", (await bench.sync()).status)


async def silent_server_gives_up(bench: Bench) -> None:
    """A server that only fails ends the run after a bounded number of attempts."""
    report = await bench.sync(Failing())
    expect("failed", report.status)


async def second_runner_fences_the_first(bench: Bench) -> None:
    """A runner that was overtaken stops at its next page; together they store everybody once."""
    bench.fill()

    async def overtake() -> None:
        expect("ok", (await bench.sync()).status)

    report = await bench.sync(wrap=lambda source: Paused(source, bench.case.people, 1, overtake))
    expect("failed", report.status)
    if "took over" not in (report.error or ""):
        raise Broken(f"It does not say that another run took over: {report.error}")
    await bench.expect_everybody()


async def kill_between_pages_resumes(bench: Bench) -> None:
    """A run that is killed after any page is taken up there, and loses and doubles nothing."""
    bench.fill()
    for pages in range(3):
        await _killed_after(bench, pages)
    expect("ok", (await bench.sync()).status)
    await bench.expect_everybody()


Check: TypeAlias = Callable[[Bench], Awaitable[None]]

CHECKS: Final[Mapping[str, Check]] = {
    check.__name__: check
    for check in (
        map_is_pure,
        replay_adds_nothing,
        cursor_resumes_anywhere,
        every_stream_has_a_cursor,
        duplicates_at_page_boundaries,
        last_page_may_be_empty,
        nobody_at_all,
        change_in_the_instant_of_the_watermark,
        later_change_is_seen,
        delete_is_seen,
        errors_that_pass,
        throttled_with_no_time_to_wait,
        bad_records_keep_no_good_one_out,
        wrong_key_stops_it,
        silent_server_gives_up,
        second_runner_fences_the_first,
        kill_between_pages_resumes,
    )
}


def checks_of(case: Case) -> list[str]:
    """The names of the checks that its vendor makes possible: not all tell of deletes."""
    return [
        name
        for name, check in CHECKS.items()
        if check is not delete_is_seen or case.delete is not None
    ]


async def run_check(case: Case, name: str, database: Database) -> None:
    """Run one check, with a source and people of its own. Raises Broken."""
    first_number = list(CHECKS).index(name) * 1_000
    bench = Bench(case, database, case.sandbox(FAST), f"{case.connector}.{name}", first_number)
    await CHECKS[name](bench)


def _keys(pages: Sequence[Page]) -> set[str]:
    return {
        delivery.record.key
        for page in pages
        for delivery in page.deliveries
        if isinstance(delivery, Received)
    }


async def _killed_after(bench: Bench, pages: int) -> None:
    async def die() -> None:
        raise Killed

    try:
        await bench.sync(wrap=lambda source: Paused(source, bench.case.people, pages, die))
    except Killed:
        return
