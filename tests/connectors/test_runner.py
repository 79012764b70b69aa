"""Runs end ok, partial or failed, and lose nothing on the way."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, select

from cdp.database import Database
from cdp.delivery import Batch, Checkpoint, Delivery, Refused, receive
from cdp.ingest import apply
from cdp.rebuild import rebuild
from cdp.sources import SourceRow, add_source, source_states, start_run, take_checkpoint
from cdp.tables import customer, dead_letter, source_profile, sync_run
from cdp.values import Json
from cdp.workspace import Workspace, read_workspace, write_setting
from connectors.base import Abort, Page, Retry, Skip
from connectors.runner import MAX_ATTEMPTS, Progress, RunReport, sync

pytestmark = pytest.mark.anyio


def person(number: int) -> Delivery:
    return receive("customers", {"id": str(number), "email": f"person{number}@example.com"})


def bad(number: int) -> Delivery:
    return Refused("customers", str(number), "It is bad.", "email", b"{}", f"place {number}")


@dataclass
class Script:
    """A source that gives out these pages; an exception among them is raised, once."""

    script: list[Sequence[Delivery] | Exception]
    connector: str = "script"
    streams: tuple[str, ...] = ("people",)
    asked_from: list[Json] = field(default_factory=list)

    async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Play the script from the cursor on."""
        self.asked_from.append(cursor)
        place = cursor if isinstance(cursor, int) else 0
        while place < len(self.script):
            step = self.script[place]
            if isinstance(step, Exception):
                del self.script[place]
                raise step
            place += 1
            yield Page(step, place)

    async def check(self) -> str:
        """All is well."""
        return "It answers."

    async def close(self) -> None:
        """Nothing is open."""


async def a_source(database: Database, name: str = "script") -> SourceRow:
    async with database.transaction() as connection:
        return await add_source(connection, name, "script", {})


async def run(
    database: Database,
    row: SourceRow,
    source: Script,
    *,
    full: bool = False,
    has_budget: bool = False,
) -> RunReport:
    return await sync(
        database,
        row,
        source,
        Workspace(),
        full=full,
        has_budget=has_budget,
        backoff_seconds=0.0,
    )


async def stored(database: Database) -> int:
    async with database.read_only() as connection:
        count = await connection.execute(select(func.count()).select_from(source_profile))
        return count.scalar_one()


async def test_retry_goes_on_from_the_last_commit(database: Database) -> None:
    row = await a_source(database)
    source = Script([[person(1)], Retry("later"), [person(2)], Retry("again"), [person(3)]])
    report = await run(database, row, source)
    assert (report.status, report.records) == ("ok", {"people": 3})
    assert source.asked_from == [None, 1, 2]
    assert await stored(database) == 3


async def test_attempts_are_bounded_and_what_was_read_is_kept(database: Database) -> None:
    row = await a_source(database)
    failures = [Retry("down") for _ in range(MAX_ATTEMPTS + 5)]
    source = Script([[person(1)], *failures, [person(2)]])
    report = await run(database, row, source)
    assert report.status == "failed"
    assert "down" in (report.error or "")
    assert source.asked_from == [None] + [1] * (MAX_ATTEMPTS - 1)
    assert await stored(database) == 1


async def test_wait_longer_than_bearable_ends_the_run(database: Database) -> None:
    row = await a_source(database)
    report = await run(database, row, Script([Retry("tomorrow", 86_400)]))
    assert report.status == "failed"


async def test_abort_names_the_source_and_keeps_what_was_read(database: Database) -> None:
    row = await a_source(database)
    report = await run(database, row, Script([[person(1)], Abort("The vendor says no.")]))
    assert (report.status, report.error) == ("failed", "script (script): The vendor says no.")
    assert await stored(database) == 1


async def test_run_with_a_refused_record_is_partial(database: Database) -> None:
    row = await a_source(database)
    report = await run(database, row, Script([[person(1), bad(2), person(3)]]))
    assert (report.status, report.counts["refused"]) == ("partial", 1)
    assert await stored(database) == 2
    async with database.read_only() as connection:
        letters = await connection.execute(select(dead_letter.c.reason))
        assert letters.scalars().all() == ["It is bad."]


async def test_too_many_refused_records_stop_a_run_that_has_a_budget(database: Database) -> None:
    row = await a_source(database)
    pages = [[bad(place * 60 + number) for number in range(60)] for place in range(4)]
    report = await run(database, row, Script([*pages, [person(1)]]), has_budget=True)
    assert (report.status, report.records) == ("failed", {"people": 120})
    assert "120 of 120" in (report.error or "")


async def test_too_many_refused_records_do_not_stop_a_run_without(database: Database) -> None:
    row = await a_source(database)
    pages = [[bad(place * 60 + number) for number in range(60)] for place in range(4)]
    report = await run(database, row, Script([*pages, [person(1)]]))
    assert report.status == "partial"
    assert await stored(database) == 1


async def test_next_run_resumes_and_a_full_one_begins_again(database: Database) -> None:
    row = await a_source(database)
    await run(database, row, Script([[person(1)], [person(2)]]))
    second = Script([[person(1)], [person(2)], [person(3)]])
    assert (await run(database, row, second)).records == {"people": 1}
    assert second.asked_from == [2]
    third = Script([[person(1)]])
    assert (await run(database, row, third, full=True)).counts["unchanged"] == 1
    assert third.asked_from == [None]


async def test_runner_that_was_overtaken_stops_and_rolls_its_page_back(database: Database) -> None:
    row = await a_source(database)

    class Overtaken(Script):
        async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
            async for page in super().pages(stream, cursor):
                if page.cursor == 2:
                    async with database.transaction() as connection:
                        await take_checkpoint(connection, row.id, stream)
                yield page

    report = await run(database, row, Overtaken([[person(1)], [person(2)], [person(3)]]))
    assert report.status == "failed"
    assert "took over" in (report.error or "")
    assert await stored(database) <= 1


class Sold(Script):
    """Two orders of ten euros, between which the workspace begins to count in dollars."""

    database: Database

    async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """The second page comes once the currency is another."""
        async for page in super().pages(stream, cursor):
            if page.cursor == 2 and self.asked_from == [None]:
                async with self.database.transaction() as connection:
                    await write_setting(connection, "currency", "USD")
            yield page


def an_order(number: int) -> Delivery:
    order = {"id": str(number), "email": "ann@example.com", "currency": "EUR", "total": "10"}
    return receive("orders", {**order, "placed_at": f"2026-01-0{number}T10:00:00Z"})


async def spend(database: Database) -> tuple[int, int]:
    """Net spend of the one customer, and how many of her orders have no rate."""
    async with database.read_only() as connection:
        row = await connection.execute(select(customer.c.net_spend, customer.c.unpriced_count))
        net, unpriced = row.one()
    return int(net), unpriced


async def test_page_read_under_other_settings_is_read_again_by_those_in_force(
    database: Database,
) -> None:
    row, source = await a_source(database), Sold([[an_order(1)], [an_order(2)]])
    source.database = database

    async def read() -> Workspace:
        async with database.read_only() as connection:
            return await read_workspace(connection)

    report = await sync(database, row, source, await read(), read_anew=read)
    assert (report.status, report.error, dict(report.records)) == ("ok", None, {"people": 2})
    assert source.asked_from in ([None, 1], [None, None])
    net, unpriced = await spend(database)
    assert (unpriced, net) in [(1, 10), (2, 0)]  # as the first page was stored before, or not
    async with database.transaction() as connection:
        await rebuild(connection, await read())
    assert await spend(database) == (0, 2)


async def test_run_that_cannot_read_the_settings_anew_says_what_happened(
    database: Database,
) -> None:
    row, source = await a_source(database), Sold([[an_order(1)], [an_order(2)]])
    source.database = database
    report = await run(database, row, source)
    assert report.status == "failed"
    assert "The settings of the workspace changed" in (report.error or "")
    assert "Another run" not in (report.error or "")


async def test_fault_of_ours_fails_the_run_and_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    row = await a_source(database)
    report = await run(database, row, Script([[person(1)], ZeroDivisionError("a secret")]))
    assert report.status == "failed"
    assert report.error == (
        "script (script): The program itself is at fault (ZeroDivisionError). Its log tells where."
    )
    assert "ZeroDivisionError: a secret" in caplog.text
    async with database.read_only() as connection:
        (state,) = await source_states(connection)
    assert state.last_run is not None
    assert (state.state, state.last_run.error) == ("failed", report.error)
    assert await stored(database) == 1


async def test_reader_of_our_output_who_left_interrupts_the_run(database: Database) -> None:
    row = await a_source(database)

    def leave(_step: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await sync(database, row, Script([[person(1)]]), Workspace(), on_progress=leave)
    async with database.read_only() as connection:
        (state,) = await source_states(connection)
    assert state.last_run is not None
    assert (state.state, state.last_run.error) == ("failed", "It was interrupted.")


@dataclass
class Lists:
    """A source of several lists, each of one person or of an error."""

    lists: Mapping[str, Delivery | Exception]
    connector: str = "script"

    @property
    def streams(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.lists)

    async def pages(self, stream: str, _cursor: Json) -> AsyncIterator[Page]:
        """One page, or the error."""
        found = self.lists[stream]
        if isinstance(found, Exception):
            raise found
        yield Page([found], "end")

    async def check(self) -> str:
        """All is well."""
        return "It answers."

    async def close(self) -> None:
        """Nothing is open."""


async def test_list_that_is_refused_leaves_the_later_ones_to_be_read(database: Database) -> None:
    row = await a_source(database)
    lists: dict[str, Delivery | Exception] = {
        "deletes": Abort("It answered 403.", status=403),
        "people": person(1),
        "places": Abort("It answered 404.", status=404),
        "shops": Skip("Expected a list of objects.", "shops"),
        "guests": person(2),
    }
    report = await sync(database, row, Lists(lists), Workspace())
    assert (report.status, report.records) == ("failed", {"people": 1, "guests": 1})
    assert report.error == (
        "script (script): The list deletes was refused: It answered 403."
        " The list places was refused: It answered 404."
        " The answer for the list shops cannot be read: shops: Expected a list of objects."
    )
    assert await stored(database) == 2


async def test_key_that_is_refused_ends_the_run_at_once(database: Database) -> None:
    row = await a_source(database)
    lists = {"deletes": Abort("It answered 401.", status=401), "people": person(1)}
    report = await sync(database, row, Lists(lists), Workspace())
    assert (report.records, report.error) == ({}, "script (script): It answered 401.")


async def test_progress_tells_records_and_waits(database: Database) -> None:
    row = await a_source(database)
    told: list[Progress] = []
    source = Script([[person(1)], Retry("later"), [person(2)]])
    await sync(database, row, source, Workspace(), on_progress=told.append, backoff_seconds=0.0)
    assert [step.records for step in told] == [1, 1, 2]
    assert [step.waiting for step in told] == ["", "later Again in under a second.", ""]


async def test_killed_run_does_not_count_as_running_for_ever(database: Database) -> None:
    row = await a_source(database)
    async with database.transaction() as connection:
        await start_run(connection, row.id)
    await run(database, row, Script([[person(1)]]))
    async with database.read_only() as connection:
        runs = await connection.execute(select(sync_run.c.status).order_by(sync_run.c.id))
    assert runs.scalars().all() == ["failed", "ok"]


async def test_page_that_is_rolled_back_leaves_its_cursor_where_it_was(database: Database) -> None:
    row = await a_source(database)
    async with database.transaction() as connection:
        taken = await take_checkpoint(connection, row.id, "people")
    batch = Batch(row.id, [person(1)], Checkpoint("people", "further", taken.epoch))
    async with database.engine.connect() as connection:
        await apply(connection, batch, Workspace())
        await connection.rollback()
    async with database.transaction() as connection:
        assert (await take_checkpoint(connection, row.id, "people")).cursor is None
    assert await stored(database) == 0
