"""Whom a batch touches, and on which days, beyond the rows that it brings itself."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Final, TypeAlias

from sqlalchemy import ARRAY, Date, Text, and_, any_, column, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.arrivals import begin_to_tell
from cdp.customers import ProfileDay
from cdp.order_days import RATE_VALID_DAYS, day_of, order_day
from cdp.records import ExchangeRateRecord, OrderRecord, split_line_key
from cdp.tables import (
    PERSON_TABLES,
    STREAM_TABLES,
    loyalty_programme,
    order_line,
    refund,
    sales_order,
    subscription,
)
from cdp.values import CustomerId, ProfileId, SourceId
from cdp.versions import Changes, Driver
from cdp.workspace import Workspace

OCCURRED: Mapping[str, str] = {
    "orders": "placed_at",
    "messages": "occurred_at",
    "interactions": "occurred_at",
    "tickets": "opened_at",
    "feedback": "given_at",
    "loyalty_entries": "occurred_at",
    "subscriptions": "started_at",
    "consents": "recorded_at",
}
"""By stream of records about persons: when what a record tells of happens."""

_OCCURRED_IN = {STREAM_TABLES[stream].name: column for stream, column in OCCURRED.items()}

COMPARED_COLUMNS = {
    **dict.fromkeys(OCCURRED, ("source_profile_id",)),
    "orders": ("source_profile_id", "placed_at"),
    "consents": ("source_profile_id", "contact_point_kind", "contact_point"),
    "refunds": ("order_key",),
    "order_lines": ("order_key",),
    "products": ("category",),
    "exchange_rates": ("on", "currency", "base"),
    "loyalty_entries": ("source_profile_id", "order_id"),
}
"""What of a stored version tells whom, and which days, it touched before it changed."""

BELONGING_STREAMS: Final = ("loyalty_entries", "subscriptions")
"""Streams that say how a person belongs to a programme: their owners are folded anew."""

Rate: TypeAlias = tuple[date | None, str | None, str | None]
"""The day of an exchange rate, its currency and its base; null of a delete without a record."""


class Touched:
    """The days whose facts must be folded anew, whose activity must, and whoever is named.

    `named` are whose any record about a person is or was; `ahead` whose records are dated ahead, by
    the moment from which they count. `points` are contact points of which somebody said what they
    allow: a denial holds for everybody who bears them.
    """

    def __init__(
        self, connection: AsyncConnection, source_id: SourceId, workspace: Workspace
    ) -> None:
        self._connection = connection
        self._source_id = source_id
        self._workspace = workspace
        self.days: set[ProfileDay] = set()
        self.active: set[ProfileId] = set()
        self.profiles: set[ProfileId] = set()
        self.named: set[ProfileId] = set()
        self.ahead: dict[datetime, set[ProfileId]] = {}
        self.points: set[tuple[str, str]] = set()

    def add(self, profile_id: ProfileId | None, placed_at: datetime | None) -> None:
        """The day of one order; nothing where nobody or no moment is known."""
        if profile_id is not None and placed_at is not None:
            self.days.add((profile_id, day_of(placed_at, self._workspace)))

    def add_named(
        self, stream: str, changes: Changes, owners: Iterable[ProfileId | None], now: datetime
    ) -> None:
        """Whose the records of a stream are now, and whose they were before."""
        occurred = OCCURRED[stream]
        for version, owner in zip(changes.current, owners, strict=True):
            if owner is not None:
                self.named.add(owner)
                moment: datetime | None = getattr(version.record, occurred, None)
                if moment is not None and moment > now:
                    self.ahead.setdefault(moment, set()).add(owner)
        for _, stored in (*changes.changed, *changes.deleted):
            if stored.row["source_profile_id"] is not None:
                self.named.add(stored.row["source_profile_id"])

    def add_orders(self, changes: Changes, owners: Iterable[ProfileId | None]) -> None:
        """Orders of the batch where they are now, and where they were before."""
        for version, owner in zip(changes.current, owners, strict=True):
            if isinstance(version.record, OrderRecord):
                self.add(owner, version.record.placed_at)
        for _, stored in (*changes.changed, *changes.deleted):
            self.add(stored.row["source_profile_id"], stored.row["placed_at"])

    def add_activity(self, changes: Changes, owners: Iterable[ProfileId | None]) -> None:
        """Whose records of the batch are now, and whose they were before."""
        self.active |= _people(changes, owners)

    def add_people(self, changes: Changes, owners: Iterable[ProfileId | None]) -> None:
        """The same for records that say how a person belongs to a programme."""
        self.profiles |= _people(changes, owners)

    async def note(self, customers: Collection[CustomerId]) -> None:
        """Tell the outbox of these and of everybody who was added; of dated ones for then."""
        buying = {profile_id for profile_id, _ in self.days}
        bearers = await self._bearers()
        everybody = {*customers, *self.named, *self.profiles, *self.active, *buying, *bearers}
        await outbox.note(self._connection, everybody, "ingest")
        for moment, profiles in self.ahead.items():
            await outbox.note(self._connection, profiles | bearers, "ingest", moment)

    def add_points(self, changes: Changes, points: Iterable[tuple[str | None, str | None]]) -> None:
        """Contact points that statements of consent name now, and that they named before."""
        was = (
            (old.row["contact_point_kind"], old.row["contact_point"])
            for _, old in (*changes.changed, *changes.deleted)
        )
        self.points.update((kind, value) for kind, value in (*points, *was) if kind and value)

    async def _bearers(self) -> set[ProfileId]:
        """The source profiles that bear the contact points."""
        if not self.points:
            return set()
        rows = await self._connection.exec_driver_sql(
            "SELECT DISTINCT borne.source_profile_id"
            " FROM unnest($1::text[], $2::text[]) AS point(kind, value), LATERAL ("
            " SELECT source_profile_id FROM identifier"
            " WHERE kind = point.kind AND value = point.value AND is_current OFFSET 0) borne",
            ([kind for kind, _ in self.points], [value for _, value in self.points]),
        )
        return {ProfileId(row[0]) for row in rows}

    async def add_dependents(self, stream: str, changes: Changes) -> None:
        """Orders that a refund, a line, a product or a rate of the batch speaks of; and the like.

        Of a source that tells of its first delivery: whose messages it has told of before.
        """
        stored = [old for _, old in (*changes.changed, *changes.deleted)]
        records = [one.record for one in changes.current if one.record is not None]
        match stream:
            case "refunds":
                keys = {getattr(one, "order_id", None) for one in records}
                await self._add_orders_of(keys | {old.row["order_key"] for old in stored})
            case "order_lines":
                keys = {getattr(one, "order_id", None) for one in records}
                # A delete may come before its record, and take a line of its order's away.
                keys |= {split_line_key(one.key)[0] for one in changes.fresh}
                await self._add_orders_of(keys | {old.row["order_key"] for old in stored})
            case "loyalty_entries":
                # An order that its source's own programme speaks of earns nothing here.
                keys = {getattr(one, "order_id", None) for one in records}
                await self._add_orders_of(keys | {old.row["order_id"] for old in stored})
            case "products":
                was = {old.row["key"]: old.row["category"] for old in stored}
                await self._add_products(
                    [
                        one.key
                        for one in changes.current
                        if getattr(one.record, "category", None) != was.get(one.key)
                    ]
                )
            case "exchange_rates":
                rates = {_rate_of(one) for one in records if isinstance(one, ExchangeRateRecord)}
                rates |= {(old.row["on"], old.row["currency"], old.row["base"]) for old in stored}
                await self._add_rates(rates)
            case "messages":
                self.active.update(await begin_to_tell(self._connection, self._source_id, changes))
            case _:
                pass

    async def _add_orders_of(self, keys: Collection[str | None]) -> None:
        wanted = literal([key for key in keys if key], ARRAY(Text))
        await self._add_where(
            and_(sales_order.c.source_id == self._source_id, sales_order.c.key == any_(wanted))
        )

    async def _add_products(self, keys: list[str]) -> None:
        """Orders with a line that leaves its category to its product."""
        if keys:
            lines = select(order_line.c.order_key).where(
                order_line.c.source_id == self._source_id,
                order_line.c.product_id == any_(literal(keys, ARRAY(Text))),
                order_line.c.category.is_(None),
            )
            await self._add_where(
                and_(sales_order.c.source_id == self._source_id, sales_order.c.key.in_(lines))
            )

    async def _add_rates(self, rates: Collection[Rate]) -> None:
        """Orders that a rate prices: those in its currency, and those with a refund in it.

        For the workspace, or for a programme that was applied when its currency was another.
        """
        programmes = select(loyalty_programme.c.currency).distinct()
        ours = {self._workspace.currency, *await self._connection.scalars(programmes)}
        days = [(on, currency) for on, currency, base in rates if base in ours]
        if not days:
            return
        given = (
            func.unnest(
                literal([on for on, _ in days], ARRAY(Date)),
                literal([currency for _, currency in days], ARRAY(Text)),
            )
            .table_valued(column("on", Date), column("currency", Text))
            .render_derived("given")
        )
        on = order_day(self._workspace)
        is_valid = on.between(given.c.on, given.c.on + RATE_VALID_DAYS)
        await self._add_where(exists().where(given.c.currency == sales_order.c.currency, is_valid))
        owners = select(subscription.c.source_profile_id).where(
            subscription.c.currency.in_([currency for _, currency in days])
        )
        rows = await self._connection.execute(owners.distinct())
        self.active.update(row[0] for row in rows if row[0] is not None)
        await self._add_where(
            exists().where(
                refund.c.source_id == sales_order.c.source_id,
                refund.c.order_key == sales_order.c.key,
                refund.c.currency != sales_order.c.currency,
                refund.c.currency == given.c.currency,
                is_valid,
            )
        )

    async def _add_where(self, condition: object) -> None:
        rows = await self._connection.execute(
            select(sales_order.c.source_profile_id, order_day(self._workspace))
            .where(condition, sales_order.c.source_profile_id.is_not(None))  # type: ignore[arg-type]
            .distinct()
        )
        self.days.update((ProfileId(row[0]), row[1]) for row in rows)


def _people(changes: Changes, owners: Iterable[ProfileId | None]) -> set[ProfileId]:
    before = (old.row["source_profile_id"] for _, old in (*changes.changed, *changes.deleted))
    return {one for one in (*owners, *before) if one is not None}


def _rate_of(record: ExchangeRateRecord) -> Rate:
    return record.on, record.currency.upper(), record.base.upper()


_BELONGING_TABLES: Final = tuple(STREAM_TABLES[stream].name for stream in BELONGING_STREAMS)


async def adopt_waiting(
    driver: Driver, source_id: SourceId, owners: dict[str, ProfileId], touched: Touched
) -> None:
    """Give records that named a customer before it was seen to that customer."""
    waiting = " UNION ALL ".join(
        f"(SELECT '{table.name}' AS name FROM {table.name} WHERE source_id = $1"  # noqa: S608  # names are our own constants
        " AND source_profile_id IS NULL AND customer_id IS NOT NULL LIMIT 1)"
        for table in PERSON_TABLES
    )
    for row in await driver.fetch(waiting, source_id):
        name = row["name"]
        occurred = f"t.{_OCCURRED_IN[name]}"
        adopted = await driver.fetch(
            f"UPDATE {name} t SET source_profile_id = k.id"  # noqa: S608  # names are our own constants
            " FROM unnest($2::text[], $3::bigint[]) AS k(customer_id, id)"
            " WHERE t.source_id = $1 AND t.customer_id = k.customer_id"
            f" AND t.source_profile_id IS NULL RETURNING k.id, {occurred} AS occurred,"
            f" {occurred} > now() AS is_ahead",
            source_id,
            list(owners),
            list(owners.values()),
        )
        for one in adopted:
            if name == sales_order.name:
                touched.add(one["id"], one["occurred"])
            touched.active.add(one["id"])
            if one["is_ahead"]:
                touched.ahead.setdefault(one["occurred"], set()).add(one["id"])
        if name in _BELONGING_TABLES:
            touched.profiles.update(one["id"] for one in adopted)
