"""Followed step by step or looked at as a whole, after any events: the same members, one feed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Deleted, Refused, receive
from cdp.errors import BadInput
from cdp.query import present
from cdp.segments.definition import update_segment
from cdp.segments.lists import ById, add_members, remove_members
from cdp.segments.refresh import refresh_step
from cdp.segments.segment import define, get_segment, list_segments
from cdp.stewardship import Author, merge_customers, split_customer
from cdp.values import CustomerId, ProfileId
from tests.cdp.ingesting import WORKSPACE, drop, take
from tests.cdp.segmenting import a_segment, customer_ids, feed, members, without_starters

pytestmark = pytest.mark.anyio

START: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
"""Later than whatever the test does, so that nothing of it lies ahead of the clock by accident."""

AUTHOR: Final = Author("steward", "A test decides.")
KEYS: Final = ("c1", "c2", "c3", "c4")

TEA: Final = {"lines": {"some": {"category": {"eq": "Tea"}}}}
SEGMENTS: Final[Mapping[str, object]] = {
    "buyers": {"purchases": {"orderCount": {"gte": 1}}},
    "spenders": {"purchases": {"netSpend": {"gt": "30"}}},
    "recent": {"rfm": {"recencyDays": {"lte": 3}}},
    "fresh": {"purchases": {"lastOrderAt": {"withinLast": "P2D"}}},
    "silent": {
        "messages": {"none": {"kind": {"eq": "opened"}, "occurredAt": {"after": "2020-01-01"}}}
    },
    "tea-twice": {
        "orders": {"count": {"where": {"placedAt": {"withinLast": "P4D"}, **TEA}, "gte": 2}}
    },
    "never-tea": {"orders": {"none": TEA}},
    "germans": {"or": [{"country": {"eq": "DE"}}, {"identifier": {"kind": "phone"}}]},
    "all-recent-germans": {
        "segments": {"in": ["germans"]},
        "not": {"segments": {"notIn": ["recent"]}},
    },
    "refusing": {"consent": {"channel": "email", "status": "WITHDRAWN"}},
    "may-be-written-to": {"consent": {"purpose": "marketing", "status": "GRANTED"}},
    "off-the-list": {"segments": {"notIn": ["the-list", "all-recent-germans"]}},
}

Event = tuple[str, object]


def _moment(hours: int) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def _rows() -> st.SearchStrategy[Event]:
    hours = st.integers(-100, 60).map(_moment)
    who = st.sampled_from(KEYS)
    customer = st.fixed_dictionaries(
        {
            "id": who,
            "first_name": st.sampled_from(["Ann", "Bo"]),
            "email": st.sampled_from(["a@example.com", "b@example.com", None]),
            "phone": st.sampled_from(["+447700900001", None]),
            "country": st.sampled_from(["DE", "GB", None]),
        }
    ).map(lambda row: ("customers", row))
    order = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["o1", "o2", "o3", "o4"]),
            "customer_id": who,
            "placed_at": hours,
            "currency": st.just("EUR"),
            "total": st.sampled_from(["10", "25"]),
            "status": st.sampled_from(["paid", "cancelled"]),
            "lines": st.sampled_from(
                [
                    [{"quantity": 1, "unit_price": "10", "product_id": "p1"}],
                    [{"quantity": 1, "unit_price": "10", "category": "Tea"}],
                ]
            ),
        }
    ).map(lambda row: ("orders", row))
    message = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["m1", "m2"]),
            "customer_id": who,
            "channel": st.just("email"),
            "kind": st.sampled_from(["opened", "sent", "unsubscribed"]),
            "occurred_at": hours,
        }
    ).map(lambda row: ("messages", row))
    product = st.sampled_from(["Tea", "Toys"]).map(
        lambda category: ("products", {"id": "p1", "category": category})
    )
    consent = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["s1", "s2"]),
            "customer_id": st.sampled_from([*KEYS, "nobody yet", None]),
            "email": st.sampled_from(["a@example.com", "b@example.com"]),
            "channel": st.just("email"),
            "purpose": st.just("marketing"),
            "status": st.sampled_from(["granted", "withdrawn"]),
            "recorded_at": hours,
        }
    ).map(lambda row: ("consents", row))
    return st.one_of(customer, customer, order, order, message, product, consent, consent)


def _events() -> st.SearchStrategy[list[Event]]:
    pair = st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS))
    event = st.one_of(
        _rows(),
        _rows(),
        _rows(),
        st.sampled_from(["orders o1", "messages m1", "customers c1", "consents s1"]).map(
            lambda at: ("drop", at)
        ),
        pair.map(lambda keys: ("merge", keys)),
        st.sampled_from(KEYS).map(lambda key: ("split", key)),
        st.sampled_from(KEYS).map(lambda key: ("list", key)),
        st.sampled_from(KEYS).map(lambda key: ("unlist", key)),
        st.sampled_from([10, 40]).map(lambda least: ("define", least)),
        st.sampled_from([2, 24, 60]).map(lambda hours: ("wait", hours)),
        st.just(("refresh", None)),
    )
    return st.lists(event, min_size=1, max_size=12)


class _World:
    """One history as it happens."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.as_of = START
        self.refreshes = 0

    async def begin(self) -> None:
        await without_starters(self.connection)
        await a_segment(self.connection, "the list", None)
        for slug, filter_ in SEGMENTS.items():
            await a_segment(self.connection, slug, filter_)
        people = [{"id": key, "first_name": "Ann", "country": "DE"} for key in KEYS]
        await take(self.connection, "customers", people)
        order = {"id": "o0", "customer_id": "c1", "currency": "EUR", "total": "50"}
        await take(self.connection, "orders", [{**order, "placed_at": _moment(-40)}])
        message = {"id": "m0", "customer_id": "c2", "channel": "email", "kind": "opened"}
        await take(self.connection, "messages", [{**message, "occurred_at": _moment(30)}])
        await self.refresh()

    async def happen(self, kind: str, what: object) -> None:
        connection = self.connection
        match kind, what:
            case "refresh", _:
                await self.refresh()
            case "wait", int(hours):
                self.as_of += timedelta(hours=hours)
            case "define", int(least):
                filter_ = {"purchases": {"netSpend": {"gt": least}}}
                await update_segment(connection, "spenders", WORKSPACE, filter_=filter_)
            case "drop", str(place):
                stream, key = place.split()
                await drop(connection, Deleted(stream, key, START))
            case (("merge" | "split" | "list" | "unlist"), _):
                await self.decide(kind, what)
            case _:
                assert not isinstance(receive(kind, what), Refused)  # type: ignore[arg-type]
                await take(connection, kind, [what])  # type: ignore[list-item]

    async def decide(self, kind: str, what: object) -> None:
        """What people do; nothing where whom it speaks of is not there."""
        connection, ids = self.connection, await customer_ids(self.connection)
        keys = what if isinstance(what, tuple) else (what,)
        if any(key not in ids for key in keys):
            return
        segment = await get_segment(connection, "the-list")
        one = CustomerId(ids[keys[0]])
        try:
            match kind:
                case "list":
                    await add_members(connection, segment, [ById(one)], WORKSPACE)
                case "unlist":
                    await remove_members(connection, segment, [ById(one)], WORKSPACE)
                case "merge":
                    both = [one, CustomerId(ids[keys[1]])]
                    await merge_customers(connection, both, AUTHOR, WORKSPACE)
                case _:
                    profile = await connection.scalar(
                        select(tables.source_profile.c.id).where(
                            tables.source_profile.c.key == keys[0]
                        )
                    )
                    assert profile is not None
                    leaving = [ProfileId(profile)]
                    await split_customer(connection, one, leaving, AUTHOR, WORKSPACE)
        except BadInput:
            pass  # already one person, or nobody would stay: nothing happens

    async def refresh(self) -> None:
        self.refreshes += 1
        at = self.as_of + timedelta(seconds=self.refreshes)
        while await refresh_step(self.connection, WORKSPACE, at) is not None:
            pass


async def _whole(connection: AsyncConnection, at: datetime) -> dict[str, set[int]]:
    """Who should be in each segment, everybody looked at, by the definitions alone."""
    scope = present(at, WORKSPACE)
    found = {}
    for one in define(await list_segments(connection), scope, WORKSPACE):
        assert one.filter is not None
        rows = await connection.scalars(
            select(tables.scored_customer.c.id).where(one.filter.condition)
        )
        found[one.segment.slug] = set(rows)
    return found


def _replayed(told: Sequence[tuple[str, str, int, str, int | None]]) -> dict[str, set[int]]:
    """Who is in each segment by the feed alone, in which nobody enters or leaves twice."""
    found: dict[str, set[int]] = {}
    for slug, kind, customer_id, _, _ in told:
        inside = found.setdefault(slug, set())
        assert (customer_id in inside) == (kind == "EXITED")
        (inside.remove if kind == "EXITED" else inside.add)(customer_id)
    return {slug: inside for slug, inside in found.items() if inside}


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


async def _follow(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Live through the events, and compare what was followed with what a whole look finds."""
    savepoint = await connection.begin_nested()
    world = _World(connection)
    await world.begin()
    for event in events:
        await world.happen(*event)
    await world.refresh()
    followed = await members(connection)
    at = world.as_of + timedelta(seconds=world.refreshes)
    assert followed == await _whole(connection, at)
    assert {slug: inside for slug, inside in followed.items() if inside} == _replayed(
        await feed(connection)
    )
    await savepoint.rollback()


OPENED: Final[Event] = (
    "messages",
    {
        "id": "m1",
        "customer_id": "c3",
        "channel": "email",
        "kind": "opened",
        "occurred_at": _moment(-1),
    },
)


@_settings(3)
@given(events=_events())
@example(events=[("drop", "customers c1")])
@example(events=[OPENED])
@example(events=[OPENED, ("refresh", None), ("drop", "messages m1")])
@example(events=[("wait", 60)])
@example(events=[("wait", 60), ("refresh", None), ("wait", 60)])
async def test_following_events_in_any_order_equals_looking_at_everybody(
    connection: AsyncConnection, events: list[Event]
) -> None:
    await _follow(connection, events)


@pytest.mark.prove
@_settings(1_000)
@given(events=_events())
async def test_following_a_thousand_histories_equals_looking_at_everybody(
    connection: AsyncConnection, events: list[Event]
) -> None:
    await _follow(connection, events)
