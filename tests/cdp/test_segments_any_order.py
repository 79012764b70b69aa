"""Followed step by step or looked at as a whole, after any events: the same members, one feed.

Histories are lived through side by side: `HERE` stands for the number of each in all that is told.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.deciding import Author
from cdp.delivery import Batch, Deleted, Received, receive
from cdp.errors import BadInput
from cdp.ingest import apply
from cdp.query import present
from cdp.segments.definition import update_segment
from cdp.segments.lists import ById, add_members, remove_members
from cdp.segments.refresh import refresh_step
from cdp.segments.segment import define, get_segment, list_segments
from cdp.stewardship import merge_customers, split_customer
from cdp.values import CustomerId, ProfileId
from tests.cdp.histories import steps_at
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.segmenting import a_segment, customer_ids, feed, members, without_starters
from tests.cdp.side_by_side import Claim, count_rows, in_parts, prove, try_slice
from tests.cdp.telling import HERE, named

pytestmark = pytest.mark.anyio

START: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
"""Later than whatever the test does, so that nothing of it lies ahead of the clock by accident."""

AUTHOR: Final = Author("steward", "A test decides.")
KEYS: Final = tuple(f"{HERE}c{number}" for number in (1, 2, 3, 4))
EMAILS: Final = (f"a{HERE}@example.com", f"b{HERE}@example.com")
MOST_EVENTS: Final = 12
PROVED_COUNT: Final = 1_000  # looking at everybody by every segment is dear

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
World = Sequence[tuple[int, Event]]
"""What happens to all at once, each before their event of that place."""


def _moment(hours: int) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def _rows() -> st.SearchStrategy[Event]:
    hours = st.integers(-100, 60).map(_moment)
    who = st.sampled_from(KEYS)
    customer = st.fixed_dictionaries(
        {
            "id": who,
            "first_name": st.sampled_from(["Ann", "Bo"]),
            "email": st.sampled_from([*EMAILS, None]),
            "phone": st.sampled_from([f"+447700900{HERE}1", None]),
            "country": st.sampled_from(["DE", "GB", None]),
        }
    ).map(lambda row: ("customers", row))
    order = st.fixed_dictionaries(
        {
            "id": st.sampled_from([f"{HERE}o{number}" for number in (1, 2, 3, 4)]),
            "customer_id": who,
            "placed_at": hours,
            "currency": st.just("EUR"),
            "total": st.sampled_from(["10", "25"]),
            "status": st.sampled_from(["paid", "cancelled"]),
            "lines": st.sampled_from(
                [
                    [{"quantity": 1, "unit_price": "10", "product_id": f"{HERE}p1"}],
                    [{"quantity": 1, "unit_price": "10", "category": "Tea"}],
                ]
            ),
        }
    ).map(lambda row: ("orders", row))
    message = st.fixed_dictionaries(
        {
            "id": st.sampled_from([f"{HERE}m1", f"{HERE}m2"]),
            "customer_id": who,
            "channel": st.just("email"),
            "kind": st.sampled_from(["opened", "sent", "unsubscribed"]),
            "occurred_at": hours,
        }
    ).map(lambda row: ("messages", row))
    product = st.sampled_from(["Tea", "Toys"]).map(
        lambda category: ("products", {"id": f"{HERE}p1", "category": category})
    )
    consent = st.fixed_dictionaries(
        {
            "id": st.sampled_from([f"{HERE}s1", f"{HERE}s2"]),
            "customer_id": st.sampled_from([*KEYS, f"{HERE}nobody yet", None]),
            "email": st.sampled_from(EMAILS),
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
            lambda at: ("drop", at.replace(" ", f" {HERE}"))
        ),
        pair.map(lambda keys: ("merge", keys)),
        st.sampled_from(KEYS).map(lambda key: ("split", key)),
        st.sampled_from(KEYS).map(lambda key: ("list", key)),
        st.sampled_from(KEYS).map(lambda key: ("unlist", key)),
    )
    return st.lists(event, min_size=1, max_size=MOST_EVENTS)


def _worlds() -> st.SearchStrategy[World]:
    event = st.one_of(
        st.sampled_from([10, 40]).map(lambda least: ("define", least)),
        st.sampled_from([2, 24, 60]).map(lambda hours: ("wait", hours)),
        st.just(("refresh", None)),
    )
    return st.lists(st.tuples(st.integers(0, MOST_EVENTS), event), max_size=6)


class _Lives:
    """Histories as they happen."""

    def __init__(self, connection: AsyncConnection, count: int) -> None:
        self.connection = connection
        self.count = count
        self.as_of = START
        self.refreshes = 0

    async def begin(self) -> None:
        await without_starters(self.connection)
        await a_segment(self.connection, "the list", None)
        for slug, filter_ in SEGMENTS.items():
            await a_segment(self.connection, slug, filter_)
        order = {"id": f"{HERE}o0", "customer_id": KEYS[0], "currency": "EUR", "total": "50"}
        message = {"id": f"{HERE}m0", "customer_id": KEYS[1], "channel": "email", "kind": "opened"}
        told: list[Event] = [
            *(("customers", {"id": key, "first_name": "Ann", "country": "DE"}) for key in KEYS),
            ("orders", {**order, "placed_at": _moment(-40)}),
            ("messages", {**message, "occurred_at": _moment(30)}),
        ]
        for event in told:
            await self.happen(dict.fromkeys(range(self.count), event))
        await count_rows(self.connection)
        await self.refresh()

    async def befall(self, kind: str, what: object) -> None:
        """What happens to all at once."""
        match kind, what:
            case "wait", int(hours):
                self.as_of += timedelta(hours=hours)
            case "define", int(least):
                filter_ = {"purchases": {"netSpend": {"gt": least}}}
                await update_segment(self.connection, "spenders", WORKSPACE, filter_=filter_)
            case _:
                await self.refresh()

    async def happen(self, now: Mapping[int, Event]) -> None:
        """One event of each: what the shop tells as one batch, then what people do."""
        decided = ("merge", "split", "list", "unlist")
        told = [
            _delivery(kind, named(what, number))
            for number, (kind, what) in now.items()
            if kind not in decided
        ]
        if told:
            batch = Batch(await a_source(self.connection), told)
            await apply(self.connection, batch, WORKSPACE)
        ids = await customer_ids(self.connection)
        for number, (kind, what) in now.items():
            if kind in decided:
                keys = what if isinstance(what, tuple) else (what,)
                await self.decide(kind, [str(named(key, number)) for key in keys], ids)

    async def decide(self, kind: str, keys: Sequence[str], ids: Mapping[str, int]) -> None:
        """What people do; nothing where whom it speaks of is not there."""
        connection = self.connection
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


def _delivery(kind: str, what: object) -> Received | Deleted:
    if kind == "drop":
        stream, key = str(what).split()
        return Deleted(stream, key, START)
    delivery = receive(kind, what)  # type: ignore[arg-type]  # a row
    assert isinstance(delivery, Received), delivery
    return delivery


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


async def _follow(
    connection: AsyncConnection, histories: Sequence[Sequence[Event]], world: World
) -> None:
    lives = _Lives(connection, len(histories))
    await lives.begin()
    await _live(lives, histories, world)


async def _live(lives: _Lives, histories: Sequence[Sequence[Event]], world: World) -> None:
    """Live through the events, and compare what was followed with what a whole look finds."""
    connection = lives.connection
    for place in range(MOST_EVENTS + 1):
        for at, event in world:
            if at == place:
                await lives.befall(*event)
        await lives.happen(steps_at(histories, place))
    await lives.refresh()
    followed = await members(connection)
    assert followed == await _whole(connection, lives.as_of + timedelta(seconds=lives.refreshes))
    assert {slug: inside for slug, inside in followed.items() if inside} == _replayed(
        await feed(connection)
    )


FOLLOWED: Final = Claim(_events(), _worlds(), _follow, follows_segments=True)

DROPPED: Final[Event] = ("drop", f"customers {HERE}c1")
OPENED: Final[Event] = (
    "messages",
    {
        "id": f"{HERE}m1",
        "customer_id": f"{HERE}c3",
        "channel": "email",
        "kind": "opened",
        "occurred_at": _moment(-1),
    },
)
REFRESH: Final[Event] = ("refresh", None)
WAIT: Final[Event] = ("wait", 60)


ASTRAY: Final[Sequence[tuple[Sequence[Sequence[Event]], World]]] = (
    ([[DROPPED], [OPENED]], []),
    ([[OPENED, ("drop", f"messages {HERE}m1")]], [(1, REFRESH)]),
    ([], [(0, WAIT)]),
    ([], [(0, WAIT), (0, REFRESH), (0, WAIT)]),
)
"""Histories, and worlds, in which following once went astray."""


async def test_following_what_once_went_astray_equals_looking_at_everybody(
    connection: AsyncConnection,
) -> None:
    lives = _Lives(connection, 2)
    await lives.begin()
    for histories, world in ASTRAY:
        async with connection.begin_nested() as savepoint:
            await _live(copy(lives), histories, world)
            await savepoint.rollback()


async def test_following_events_in_any_order_equals_looking_at_everybody(
    connection: AsyncConnection,
) -> None:
    await try_slice(connection, FOLLOWED)


@pytest.mark.prove
@in_parts
async def test_following_a_thousand_histories_equals_looking_at_everybody(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, FOLLOWED, part, PROVED_COUNT)
