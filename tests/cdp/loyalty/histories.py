"""Generated histories of a loyalty programme, lived through side by side: what can happen.

Every key and address begins with the number of its history. Time is the same for all of them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.deciding import Author
from cdp.delivery import Batch, Deleted, Delivery, Refused, receive
from cdp.errors import CdpError
from cdp.ingest import apply
from cdp.loyalty.acts import adjust_points, earn_points, redeem_points, reverse
from cdp.loyalty.holds import capture_hold, hold_points, release_hold
from cdp.stewardship import merge_customers, split_customer, undo
from cdp.values import CustomerId, ProfileId
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.loyalty.club import START, an_act, count_entries, pass_days
from tests.cdp.side_by_side import count_rows

PROGRAMME: Final = """
name = "Histories"
members = "everyone"
[points]
pending_days = 10
expire_after_months = 2
[[earn]]
kind = "spend"
name = "base"
points_per_unit = 1
[[earn]]
kind = "campaign"
name = "double"
starts_on = 2026-01-20
ends_on = 2026-02-10
multiplier = 2
[tiers]
by = "points"
window = "rolling"
months = 2
grace_days = 5
downgrade = "one_step"
[[tiers.levels]]
name = "Leaf"
threshold = 0
[[tiers.levels]]
name = "Bud"
threshold = 60
[[tiers.levels]]
name = "Bloom"
threshold = 150
"""
CAMPAIGN: Final = (datetime(2026, 1, 20).date(), datetime(2026, 2, 10).date())  # noqa: DTZ001
SOURCES: Final = ("shop", "till")
PEOPLE: Final = ("1", "2")

Event = tuple[str, Mapping[str, Any]]


def _order() -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries(
        {
            "source": st.sampled_from(SOURCES),
            "id": st.sampled_from(["o1", "o2", "o3"]),
            "customer_id": st.sampled_from([*PEOPLE, "1", None]),
            "total": st.sampled_from(["40.00", "99.99", "7.30", "120.00"]),
            "status": st.sampled_from(["paid", "paid", "paid", "cancelled", "refunded"]),
            "days_ago": st.sampled_from([0, 0, 0, 3, 30]),
        }
    ).map(lambda given: ("order", given))


def _refund() -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries(
        {
            "source": st.sampled_from(SOURCES),
            "id": st.sampled_from(["r1", "r2"]),
            "order_id": st.sampled_from(["o1", "o2"]),
            "amount": st.sampled_from(["5.00", "33.33", "120.00"]),
        }
    ).map(lambda given: ("refund", given))


def _entry() -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries(
        {
            "source": st.sampled_from(SOURCES),
            "id": st.sampled_from(["e1", "e2", "e3"]),
            "customer_id": st.sampled_from(PEOPLE),
            "kind_and_points": st.sampled_from(
                [("earn", 50), ("earn", 80), ("redeem", -30), ("expire", -50), ("adjust", -10)]
            ),
            "days_ago": st.sampled_from([0, 5, 40]),
            "expires_in": st.sampled_from([None, 20, 70]),
            "order_id": st.sampled_from([None, None, "o1"]),
        }
    ).map(lambda given: ("entry", given))


def _person() -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries(
        {
            "source": st.sampled_from(SOURCES),
            "id": st.sampled_from(PEOPLE),
            "first_name": st.sampled_from(["Ann", "Bob", None]),
            "email": st.sampled_from(["ann@example.com", "bob@example.com", None]),
        }
    ).map(lambda given: ("person", given))


def _act() -> st.SearchStrategy[Event]:
    points = st.sampled_from([1, 10, 35, 60])
    which = st.integers(0, 3)
    kinds = ("redeem", "redeem", "redeem", "hold", "hold", "earn", "adjust", "adjust_down")
    return st.tuples(st.sampled_from(kinds), which, points).map(
        lambda given: ("act", {"kind": given[0], "whose": given[1], "points": given[2]})
    )


def _other() -> st.SearchStrategy[Event]:
    which = st.integers(0, 3)
    return st.one_of(
        st.tuples(st.sampled_from(["capture", "release", "reverse"]), which).map(
            lambda given: ("close", {"kind": given[0], "which": given[1]})
        ),
        st.tuples(st.sampled_from(["merge", "split", "undo"]), which).map(
            lambda given: ("map", {"kind": given[0], "which": given[1]})
        ),
        st.tuples(st.sampled_from(["orders", "loyalty_entries"]), which).map(
            lambda given: ("delete", {"stream": given[0], "which": given[1]})
        ),
    )


EVENTS: Final = st.one_of(
    _order(), _order(), _act(), _act(), _other(), _other(), _refund(), _entry(), _person()
)
MOST_EVENTS: Final = 12
HISTORIES: Final = st.lists(EVENTS, min_size=4, max_size=MOST_EVENTS)
TIMES: Final = st.lists(
    st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 11, 11, 25, 70, 70]),
    min_size=MOST_EVENTS + 1,
    max_size=MOST_EVENTS + 1,
)
"""How many days pass before each event, and after the last."""

Told = tuple[str, Delivery]
"""A source, and what it tells."""


@dataclass(slots=True)
class History:
    """One history on its way; `acted` counts what acts moved, as their receipts tell."""

    number: int
    version: int = 0
    acts: list[str] = field(default_factory=list)
    acted: Counter[str] = field(default_factory=Counter)

    def named(self, name: str) -> str:
        """A key of this history, of two digits and the name."""
        return f"{self.number:02d}{name}"

    def moment(self, now: datetime) -> str:
        """Later than the one before, and past."""
        self.version += 1
        return (now - timedelta(seconds=1) + timedelta(microseconds=self.version)).isoformat()

    def told(self, name: str, given: Mapping[str, Any], now: datetime) -> Told:
        """What a source tells when this happens."""
        if name == "delete":
            first = given["stream"][0] if given["stream"] == "orders" else "e"
            key = self.named(first + "1231"[given["which"]])
            at = datetime.fromisoformat(self.moment(now))
            return "shop", Deleted(given["stream"], key, at)
        row = {key: value for key, value in given.items() if key != "source"}
        for key in ("id", "customer_id", "order_id", "email"):
            if row.get(key) is not None:
                row[key] = self.named(row[key])
        make = {"order": self._order, "refund": self._refund, "entry": self._entry}
        streams = {"order": "orders", "refund": "refunds", "entry": "loyalty_entries"}
        row = make.get(name, self._person)(row, now)
        delivery = receive(streams.get(name, "customers"), row)
        assert not isinstance(delivery, Refused), delivery
        return given["source"], delivery

    def _order(self, row: dict[str, Any], now: datetime) -> dict[str, Any]:
        placed_at = (now - timedelta(days=row.pop("days_ago"))).isoformat()
        guest = {} if row["customer_id"] else {"email": self.named("ann@example.com")}
        told = {**row, **guest, "placed_at": placed_at, "currency": "EUR"}
        return {**told, "updated_at": self.moment(now)}

    def _refund(self, row: dict[str, Any], now: datetime) -> dict[str, Any]:
        return {**row, "refunded_at": now.isoformat(), "currency": "EUR"}

    def _entry(self, row: dict[str, Any], now: datetime) -> dict[str, Any]:
        kind, points = row.pop("kind_and_points")
        at = now - timedelta(days=row.pop("days_ago"))
        expires_in = row.pop("expires_in")
        told = {**row, "kind": kind, "points": points, "occurred_at": at.isoformat()}
        if kind == "earn":
            expires = (at + timedelta(days=expires_in)).isoformat() if expires_in else None
            told["expires_at"] = expires
        return told

    def _person(self, row: dict[str, Any], now: datetime) -> dict[str, Any]:
        return {**row, "updated_at": self.moment(now)}


@dataclass(slots=True)
class There:
    """What of one history is there to choose from, each in the order of its id."""

    profiles: dict[int, list[ProfileId]] = field(default_factory=dict)
    event_ids: list[int] = field(default_factory=list)

    @property
    def customers(self) -> list[CustomerId]:
        """Whose the profiles are."""
        return [CustomerId(one) for one in sorted(self.profiles)]


class Histories:
    """Several histories on their way, and the clock that they share."""

    def __init__(self, connection: AsyncConnection, count: int) -> None:
        self.connection = connection
        self.now = START
        self.each = [History(number) for number in range(count)]
        self.told: list[Told] = []

    async def run(self, events: Sequence[Sequence[Event]], times: Sequence[int]) -> None:
        """Everything that happens, in order; time goes on for whoever has come to an end too."""
        people = [
            (source, one.told("person", {"source": source, "id": person}, self.now))
            for one in self.each
            for source in SOURCES
            for person in PEOPLE
        ]
        await self._deliver([told for _, told in people])
        for place in range(MOST_EVENTS):
            await self._pass(times[place])
            await self._happen(
                [(self.each[n], *one[place]) for n, one in enumerate(events) if place < len(one)]
            )
            if place == 0:
                await count_rows(self.connection)
        await self._pass(times[-1])

    # What happens ---------------------------------------------------------------------------

    async def _pass(self, days: int) -> None:
        if days:
            self.now = await pass_days(self.connection, days)

    async def _happen(self, now: Sequence[tuple[History, str, Mapping[str, Any]]]) -> None:
        """One event of each."""
        if not now:
            return
        told = [one for one in now if one[1] not in ("person", "act", "close", "map")]
        await self._deliver([one.told(name, given, self.now) for one, name, given in told])
        before = await self.entries()
        met = [one for one in now if one[1] == "person"]
        await self._deliver([one.told(name, given, self.now) for one, name, given in met])
        assert await self.entries() == before, "identity moves no point"
        there = await self._look()
        for one, name, given in now:
            match name:
                case "act":
                    await self._act(one, there[one.number], **given)
                case "close":
                    await self._close(one, **given)
                case "map":
                    await self._map(there[one.number], **given)

    async def _deliver(self, told: Sequence[Told]) -> None:
        """One batch for each source that says something."""
        self.told += told
        for name in SOURCES:
            part = [delivery for source, delivery in told if source == name]
            if part:
                batch = Batch(await a_source(self.connection, name), part)
                await apply(self.connection, batch, WORKSPACE)

    async def _look(self) -> Mapping[int, There]:
        """What there is of each history."""
        there, whose = [There() for _ in self.each], dict[int, There]()
        profile, event = tables.source_profile.c, tables.merge_event.c
        for id_, customer_id, key in await self.connection.execute(
            select(profile.id, profile.customer_id, profile.key).order_by(profile.id)
        ):
            whose[id_] = there[int(key.removeprefix("email:")[:2])]
            whose[id_].profiles.setdefault(customer_id, []).append(id_)
        for id_, profile_ids in await self.connection.execute(
            select(event.id, event.profile_ids).order_by(event.id)
        ):
            whose[profile_ids[0]].event_ids.append(id_)
        return dict(enumerate(there))

    async def _act(
        self, history: History, there: There, *, kind: str, whose: int, points: int
    ) -> None:
        customer_id = there.customers[whose % len(there.customers)]
        key = history.named(f"act-{len(history.acts)}")
        spendable = await self._points_of(customer_id)
        act = an_act(key)
        with refusable("INSUFFICIENT_POINTS") as refused:
            match kind:
                case "redeem":
                    await redeem_points(self.connection, customer_id, act, points=points)
                case "hold":
                    lasts = timedelta(days=5)
                    await hold_points(self.connection, customer_id, points, act, lasts=lasts)
                case "earn":
                    await earn_points(self.connection, customer_id, points, act)
                case "adjust":
                    await adjust_points(self.connection, customer_id, points, act)
                case _:
                    await adjust_points(self.connection, customer_id, -points, act)
        if refused:
            assert kind not in {"earn", "adjust"}
            assert spendable < points, "what there is can be spent"
            return
        assert kind in {"earn", "adjust"} or spendable >= points
        history.acts.append(key)
        history.acted[kind] += points
        await self._repeat(kind, customer_id, points, key)

    async def _points_of(self, customer_id: CustomerId) -> int:
        column = tables.customer.c
        rows = await self.connection.execute(
            select(column.loyalty_points).where(column.id == customer_id)
        )
        return rows.one()[0] or 0

    async def _repeat(self, kind: str, customer_id: CustomerId, points: int, key: str) -> None:
        """The same act again, as a client does that got no answer."""
        if kind == "redeem":
            before = await self.entries()
            again = await redeem_points(self.connection, customer_id, an_act(key), points=points)
            assert again.is_repeat
            assert again.points == -points
            assert await self.entries() == before

    async def _close(self, history: History, *, kind: str, which: int) -> None:
        if not history.acts:
            return
        key = history.acts[which % len(history.acts)]
        act = an_act(f"{history.named(kind)}-{len(history.acts)}-{key}")
        done = {"capture": capture_hold, "release": release_hold, "reverse": reverse}[kind]
        with refusable("CLOSED", "BAD_REQUEST") as refused:
            await done(self.connection, key, act)
        if kind == "capture" and not refused:
            history.acts.append(act.key)

    async def _map(self, there: There, *, kind: str, which: int) -> None:
        before = await self.entries()
        author = Author("test", "A history says so.")
        customers = there.customers
        customer_id = customers[which % len(customers)]
        with refusable("BAD_REQUEST", "NOT_FOUND", "ALREADY_UNDONE"):
            if kind == "merge":
                pair = [customer_id, customers[(which + 1) % len(customers)]]
                await merge_customers(self.connection, pair, author, WORKSPACE)
            elif kind == "split":
                leaving = there.profiles[customer_id][1:2]
                await split_customer(self.connection, customer_id, leaving, author, WORKSPACE)
            elif there.event_ids:
                event_id = there.event_ids[which % len(there.event_ids)]
                await undo(self.connection, event_id, author, WORKSPACE)
        assert await self.entries() == before, "merges and splits move no point"

    async def entries(self) -> int:
        """How many entries were ever posted."""
        return await count_entries(self.connection)


@contextmanager
def refusable(*codes: str) -> Iterator[list[str]]:
    """Takes refusals of these codes, and tells them; any other is an error."""
    refused: list[str] = []
    try:
        yield refused
    except CdpError as refusal:
        if refusal.code not in codes:
            raise
        refused.append(refusal.code)
