"""Generated histories of a loyalty programme: what can happen, and what must hold whatever did."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st
from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import rebuild
from cdp.delivery import Batch, Deleted, Delivery, Refused, receive
from cdp.errors import CdpError
from cdp.ingest import apply
from cdp.loyalty.accounts import ACCOUNT_NAMES
from cdp.loyalty.acts import adjust_points, earn_points, redeem_points, reverse
from cdp.loyalty.holds import capture_hold, hold_points, release_hold
from cdp.rows import VOID_STATUSES
from cdp.stewardship import Author, merge_customers, split_customer, undo
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, a_source
from tests.cdp.loyalty.club import START, an_act, pass_days, run_clock

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
        st.sampled_from([4, 11, 25, 70]).map(lambda days: ("time", {"days": days})),
        st.sampled_from([11, 70]).map(lambda days: ("time", {"days": days})),
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
HISTORIES: Final = st.lists(EVENTS, min_size=5, max_size=14)


@dataclass(slots=True)
class History:
    """One history on its way; `acted` counts what acts moved, as their receipts tell."""

    connection: AsyncConnection
    now: datetime = START
    version: int = 0
    told: list[tuple[str, Delivery]] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    acted: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)

    async def run(self, events: list[Event]) -> None:
        """Everything that happens, in order."""
        for source in SOURCES:
            people = [
                receive("customers", {"id": one, "updated_at": self._moment().isoformat()})
                for one in PEOPLE
            ]
            await self._deliver(source, *people)
        for name, given in events:
            await getattr(self, f"_{name}")(**given)
            self.seen[name] += 1

    # What happens ---------------------------------------------------------------------------

    def _moment(self) -> datetime:
        """Later than the one before, and past."""
        self.version += 1
        return self.now - timedelta(seconds=1) + timedelta(microseconds=self.version)

    async def _tell(self, source: str, stream: str, row: Mapping[str, object]) -> None:
        delivery = receive(stream, row)
        assert not isinstance(delivery, Refused), delivery
        await self._deliver(source, delivery)

    async def _deliver(self, source: str, *deliveries: Delivery) -> None:
        self.told += [(source, delivery) for delivery in deliveries]
        batch = Batch(await a_source(self.connection, source), deliveries)
        await apply(self.connection, batch, WORKSPACE)

    async def _order(self, *, source: str, days_ago: int, **row: object) -> None:
        placed_at = (self.now - timedelta(days=days_ago)).isoformat()
        guest = {"email": "ann@example.com"} if row["customer_id"] is None else {}
        told = {**row, **guest, "placed_at": placed_at, "currency": "EUR"}
        await self._tell(source, "orders", {**told, "updated_at": self._moment().isoformat()})

    async def _refund(self, *, source: str, **row: object) -> None:
        told = {**row, "refunded_at": self.now.isoformat(), "currency": "EUR"}
        await self._tell(source, "refunds", told)

    async def _entry(
        self,
        *,
        source: str,
        kind_and_points: tuple[str, int],
        days_ago: int,
        expires_in: int | None,
        **row: object,
    ) -> None:
        kind, points = kind_and_points
        at = self.now - timedelta(days=days_ago)
        expires = (at + timedelta(days=expires_in)).isoformat() if expires_in else None
        told = {**row, "kind": kind, "points": points, "occurred_at": at.isoformat()}
        if kind == "earn":
            told["expires_at"] = expires
        await self._tell(source, "loyalty_entries", told)

    async def _person(self, *, source: str, **row: object) -> None:
        before = await self._entries()
        await self._tell(source, "customers", {**row, "updated_at": self._moment().isoformat()})
        assert await self._entries() == before, "identity moves no point"

    async def _delete(self, *, stream: str, which: int) -> None:
        keys = ["o1", "o2", "o3", "o1"] if stream == "orders" else ["e1", "e2", "e3", "e1"]
        gone = Deleted(stream, keys[which], self._moment())
        await self._deliver("shop", gone)

    async def _time(self, *, days: int) -> None:
        self.now = await pass_days(self.connection, days)

    async def _customers(self) -> list[int]:
        rows = await self.connection.scalars(
            select(tables.customer.c.id).order_by(tables.customer.c.id)
        )
        return list(rows)

    async def _act(self, *, kind: str, whose: int, points: int) -> None:
        customers = await self._customers()
        customer_id = CustomerId(customers[whose % len(customers)])
        key = f"act-{len(self.acts)}"
        row = await self._row(customer_id)
        spendable = row["loyalty_points"] or 0
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
        self.acts.append(key)
        self.acted[kind] += points
        await self._repeat(kind, customer_id, points, key)

    async def _repeat(self, kind: str, customer_id: CustomerId, points: int, key: str) -> None:
        """The same act again, as a client does that got no answer."""
        before = await self._entries()
        if kind == "redeem":
            again = await redeem_points(self.connection, customer_id, an_act(key), points=points)
            assert again.is_repeat
            assert again.points == -points
        assert await self._entries() == before

    async def _close(self, *, kind: str, which: int) -> None:
        if not self.acts:
            return
        key = self.acts[which % len(self.acts)]
        act = an_act(f"{kind}-{len(self.acts)}-{key}")
        done = {"capture": capture_hold, "release": release_hold, "reverse": reverse}[kind]
        with refusable("CLOSED", "BAD_REQUEST") as refused:
            await done(self.connection, key, act)
        if kind == "capture" and not refused:
            self.acts.append(act.key)

    async def _map(self, *, kind: str, which: int) -> None:
        before = await self._entries()
        author = Author("test", "A history says so.")
        customers = await self._customers()
        customer_id = CustomerId(customers[which % len(customers)])
        with refusable("BAD_REQUEST", "NOT_FOUND"):
            if kind == "merge":
                pair = [customer_id, CustomerId(customers[(which + 1) % len(customers)])]
                await merge_customers(self.connection, pair, author, WORKSPACE)
            elif kind == "split":
                profile = tables.source_profile.c
                rows = await self.connection.scalars(
                    select(profile.id)
                    .where(profile.customer_id == customer_id)
                    .order_by(profile.id)
                )
                leaving = list(rows)[1:2]
                await split_customer(self.connection, customer_id, leaving, author, WORKSPACE)
            else:
                events = await self.connection.scalars(
                    select(tables.merge_event.c.id).order_by(tables.merge_event.c.id)
                )
                ids = list(events)
                if ids:
                    event_id = ids[which % len(ids)]
                    await undo(self.connection, event_id, author, WORKSPACE)
        assert await self._entries() == before, "merges and splits move no point"

    # What must hold -------------------------------------------------------------------------

    async def check(self) -> None:
        """Every promise of the ledger, by ways of its own."""
        await self._check_entries()
        await self._check_orders()
        await self._check_carried()
        await self._check_facts()

    async def check_again(self) -> None:
        """A replay, a rebuild, and the clock at the same moment change nothing."""
        await run_clock(self.connection)
        entries, facts = await self._entries(), await self._facts()
        for source in SOURCES:
            again = [delivery for name, delivery in self.told if name == source]
            batch = Batch(await a_source(self.connection, source), again)
            await apply(self.connection, batch, WORKSPACE)
        await run_clock(self.connection)
        assert (await self._entries(), await self._facts()) == (entries, facts), "a replay"
        await rebuild(self.connection, WORKSPACE)
        await run_clock(self.connection)
        assert (await self._entries(), await self._facts()) == (entries, facts), "a rebuild"

    async def _entries(self) -> int:
        count = await self.connection.scalar(select(func.count()).select_from(tables.points_entry))
        assert isinstance(count, int)
        return count

    async def _row(self, customer_id: int) -> RowMapping:
        rows = await self.connection.execute(
            select(tables.customer).where(tables.customer.c.id == customer_id)
        )
        return rows.mappings().one()

    async def _facts(self) -> dict[int, dict[str, object]]:
        names = ["id", *(column.name for column in tables.LOYALTY_COLUMNS)]
        rows = await self.connection.execute(select(*(tables.customer.c[name] for name in names)))
        return {row["id"]: dict(row) for row in rows.mappings()}

    async def _check_entries(self) -> None:
        total = " + ".join(ACCOUNT_NAMES)
        sums = ", ".join(f"sum({name}) AS {name}" for name in ACCOUNT_NAMES)
        same = " AND ".join(f"l.{name} = s.{name}" for name in ACCOUNT_NAMES)
        for claim, query in {
            "a transaction sums to zero": (
                "SELECT 1 FROM points_entry GROUP BY transaction_id"  # noqa: S608  # our own names
                f" HAVING sum({total}) <> 0"
            ),
            "a lot is the sum of its entries": (
                f"SELECT 1 FROM (SELECT lot_id, {sums}"  # noqa: S608  # our own names
                " FROM points_entry GROUP BY lot_id) s"
                f" FULL JOIN points_lot l ON l.id = s.lot_id WHERE ({same}) IS NOT TRUE"
            ),
            "no lot is below zero": (
                "SELECT 1 FROM points_lot WHERE least(pending, available, held, expired, redeemed)"
                " < 0 OR owed > 0 OR issued > 0 OR (owed < 0 AND available + pending > 0)"
            ),
            "what is repaid is paid": "SELECT 1 FROM points_lot HAVING sum(settled) <> 0",
            "an entry is its lot's": (
                "SELECT 1 FROM points_entry e JOIN points_lot l ON l.id = e.lot_id"
                " WHERE l.source_profile_id <> e.source_profile_id"
            ),
        }.items():
            found = await self.connection.execute(text(query))
            assert not found.all(), claim

    async def _check_orders(self) -> None:
        """What each order earned, worked out from the records alone."""
        rows = {
            name: (await self.connection.execute(select(tables.metadata.tables[name])))
            .mappings()
            .all()
            for name in ("sales_order", "refund", "loyalty_entry", "points_lot")
        }
        issued: Counter[tuple[int, str, int]] = Counter()
        for lot in rows["points_lot"]:
            if lot["origin"] == "order" and lot["issued"]:
                issued[lot["source_id"], lot["key"], lot["source_profile_id"]] -= lot["issued"]
        expected: Counter[tuple[int, str, int]] = Counter()
        for order in rows["sales_order"]:
            place = order["source_id"], order["key"]
            refunds = [
                one["amount"]
                for one in rows["refund"]
                if (one["source_id"], one["order_key"]) == place and one["refunded_at"] <= self.now
            ]
            is_carried = any(
                (one["source_id"], one["order_id"]) == place
                and one["kind"] == "earn"
                and one["deleted_at"] is None
                for one in rows["loyalty_entry"]
            )
            if order["deleted_at"] or order["status"] in VOID_STATUSES or is_carried:
                continue
            left = order["total"] - sum(refunds, Decimal(0))
            if order["status"] == "refunded" and not refunds:
                left = Decimal(0)
            if left > 0:
                day = order["placed_at"].date()
                parts = 2 if CAMPAIGN[0] <= day <= CAMPAIGN[1] else 1
                expected[(*place, order["source_profile_id"])] = parts * math.floor(left)
        assert issued == expected

    async def _check_carried(self) -> None:
        """Of each profile and source the lots sum to what the source tells."""
        entry, lot = tables.loyalty_entry.c, tables.points_lot.c
        told = await self.connection.execute(
            select(entry.source_profile_id, entry.source_id, func.sum(entry.points))
            .where(entry.deleted_at.is_(None), entry.occurred_at <= func.now())
            .group_by(entry.source_profile_id, entry.source_id)
        )
        lots = await self.connection.execute(
            select(lot.source_profile_id, lot.source_id, -func.sum(lot.issued + lot.carried))
            .where(lot.origin == "entry")
            .group_by(lot.source_profile_id, lot.source_id)
        )
        assert _sums(told.all()) == _sums(lots.all())

    async def _check_facts(self) -> None:
        """Facts are the sums of the lots of a customer's profiles; together they lose none."""
        lot, profile = tables.points_lot.c, tables.source_profile.c
        rows = await self.connection.execute(
            select(
                profile.customer_id,
                func.sum(lot.available + lot.owed).label("points"),
                func.sum(lot.pending).label("pending"),
                func.sum(-lot.issued).filter(lot.is_earned).label("lifetime"),
            )
            .join(tables.points_lot, lot.source_profile_id == profile.id)
            .group_by(profile.customer_id)
        )
        sums = {row.customer_id: row for row in rows}
        facts = await self._facts()
        assert set(sums) <= set(facts)
        for customer_id, row in facts.items():
            there = sums.get(customer_id)
            assert row["loyalty_points"] == (there.points if there else 0)
            assert row["loyalty_pending_points"] == (there.pending if there else 0)
            assert row["loyalty_lifetime_points"] == ((there and there.lifetime) or 0)
        for cause, kind in (("redeem", "redeem"), ("hold", "hold")):
            moved = await self.connection.scalar(
                text(
                    "SELECT coalesce(-sum(e.available), 0) FROM points_entry e"
                    " JOIN points_transaction t ON t.id = e.transaction_id"
                    " WHERE t.cause = :cause AND e.kind = :cause"
                ),
                {"cause": cause},
            )
            assert moved == self.acted[kind], f"every {kind} moved what it said"


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


def _sums(rows: Iterable[Sequence[Any]]) -> dict[tuple[int, int], int]:
    return {(row[0], row[1]): int(row[2]) for row in rows if row[2]}
