"""Segments: saved, refreshed for whom was touched and by the clock, told in the feed, explained."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database, driver
from cdp.deciding import Author
from cdp.delivery import Deleted
from cdp.errors import BadInput, NotFound
from cdp.query import present
from cdp.refresh import follow
from cdp.segments.definition import delete_segment, slug_of, update_segment
from cdp.segments.lists import ById, ByIdentifier, Named, add_members, remove_members
from cdp.segments.overlap import overlap
from cdp.segments.preview import preview
from cdp.segments.refresh import mark_due, refresh_segments, refresh_step, take_turn
from cdp.segments.segment import definition_of, get_segment, list_segments
from cdp.segments.settle import settle_now
from cdp.segments.why import why
from cdp.stewardship import merge_customers, split_customer
from cdp.values import CustomerId, ProfileId
from tests.cdp.ingesting import WORKSPACE, drop, take
from tests.cdp.segmenting import (
    Stage,
    a_segment,
    customer_ids,
    feed,
    members,
    refreshed,
    without_starters,
)
from tests.cdp.sent import noted

pytestmark = pytest.mark.anyio


@pytest.fixture
def stage(connection: AsyncConnection) -> Stage:
    """For what needs no commit."""
    return Stage(connection)


NOW = datetime.now(UTC)
AUTHOR = Author("steward", "A test decides.")


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


async def three_shoppers(place: Database | Stage) -> dict[str, int]:
    """Ann bought three times, Bo once and long ago, Cy never; returns their ids."""
    async with place.transaction() as connection:
        await without_starters(connection)
        await take(
            connection,
            "customers",
            [
                {"id": "ann", "email": "ann@example.com", "first_name": "Ann", "country": "DE"},
                {"id": "bo", "email": "bo@example.com", "first_name": "Bo", "country": "GB"},
                {"id": "cy", "email": "cy@example.com", "first_name": "Cy"},
            ],
        )
        await take(
            connection,
            "orders",
            [
                an_order("o1", "ann", 40),
                an_order("o2", "ann", 20),
                an_order("o3", "ann", 3),
                an_order("o4", "bo", 200),
            ],
        )
        return dict(await customer_ids(connection))


def an_order(key: str, customer: str, days: float, **more: object) -> dict[str, object]:
    return {
        "id": key,
        "customer_id": customer,
        "placed_at": ago(days),
        "currency": "EUR",
        "total": "10",
        **more,
    }


BUYERS = {"purchases": {"orderCount": {"gte": 1}}}


async def test_members_are_found_and_told_with_their_cause(database: Database) -> None:
    ids = await three_shoppers(database)
    async with database.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    done = await refresh_segments(database, WORKSPACE)
    assert (done.entered, done.exited) == (2, 0)
    async with database.transaction() as connection:
        assert await members(connection) == {"buyers": {ids["ann"], ids["bo"]}}
        assert sorted(await feed(connection)) == [
            ("buyers", "ENTERED", ids["ann"], "segment created", None),
            ("buyers", "ENTERED", ids["bo"], "segment created", None),
        ]


async def test_ingest_moves_only_whom_it_touched(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    async with stage.transaction() as connection:
        await take(connection, "orders", [an_order("o5", "cy", 1)])
        await take(connection, "orders", [an_order("o4", "bo", 200, status="cancelled")])
    done = await refreshed(stage)
    assert (done.whole, done.entered, done.exited) == (0, 1, 1)
    async with stage.transaction() as connection:
        assert await members(connection) == {"buyers": {ids["ann"], ids["cy"]}}
        assert sorted((await feed(connection))[2:]) == [
            ("buyers", "ENTERED", ids["cy"], "ingest", None),
            ("buyers", "EXITED", ids["bo"], "ingest", None),
        ]


async def test_second_refresh_finds_nothing_to_do(stage: Stage) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    again = await refreshed(stage)
    assert (again.whole, again.touched, again.entered, again.exited) == (0, 0, 0, 0)


async def test_who_comes_back_has_two_stays(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    for status in ("cancelled", "completed"):
        async with stage.transaction() as connection:
            await take(connection, "orders", [an_order("o4", "bo", 200, status=status)])
        await refreshed(stage)
    async with stage.transaction() as connection:
        member = tables.segment_membership
        rows = await connection.execute(
            select(member.c.entered_at, member.c.exited_at)
            .where(member.c.customer_id == ids["bo"])
            .order_by(member.c.entered_at)
        )
        (first_in, first_out), (second_in, second_out) = rows.all()
    assert first_in < first_out < second_in
    assert second_out is None


async def test_message_of_a_known_customer_counts(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    opened = {"messages": {"some": {"kind": {"eq": "opened"}, "campaignId": {"eq": "spring"}}}}
    async with stage.transaction() as connection:
        await a_segment(connection, "Spring readers", opened)
    await refreshed(stage)
    message = {
        "id": "m1",
        "customer_id": "ann",
        "channel": "email",
        "kind": "opened",
        "campaign_id": "spring",
        "occurred_at": ago(1),
    }
    async with stage.transaction() as connection:
        await take(connection, "messages", [message])
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"spring-readers": {ids["ann"]}}
        await take(connection, "messages", [{**message, "customer_id": "bo"}])
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"spring-readers": {ids["bo"]}}
        await drop(connection, Deleted("messages", "m1", NOW))
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"spring-readers": set()}


async def test_record_that_is_dated_ahead_counts_from_its_moment(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Complained", {"tickets": {"some": {}}})
        await take(connection, "tickets", [{"id": "t1", "customer_id": "cy", "opened_at": ago(-2)}])
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"complained": set()}
    await refreshed(stage, NOW + timedelta(days=3))
    async with stage.transaction() as connection:
        assert await members(connection) == {"complained": {ids["cy"]}}


async def test_day_that_passes_moves_members_by_the_clock(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Recent", {"rfm": {"recencyDays": {"lte": 30}}})
    await refreshed(stage)
    done = await refreshed(stage, NOW + timedelta(minutes=1))
    assert done.whole == 0
    done = await refreshed(stage, NOW + timedelta(days=40))
    assert (done.whole, done.exited) == (1, 1)
    async with stage.transaction() as connection:
        assert (await feed(connection))[-1] == ("recent", "EXITED", ids["ann"], "clock", None)


async def test_what_time_cannot_change_is_never_due(stage: Stage) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Germans", {"country": {"eq": "DE"}})
        await a_segment(connection, "Anybody with a message", {"messages": {"some": {}}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert {one.due_at for one in await list_segments(connection)} == {None}


async def test_segment_of_segments_follows_those_that_it_names(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Zealous", {"rfm": {"recencyDays": {"lte": 30}}})
        named = {"segments": {"in": ["zealous"]}, "country": {"eq": "DE"}}
        await a_segment(connection, "A first", named)
        await a_segment(connection, "The others", {"segments": {"notIn": ["zealous"]}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {
            "zealous": {ids["ann"]},
            "a-first": {ids["ann"]},
            "the-others": {ids["bo"], ids["cy"]},
        }
        await take(connection, "orders", [an_order("o9", "bo", 0)])
    await refreshed(stage)
    async with stage.transaction() as connection:
        found = await members(connection)
        assert (found["zealous"], found["the-others"]) == ({ids["ann"], ids["bo"]}, {ids["cy"]})
    await refreshed(stage, NOW + timedelta(days=40))
    async with stage.transaction() as connection:
        found = await members(connection)
        assert (found["a-first"], found["the-others"]) == (set(), {*ids.values()})


async def test_other_definition_is_evaluated_and_so_are_its_users(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Base", {"country": {"eq": "DE"}})
        await a_segment(connection, "User", {"segments": {"in": ["base"]}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        await update_segment(connection, "base", WORKSPACE, filter_={"country": {"eq": "GB"}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"base": {ids["bo"]}, "user": {ids["bo"]}}
        causes = {cause for _, _, _, cause, _ in (await feed(connection))[2:]}
        assert causes == {"definition changed"}


async def test_deleted_segment_is_emptied_and_its_slug_is_free(stage: Stage) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    async with stage.transaction() as connection:
        await delete_segment(connection, "buyers", WORKSPACE)
    done = await refreshed(stage)
    assert done.exited == 2
    async with stage.transaction() as connection:
        assert (await feed(connection))[-1][3] == "segment deleted"
        with pytest.raises(NotFound):
            await get_segment(connection, "buyers")
        await a_segment(connection, "Buyers", BUYERS)
    assert (await refreshed(stage)).entered == 2


async def test_merged_customer_leaves_with_the_cause_and_the_survivor_enters(
    database: Database,
) -> None:
    ids = await three_shoppers(database)
    async with database.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
        await a_segment(connection, "Germans", {"country": {"eq": "DE"}})
    await refreshed(database)
    async with database.transaction() as connection:
        together = [CustomerId(ids["cy"]), CustomerId(ids["bo"])]
        await merge_customers(connection, together, AUTHOR, WORKSPACE)
    await refreshed(database)
    survivor, gone = sorted((ids["bo"], ids["cy"]))
    async with database.transaction() as connection:
        assert (await members(connection))["buyers"] == {ids["ann"], survivor}
    async with database.transaction() as connection:
        together = [CustomerId(ids["ann"]), CustomerId(survivor)]
        await merge_customers(connection, together, AUTHOR, WORKSPACE)
    await refreshed(database)
    async with database.transaction() as connection:
        told = await feed(connection)
    assert ("buyers", "EXITED", survivor, "merged into", ids["ann"]) in told
    assert ("buyers", "ENTERED", gone, "merged with", survivor) not in told


async def test_split_tells_from_whom(database: Database) -> None:
    ids = await three_shoppers(database)
    async with database.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
        together = [CustomerId(ids["ann"]), CustomerId(ids["bo"])]
        await merge_customers(connection, together, AUTHOR, WORKSPACE)
    await refreshed(database)
    async with database.transaction() as connection:
        assert (await members(connection))["buyers"] == {ids["ann"]}
        leaving = [ProfileId(ids["bo"])]
        await split_customer(connection, CustomerId(ids["ann"]), leaving, AUTHOR, WORKSPACE)
    await refreshed(database)
    async with database.transaction() as connection:
        assert (await members(connection))["buyers"] == {ids["ann"], ids["bo"]}
        last = (await feed(connection))[-1]
    assert last == ("buyers", "ENTERED", ids["bo"], "split from", ids["ann"])


async def test_backlog_is_answered_by_looking_at_everybody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp.segments.refresh.WHOLE_FROM", 2)
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    async with stage.transaction() as connection:
        await take(connection, "orders", [an_order(f"p{who}", who, 1) for who in ids])
    done = await refreshed(stage)
    assert (done.whole, done.touched, done.entered) == (1, 0, 1)
    async with stage.transaction() as connection:
        assert (await feed(connection))[-1] == ("buyers", "ENTERED", ids["cy"], "ingest", None)
        assert (
            await connection.scalar(select(func.count()).select_from(tables.touched_customer)) == 0
        )


async def test_batch_that_touches_most_customers_is_answered_by_looking_at_everybody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp.segments.refresh.MANY_FROM", 1)
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    async with stage.transaction() as connection:
        # Ten times the same one is one.
        for number in range(10):
            await take(connection, "orders", [an_order(f"p{number}", "cy", 1)])
    few = await refreshed(stage)
    assert (few.whole, few.touched, few.entered) == (0, 1, 1)
    async with stage.transaction() as connection:
        await take(connection, "orders", [an_order(key, "ann", 1, status="cancelled")
                                          for key in ("o1", "o2", "o3")])  # fmt: skip
        await take(connection, "orders", [an_order("o4", "bo", 1, status="cancelled")])
    most = await refreshed(stage)
    assert (most.whole, most.touched, most.exited) == (1, 0, 2)
    async with stage.transaction() as connection:
        assert await members(connection) == {"buyers": {ids["cy"]}}


async def _in_levels(connection: AsyncConnection) -> None:
    """Segments that are due at once: two that name none, others that name these, and worse."""
    await a_segment(connection, "Gone", BUYERS)
    while await refresh_step(connection, WORKSPACE, await take_turn(connection)):
        pass
    await delete_segment(connection, "gone", WORKSPACE)
    await a_segment(connection, "Z buyers", BUYERS)
    await a_segment(connection, "Y Germans", {"country": {"eq": "DE"}})
    await a_segment(connection, "Broken", {"country": {"eq": "GB"}})
    await a_segment(
        connection, "B both", {"segments": {"in": ["z-buyers"]}, "country": {"eq": "DE"}}
    )
    await a_segment(connection, "C of broken", {"segments": {"notIn": ["broken"]}})
    await a_segment(connection, "A others", {"segments": {"notIn": ["b-both"]}})
    await connection.execute(
        tables.segment.update()
        .where(tables.segment.c.slug == "broken")
        .values(filter={"gone": {"eq": 1}})
    )


async def test_segments_that_are_due_at_once_are_looked_at_level_by_level(
    stage: Stage,
) -> None:
    ids = await three_shoppers(stage)
    ann, bo, cy = (ids[key] for key in ("ann", "bo", "cy"))
    async with stage.transaction() as connection:
        await _in_levels(connection)
        before = len(await feed(connection))
        steps = []
        while step := await refresh_step(connection, WORKSPACE, await take_turn(connection)):
            steps.append((step.whole, step.entered, step.exited))
        # What is gone; what names none, and what cannot be read; what names these; what names that.
        assert steps == [(1, 0, 2), (3, 3, 0), (2, 4, 0), (1, 2, 0)]
        assert await members(connection) == {
            "z-buyers": {ann, bo},
            "y-germans": {ann},
            "broken": set(),
            "b-both": {ann},
            "c-of-broken": {ann, bo, cy},
            "a-others": {bo, cy},
        }
        told = [(slug, kind, who) for slug, kind, who, _, _ in (await feed(connection))[before:]]
        assert told == [
            *(("gone", "EXITED", who) for who in sorted((ann, bo))),
            *(("z-buyers", "ENTERED", who) for who in sorted((ann, bo))),
            ("y-germans", "ENTERED", ann),
            ("b-both", "ENTERED", ann),
            *(("c-of-broken", "ENTERED", who) for who in sorted((ann, bo, cy))),
            *(("a-others", "ENTERED", who) for who in sorted((bo, cy))),
        ]
        found = {one.slug: one for one in await list_segments(connection)}
        assert {one.due_at for one in found.values()} == {None}
        assert all(one.evaluated_at is not None for one in found.values())
        assert [slug for slug, one in found.items() if one.error is not None] == ["broken"]


async def test_step_that_is_lost_is_told_once_by_the_next(connection: AsyncConnection) -> None:
    await three_shoppers(Stage(connection))
    await _in_levels(connection)
    lost = 0
    while True:
        async with connection.begin_nested() as savepoint:
            step = await refresh_step(connection, WORKSPACE, await take_turn(connection))
            await savepoint.rollback()
        again = await refresh_step(connection, WORKSPACE, await take_turn(connection))
        assert again == step
        if again is None:
            break
        lost += 1
    assert lost == 4
    told = await feed(connection)
    assert len(told) == len(set(told))


async def test_segments_of_one_level_are_looked_at_by_one_statement(
    connection: AsyncConnection,
) -> None:
    await three_shoppers(Stage(connection))
    await refreshed(Stage(connection))
    for number in range(20):
        await a_segment(connection, f"Buyers {number}", BUYERS)
    await a_segment(connection, "Of them", {"segments": {"in": ["buyers-1"]}})
    async with noted(await driver(connection), connection) as sent:
        while await refresh_step(connection, WORKSPACE, await take_turn(connection)):
            pass
    assert sum("INSERT INTO segment_change" in one for one in sent) == 2


LONG_LIST = {"country": {"in": ["x"] * 249 + ["DE"]}}
LONG_EXPRESSION = {"rfm": {"group": {"ne": "PROSPECT"}}}


@pytest.mark.parametrize(
    ("segments", "asked"),
    [
        pytest.param(2, [LONG_LIST] * 75, id="lists"),
        pytest.param(
            4,
            [LONG_EXPRESSION] * 99 + [{"country": {"eq": "DE"}}],
            id="expressions",
            marks=pytest.mark.prove,
        ),
    ],
)
async def test_segments_that_are_too_long_together_are_still_looked_at(
    stage: Stage, segments: int, asked: list[object]
) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        for number in range(segments):
            await a_segment(connection, f"Germans {number}", {"and": asked})
    await refreshed(stage)
    async with stage.transaction() as connection:
        found = await members(connection)
        assert found == {f"germans-{number}": {ids["ann"]} for number in range(segments)}
        await take(connection, "customers", [{"id": "bo", "country": "DE"}])
    await refreshed(stage)
    async with stage.transaction() as connection:
        both = {ids["ann"], ids["bo"]}
        assert set(map(frozenset, (await members(connection)).values())) == {frozenset(both)}
        assert all(one.error is None for one in await list_segments(connection))


async def test_refresh_that_dies_leaves_everything_to_the_next(database: Database) -> None:
    ids = await three_shoppers(database)
    async with database.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(database)
    async with database.transaction() as connection:
        await take(connection, "orders", [an_order("o5", "cy", 1)])

    async with database.engine.connect() as connection:
        step = await refresh_step(connection, WORKSPACE, await take_turn(connection))
        assert step is not None
        assert step.entered == 1
        await connection.rollback()
    await refreshed(database)
    async with database.transaction() as connection:
        told = [one for one in await feed(connection) if one[2] == ids["cy"]]
    assert told == [("buyers", "ENTERED", ids["cy"], "ingest", None)]


async def test_two_refreshes_at_once_tell_everything_once(database: Database) -> None:
    ids = await three_shoppers(database)
    async with database.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
        await a_segment(connection, "Recent", {"rfm": {"recencyDays": {"lte": 30}}})
    await asyncio.gather(*(follow(database, WORKSPACE) for _ in range(4)))
    async with database.transaction() as connection:
        told = await feed(connection)
        assert len(told) == len(set(told)) == 3
        assert (await members(connection))["buyers"] == {ids["ann"], ids["bo"]}


# Saving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "place"),
    [
        ({"purchases": {"shoes": {"eq": 1}}}, "filter.purchases.shoes"),
        ({"segments": {"in": ["nobody"]}}, "filter.segments"),
        ({"segments": {"in": ["mine"]}}, "filter.segments"),
        ({"or": [{"country": {"like": "D"}}]}, "filter.or[0].country.like"),
        ([], "filter"),
    ],
)
async def test_filter_that_cannot_be_read_is_refused_when_it_is_saved(
    stage: Stage, filter_: object, place: str
) -> None:
    async with stage.transaction() as connection:
        with pytest.raises(BadInput) as refusal:
            await a_segment(connection, "Mine", filter_)
    assert refusal.value.path == place


async def test_circle_of_segments_is_refused(stage: Stage) -> None:
    async with stage.transaction() as connection:
        await a_segment(connection, "One", {"country": {"eq": "DE"}})
        await a_segment(connection, "Two", {"not": {"segments": {"in": ["one"]}}})
        await a_segment(connection, "Three", {"or": [{"segments": {"notIn": ["two"]}}]})
        circle = {"segments": {"in": ["three"]}}
        with pytest.raises(BadInput, match="name itself: "):
            await update_segment(connection, "one", WORKSPACE, filter_=circle)


async def test_segment_that_another_names_is_not_deleted(stage: Stage) -> None:
    async with stage.transaction() as connection:
        await a_segment(connection, "One", {"country": {"eq": "DE"}})
        await a_segment(connection, "Two", {"segments": {"in": ["one"]}})
        with pytest.raises(BadInput, match="'two'"):
            await delete_segment(connection, "one", WORKSPACE)
        await delete_segment(connection, "two", WORKSPACE)
        await delete_segment(connection, "one", WORKSPACE)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Big spenders", "big-spenders"), ("Élite & Co.", "elite-co"), ("  3rd time ", "3rd-time")],
)
def test_slug_is_made_of_the_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize("slug", ["", "Big", "a b", "-a", "a" * 64, "a/b"])
async def test_slug_that_is_none_is_refused(stage: Stage, slug: str) -> None:
    async with stage.transaction() as connection:
        with pytest.raises(BadInput):
            await a_segment(connection, "Name", {}, slug=slug)


async def test_taken_slug_and_empty_name_are_refused(stage: Stage) -> None:
    async with stage.transaction() as connection:
        await a_segment(connection, "One", {})
        with pytest.raises(BadInput, match="already"):
            await a_segment(connection, "One", {})
        with pytest.raises(BadInput, match="no name"):
            await a_segment(connection, " ", {}, slug="two")


async def test_filter_on_personal_data_is_known_as_such(stage: Stage) -> None:
    async with stage.transaction() as connection:
        plain = await a_segment(connection, "Plain", {"country": {"eq": "DE"}})
        named = await a_segment(connection, "Named", {"not": {"firstName": {"eq": "Ann"}}})
        clicked = {"messages": {"some": {"url": {"contains": "example.com"}}}}
        inner = await a_segment(connection, "Inner", clicked)
    assert (plain.is_personal, named.is_personal, inner.is_personal) == (False, True, True)


async def test_every_starter_can_be_read_and_finds_its_members(stage: Stage) -> None:
    async with stage.transaction() as connection:
        await take(connection, "customers", [{"id": "ann", "email": "ann@example.com"}])
        await take(connection, "customers", [{"id": "cy", "email": "cy@example.com"}])
        await take(connection, "orders", [an_order("o1", "ann", 3, total="1200")])
        ids = await customer_ids(connection)
    await refreshed(stage)
    async with stage.transaction() as connection:
        starters = await list_segments(connection)
        assert len(starters) == 10
        assert all(one.error is None and one.description for one in starters)
        assert not any(one.is_personal for one in starters)
        found = await members(connection)
    assert {slug: ids_ for slug, ids_ in found.items() if ids_} == {
        "big-spenders": {ids["ann"]},
        "new-this-month": {ids["ann"]},
        "one-time-buyers": {ids["ann"]},
        "prospects": {ids["cy"]},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gone": {"eq": 1}}, "'gone'"),
        ({"messages": {"none": {"kind": {"eq": "opn"}}}}, "'opn'"),
        ({"orders": {"none": {"status": {"in": ["paid", "payed"]}}}}, "'payed'"),
    ],
)
async def test_segment_that_cannot_be_read_any_more_says_so_and_keeps_its_members(
    stage: Stage, given: dict[str, object], said: str
) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
        await a_segment(connection, "Germans", {"country": {"eq": "DE"}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        await connection.execute(
            tables.segment.update()
            .where(tables.segment.c.slug == "buyers")
            .values(filter=given, due_at=func.now())
        )
    await refreshed(stage)
    async with stage.transaction() as connection:
        broken = await get_segment(connection, "buyers")
        assert broken.error is not None
        assert said in broken.error
        assert len((await members(connection))["buyers"]) == 2
        assert (await get_segment(connection, "germans")).error is None


RECENT = {"rfm": {"recencyDays": {"lte": 30}}}


async def three_shoppers_and_two_segments(place: Database | Stage) -> dict[str, int]:
    """One of whom bought lately, for whom it can be made to fail, and one of Germans."""
    ids = await three_shoppers(place)
    async with place.transaction() as connection:
        await a_segment(connection, "Germans", {"country": {"eq": "DE"}})
        await a_segment(connection, "Recent", RECENT)
    return ids


async def order_at_the_end_of_time(place: Database | Stage, customer_id: int) -> None:
    """PostgreSQL subtracts no infinite date: whoever asks how long ago that was fails."""
    async with place.transaction() as connection:
        await connection.execute(
            tables.customer.update()
            .where(tables.customer.c.id == customer_id)
            .values(last_order_on=func.date("infinity"))
        )


async def test_segment_that_fails_alone_fails_no_other(stage: Stage) -> None:
    ids = await three_shoppers_and_two_segments(stage)
    await order_at_the_end_of_time(stage, ids["bo"])
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"germans": {ids["ann"]}, "recent": set()}
        failed = await get_segment(connection, "recent")
        assert failed.error is not None
        assert "22008" in failed.error
        assert failed.due_at is None
        assert (await get_segment(connection, "germans")).error is None


async def test_segment_that_fails_for_whom_ingest_touched_fails_no_other(stage: Stage) -> None:
    ids = await three_shoppers_and_two_segments(stage)
    await refreshed(stage)
    async with stage.transaction() as connection:
        await take(connection, "customers", [{"id": "bo", "country": "DE"}])
    await order_at_the_end_of_time(stage, ids["bo"])
    await refreshed(stage)
    async with stage.transaction() as connection:
        both = {ids["ann"], ids["bo"]}
        assert await members(connection) == {"germans": both, "recent": {ids["ann"]}}
        assert (await get_segment(connection, "recent")).error is not None
        # The facts are folded anew with the order: nobody is at the end of time any more.
        await take(connection, "orders", [an_order("o9", "bo", 1)])
        await mark_due(connection, "refresh")
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert (await members(connection))["recent"] == both
        assert (await get_segment(connection, "recent")).error is None


async def test_segment_that_fails_stops_no_transaction_that_settles_at_once(stage: Stage) -> None:
    ids = await three_shoppers_and_two_segments(stage)
    await refreshed(stage)
    await order_at_the_end_of_time(stage, ids["bo"])
    async with stage.transaction() as connection:
        await connection.execute(tables.customer.update().values(country="DE"))
        assert await settle_now(connection, [CustomerId(ids["bo"])], WORKSPACE, NOW)
        assert (await members(connection))["germans"] == {ids["ann"], ids["bo"]}
        assert (await get_segment(connection, "recent")).error is not None


# Lists ----------------------------------------------------------------------------------------


async def test_static_list_takes_ids_and_identifiers_and_tells_the_unknown(
    stage: Stage,
) -> None:
    ids = await three_shoppers(stage)
    unknown: list[Named] = [ByIdentifier("email", "nobody@example.com"), ById(10**9)]
    async with stage.transaction() as connection:
        segment = await a_segment(connection, "Guests of honour", None)
        given: list[Named] = [ById(ids["ann"]), ByIdentifier("email", " BO@example.com "), *unknown]
        listed = await add_members(connection, segment, given, WORKSPACE)
    assert (listed.changed, list(listed.unknown)) == (2, unknown)
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"guests-of-honour": {ids["ann"], ids["bo"]}}
        again = await add_members(connection, segment, given[:2], WORKSPACE)
        assert again.changed == 0
        removed = await remove_members(connection, segment, given[1:2], WORKSPACE)
        assert removed.changed == 1
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert (await feed(connection))[-1][3] == "list changed"
        assert await members(connection) == {"guests-of-honour": {ids["ann"]}}


async def test_list_follows_its_people_through_merges_and_splits(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        segment = await a_segment(connection, "List", None)
        await add_members(connection, segment, [ById(ids["bo"])], WORKSPACE)
        together = [CustomerId(ids["ann"]), CustomerId(ids["bo"])]
        await merge_customers(connection, together, AUTHOR, WORKSPACE)
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"list": {ids["ann"]}}
        leaving = [ProfileId(ids["bo"])]
        await split_customer(connection, CustomerId(ids["ann"]), leaving, AUTHOR, WORKSPACE)
    await refreshed(stage)
    async with stage.transaction() as connection:
        assert await members(connection) == {"list": {ids["bo"]}}


async def test_members_of_a_filter_are_not_put_on_it_by_hand(stage: Stage) -> None:
    async with stage.transaction() as connection:
        segment = await a_segment(connection, "Buyers", BUYERS)
        with pytest.raises(BadInput, match="is no list"):
            await add_members(connection, segment, [ById(1)], WORKSPACE)
        static = await a_segment(connection, "List", None)
        with pytest.raises(BadInput, match="static list"):
            await update_segment(connection, static.slug, WORKSPACE, filter_=BUYERS)


# Questions ------------------------------------------------------------------------------------


async def test_preview_counts_exactly_and_shows_some(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        found = await preview(connection, BUYERS, WORKSPACE, NOW, may_see_personal=True)
        nobody = await preview(
            connection, {"country": {"eq": "FR"}}, WORKSPACE, NOW, may_see_personal=True
        )
    assert (found.count, found.total, set(found.sample)) == (2, 3, {ids["ann"], ids["bo"]})
    assert found.percentage == pytest.approx(200 / 3)
    assert (nobody.count, nobody.percentage, nobody.sample) == (0, 0.0, [])


async def test_preview_of_records_and_segments_counts_as_that_of_traits_does(
    stage: Stage,
) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
    await refreshed(stage)
    asked: list[object] = [
        {"orders": {"some": {}}},
        {"orders": {"count": {"gte": 1}}},
        {"segments": {"in": ["buyers"]}},
        {"not": {"purchases": {"orderCount": {"eq": 0}}}},
    ]
    async with stage.transaction() as connection:
        for filter_ in asked:
            found = await preview(connection, filter_, WORKSPACE, NOW, may_see_personal=True)
            assert (found.count, found.total) == (2, 3)
            assert set(found.sample) == {ids["ann"], ids["bo"]}


async def test_why_tells_each_clause_with_the_value_it_looked_at(stage: Stage) -> None:
    ids = await three_shoppers(stage)
    filter_ = {
        "purchases": {"orderCount": {"gte": 3, "lt": 10}},
        "or": [{"country": {"eq": "DE"}}, {"firstName": {"eq": "Bo"}}],
        "orders": {"count": {"where": {"placedAt": {"withinLast": "P30D"}}, "gte": 2}},
        "not": {"messages": {"some": {"kind": {"eq": "bounced"}}}},
    }
    async with stage.transaction() as connection:
        segment = await a_segment(connection, "Chosen", filter_)
    await refreshed(stage)
    async with stage.transaction() as connection:
        ann = await why(connection, segment, ids["ann"], WORKSPACE, NOW)
        bo = await why(connection, segment, ids["bo"], WORKSPACE, NOW)
        with pytest.raises(NotFound):
            await why(connection, segment, 10**9, WORKSPACE, NOW)
    assert (ann.is_member, ann.holds, ann.exited_at) == (True, True, None)
    assert ann.entered_at is not None
    assert [(one.path, one.holds, one.value) for one in ann.verdicts] == [
        ("purchases.orderCount.gte", True, "3"),
        ("purchases.orderCount.lt", True, "3"),
        ("or", True, None),
        ("or[0].country.eq", True, "DE"),
        ("or[1].firstName.eq", False, "Ann"),
        ("orders.count", True, "2"),
        ("not", True, None),
        ("not.messages.some", False, "0"),
    ]
    assert (bo.is_member, bo.holds, bo.entered_at) == (False, False, None)
    verdicts = {one.path: one.holds for one in bo.verdicts}
    assert not verdicts["purchases.orderCount.gte"]
    assert verdicts["or"]
    personal = {one.path for one in bo.verdicts if one.is_personal}
    assert personal == {"or", "or[1].firstName.eq"}


async def test_why_tells_what_was_allowed_and_how_many_identifiers_there_are(
    stage: Stage,
) -> None:
    ids = await three_shoppers(stage)
    async with stage.transaction() as connection:
        said = {"id": "a", "customer_id": "ann", "recorded_at": "2024-01-01T00:00:00Z"}
        statements = [
            {**said, "channel": "email", "purpose": "marketing", "status": "granted"},
            {**said, "id": "b", "channel": "e-mail", "purpose": "profiling", "status": "denied"},
        ]
        await take(connection, "consents", statements)
        asked = {
            "consent": {"channel": "E-Mail", "status": "GRANTED"},
            "identifier": {"kind": "email"},
        }
        segment = await a_segment(connection, "Reachable", asked)
        ann = await why(connection, segment, ids["ann"], WORKSPACE, NOW)
        bo = await why(connection, segment, ids["bo"], WORKSPACE, NOW)
    said_of_ann = "email/marketing: granted, email/profiling: denied"
    assert {one.path: (one.holds, one.value) for one in ann.verdicts}["consent"] == (
        True,
        said_of_ann,
    )
    assert {one.path: (one.holds, one.value) for one in bo.verdicts}["consent"] == (False, None)
    assert {one.path: (one.holds, one.value) for one in ann.verdicts}["identifier"] == (True, "1")


async def test_overlap_counts_each_pair(stage: Stage) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        await a_segment(connection, "Buyers", BUYERS)
        await a_segment(connection, "Germans", {"country": {"eq": "DE"}})
        await a_segment(connection, "French", {"country": {"eq": "FR"}})
    await refreshed(stage)
    async with stage.transaction() as connection:
        found = await overlap(connection, ["buyers", "germans", "french"])
    assert found["buyers", "buyers"] == 2
    assert found["buyers", "germans"] == found["germans", "buyers"] == 1
    assert found["french", "buyers"] == found["french", "french"] == 0


async def test_definition_is_evaluated_as_the_reader_of_customers_would(
    stage: Stage,
) -> None:
    await three_shoppers(stage)
    async with stage.transaction() as connection:
        segment = await a_segment(connection, "Buyers", BUYERS)
        scope = present(NOW, WORKSPACE)
        condition = definition_of(segment, scope, WORKSPACE).condition
        count = await connection.scalar(
            select(func.count()).select_from(tables.scored_customer).where(condition)
        )
    assert count == 2
