"""What every connector must do, as checks over its emulator: run by the tests and by hand.

A check puts people behind an emulator, breaks something, syncs, and looks at what was stored.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias

import msgspec
from sqlalchemy import select
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cdp.database import Database
from cdp.delivery import Received
from cdp.sources import SourceRow, add_source, find_source, source_states
from cdp.tables import source_profile
from cdp.values import Json
from cdp.workspace import Workspace
from connectors.base import Page, Source
from connectors.registry import build
from connectors.runner import RunReport, sync
from connectors.sandbox.bluesky import BlueskySandbox
from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.server import serving
from connectors.sandbox.shopify import ShopifySandbox
from connectors.sandbox.square import SquareSandbox
from connectors.sandbox.state import Faults

KEY: Final = "a-key-of-the-sandbox"
WRONG_KEY: Final = "another-key-altogether"
BEGIN: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PEOPLE: Final = 230  # three pages of a hundred
FAST: Final = Faults(rate_multiplier=1_000)


class Broken(Exception):
    """A check found the connector at fault: one sentence."""


class Sandbox(Protocol):
    """What every emulator can do."""

    @property
    def app(self) -> ASGIApp:
        """What is served."""
        ...

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace an object."""
        ...

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete an object."""
        ...


Put: TypeAlias = Callable[[Sandbox, int, str, datetime], None]
"""Put the person of that number, bearing that name, as changed at that moment."""


@dataclass(frozen=True, slots=True)
class Case:
    """A connector with its emulator. `delete` is None where the vendor tells of no deletes."""

    connector: str
    sandbox: Callable[[Faults], Sandbox]
    settings: Mapping[str, str]
    secret: str
    people: str
    put: Put
    delete: Callable[[Sandbox, int, datetime], None] | None = None


@dataclass(slots=True)
class Bench:
    """One check's own source in a database, and the emulator behind it."""

    case: Case
    database: Database
    sandbox: Sandbox
    name: str
    first_number: int = 0
    """Where the numbers of its people begin, so that the people of two checks are not the same."""
    put: dict[int, str] = field(default_factory=dict)

    def fill(self, people: int = PEOPLE, at: datetime = BEGIN) -> None:
        """Put people, each changed a second after the one before."""
        for number in range(people):
            self.change(number, f"Person{number}", at + timedelta(seconds=number))

    def change(self, number: int, name: str, at: datetime) -> None:
        """Put one person."""
        self.case.put(self.sandbox, self.first_number + number, name, at)
        self.put[number] = name

    async def row(self, url: str, settings: Mapping[str, str] | None = None) -> SourceRow:
        """The check's source, reading from that address."""
        async with self.database.transaction() as connection:
            row = await find_source(connection, self.name)
            if row is None:
                row = await add_source(
                    connection, self.name, self.case.connector, self.case.settings
                )
        return replace(row, settings={**self.case.settings, **(settings or {}), "url": url})

    @asynccontextmanager
    async def source(
        self,
        app: ASGIApp | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[SourceRow, Source]]:
        """The connector reading from the emulator, or from another app in front of it."""
        async with serving(app or self.sandbox.app) as url:
            row = await self.row(url, settings)
            source = build(row)
            try:
                yield row, source
            finally:
                await source.close()

    async def sync(
        self,
        app: ASGIApp | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        wrap: Callable[[Source], Source] = lambda source: source,
    ) -> RunReport:
        """One run, with hardly a wait between attempts."""
        async with self.source(app, settings) as (row, source):
            return await sync(self.database, row, wrap(source), Workspace(), backoff_seconds=0.001)

    async def stored(self) -> dict[str, str | None]:
        """The people that are stored and not deleted, by key: their name as the vendor gave it."""
        async with self.database.read_only() as connection:
            row = await find_source(connection, self.name)
            if row is None:
                return {}
            profiles = await connection.execute(
                select(
                    source_profile.c.key,
                    source_profile.c.first_name,
                    source_profile.c.full_name,
                ).where(
                    source_profile.c.source_id == row.id,
                    source_profile.c.stream == "customers",
                    source_profile.c.deleted_at.is_(None),
                )
            )
            return {key: first or full for key, first, full in profiles}

    async def expect_everybody(self) -> None:
        """Everybody who was put is stored once, under the name that they bear now."""
        expect(sorted(self.put.values()), sorted(map(str, (await self.stored()).values())))


def expect(wanted: object, found: object) -> None:
    """Raises Broken where they differ."""
    if wanted != found:
        raise Broken(f"Expected {str(wanted)[:200]}, found {str(found)[:200]}.")


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
    expect("ok", (await bench.sync(_Throttling(bench.sandbox.app))).status)
    await bench.expect_everybody()


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
    report = await bench.sync(_Failing())
    expect("failed", report.status)


async def second_runner_fences_the_first(bench: Bench) -> None:
    """A runner that was overtaken stops at its next page; together they store everybody once."""
    bench.fill()

    async def overtake() -> None:
        expect("ok", (await bench.sync()).status)

    report = await bench.sync(wrap=lambda source: _Paused(source, bench.case.people, 1, overtake))
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


class _Throttling:
    """In front of an emulator: the first request and the third are one too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusals = iter(({"Retry-After": "0"}, None, {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = next(self._refusals, None)
        if headers is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": "slow down"}, 429, headers)(scope, receive, send)


class _Failing:
    """A server that only fails."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"error": "down"}, 503)(scope, receive, send)


class _Killed(BaseException):
    """Stands for the end of the process: nothing may catch it and go on."""


@dataclass(slots=True)
class _Paused:
    """A source that does something after so many pages of a stream."""

    inner: Source
    stream: str
    after_pages: int
    act: Callable[[], Awaitable[None]]

    @property
    def connector(self) -> str:
        return self.inner.connector

    @property
    def streams(self) -> tuple[str, ...]:
        return self.inner.streams

    async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        seen = 0
        async for page in self.inner.pages(stream, cursor):
            if stream == self.stream and seen == self.after_pages:
                await self.act()
            yield page
            seen += 1

    async def check(self) -> str:
        return await self.inner.check()

    async def close(self) -> None:
        await self.inner.close()


async def _killed_after(bench: Bench, pages: int) -> None:
    async def die() -> None:
        raise _Killed

    try:
        await bench.sync(wrap=lambda source: _Paused(source, bench.case.people, pages, die))
    except _Killed:
        return


def _shopify_person(sandbox: Sandbox, number: int, name: str, at: datetime) -> None:
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.put(
        "customers",
        {
            "id": f"gid://shopify/Customer/{1_000 + number}",
            "firstName": name,
            "defaultEmailAddress": {"emailAddress": f"person{number}@example.com"},
            "createdAt": moment,
            "updatedAt": moment,
        },
    )


def _square_person(sandbox: Sandbox, number: int, name: str, at: datetime) -> None:
    moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sandbox.put(
        "customers",
        {
            "id": f"CUSTOMER{number}",
            "given_name": name,
            "email_address": f"person{number}@example.com",
            "created_at": moment,
            "updated_at": moment,
            "version": int(at.timestamp()),
        },
    )


def _klaviyo_person(sandbox: Sandbox, number: int, name: str, at: datetime) -> None:
    moment = at.isoformat(timespec="seconds")
    sandbox.put(
        "profiles",
        {
            "type": "profile",
            "id": f"PROFILE{number}",
            "attributes": {
                "email": f"person{number}@example.com",
                "first_name": name,
                "created": moment,
                "updated": moment,
            },
        },
    )


def _bluesky_person(sandbox: Sandbox, number: int, name: str, at: datetime) -> None:
    did = f"did:plc:person{number:018}"
    moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sandbox.put(
        "profiles",
        {"did": did, "handle": f"person{number}.example.com", "displayName": name},
    )
    sandbox.put(
        "follows",
        {
            "uri": f"at://{did}/app.bsky.graph.follow/self",
            "value": {"subject": BRAND, "createdAt": moment},
            "indexedAt": moment,
        },
    )


BRAND: Final = "did:plc:sandboxbrand000000000000"

CASES: Final[Mapping[str, Case]] = {
    case.connector: case
    for case in (
        Case(
            "shopify",
            lambda faults: ShopifySandbox(access_token=KEY, faults=faults),
            {"shop": "sandbox", "access_token": KEY},
            "access_token",
            "customers",
            _shopify_person,
        ),
        Case(
            "square",
            lambda faults: SquareSandbox(access_token=KEY, faults=faults),
            {"access_token": KEY},
            "access_token",
            "customers",
            _square_person,
            lambda sandbox, number, at: sandbox.delete("customers", f"CUSTOMER{number}", at),
        ),
        Case(
            "klaviyo",
            lambda faults: KlaviyoSandbox(api_key=KEY, faults=faults),
            {"api_key": KEY},
            "api_key",
            "profiles",
            _klaviyo_person,
        ),
        Case(
            "bluesky",
            lambda faults: BlueskySandbox(password=KEY, faults=faults),
            {"identifier": "brand.example.com", "password": KEY},
            "password",
            "followers",
            _bluesky_person,
        ),
    )
}
"""The connectors that have an emulator."""
