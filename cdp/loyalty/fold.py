"""What the ledger and the programme make of a customer: the loyalty columns of the row."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.loyalty.awards import due_awards, next_award_at
from cdp.loyalty.members import are_members, is_member, people_of
from cdp.loyalty.spend import Rows, spend_by_day
from cdp.loyalty.terms import Terms, in_force, read_terms
from cdp.loyalty.tiers import NO_TIER, Standing, standing
from cdp.tables import LOYALTY_COLUMNS, LoyaltyStatus
from cdp.values import CustomerId
from cdp.versions import Driver
from cdp.workspace import FOLDED_IN, Workspace


@dataclass(frozen=True, slots=True)
class Row:
    """The loyalty columns of one customer, in the order of LOYALTY_COLUMNS."""

    status: LoyaltyStatus = LoyaltyStatus.NONE
    tier: str | None = None
    tier_rank: int | None = None
    tier_since: date | None = None
    tier_until: date | None = None
    next_tier: str | None = None
    points_to_next_tier: Decimal | None = None
    points: int | None = None
    pending_points: int | None = None
    lifetime_points: int | None = None
    points_expiring: int | None = None
    points_expire_on: date | None = None
    next_change_at: datetime | None = None


_NOBODY: Final = Row()


async def refresh_loyalty(connection: AsyncConnection, customers: Collection[CustomerId]) -> None:
    """Fold the loyalty columns of the given customers, and their tiers, into rows that are there.

    Nothing is posted: the map of customers moves no point. Costs one look where there is neither a
    programme nor any point.
    """
    if not customers:
        return
    driver = await driver_of(connection)
    look = "SELECT EXISTS (SELECT FROM loyalty_programme) OR EXISTS (SELECT FROM points_lot)"
    if not await driver.fetchval(look):
        return
    at = await driver.fetchval("SELECT now()")
    terms = in_force(await read_terms(driver), at)
    ids = sorted(customers)
    found = await _read(driver, ids, terms, at)
    rows, periods = {}, []
    for customer_id in ids:
        row, where = found.row(customer_id)
        rows[customer_id] = row
        if where is not None and terms is not None and terms.programme.tiers is not None:
            levels = terms.programme.tiers.levels
            periods += [
                (customer_id, one.since, one.until, levels[one.rank].name, one.rank)
                for one in where.history
            ]
    await _write(driver, rows)
    await driver.execute("DELETE FROM tier_period WHERE customer_id = ANY($1::bigint[])", ids)
    await driver.copy_records_to_table(
        "tier_period",
        columns=("customer_id", "since_on", "until_on", "tier", "rank"),
        records=periods,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of some customers."""

    at: datetime
    terms: Terms | None
    people: Mapping[CustomerId, asyncpg.Record]
    sums: Mapping[CustomerId, asyncpg.Record]
    amounts: Mapping[CustomerId, Mapping[date, Decimal]]
    changes: Mapping[CustomerId, datetime]

    def row(self, customer_id: CustomerId) -> tuple[Row, Standing | None]:
        """The columns of one customer, and where they stand among the tiers."""
        person, sums = self.people.get(customer_id), self.sums.get(customer_id)
        if person is None or not (is_member(person, self.terms) or sums is not None):
            return _NOBODY, None
        tier, where = self._tier(customer_id, person)
        moments: list[datetime | None] = [self.changes.get(customer_id)]
        if sums is not None:
            moments.append(sums["next_change_at"])
        if where is not None and where.next_change_on is not None and self.terms is not None:
            moments.append(self.terms.midnight(where.next_change_on))
        points = int(sums["points"]) if sums else 0
        # What is owed lessens what can be spent, so that no more than that can expire.
        expiring = min(int(sums["expiring"] or 0), max(points, 0)) if sums else 0
        return Row(
            status=_status(person),
            **tier,
            points=points,
            pending_points=int(sums["pending"]) if sums else 0,
            lifetime_points=int(sums["lifetime"] or 0) if sums else 0,
            points_expiring=expiring or None,
            points_expire_on=sums["expire_on"] if sums and expiring else None,
            next_change_at=min((one for one in moments if one is not None), default=None),
        ), where

    def _tier(
        self, customer_id: CustomerId, person: asyncpg.Record
    ) -> tuple[dict[str, Any], Standing | None]:
        if self.terms is None or self.terms.programme.tiers is None:
            return {}, None
        tiers, today = self.terms.programme.tiers, self.terms.day_of(self.at)
        since = min(self.terms.day_of(person["member_since"]), today)
        where = standing(self.amounts.get(customer_id, {}), tiers, since, today)
        rank, until, from_day = where.rank, where.until, where.since
        paid = self.terms.programme.paid
        if person["paid_since"] is not None and paid is not None and paid.tier is not None:
            least = [level.name for level in tiers.levels].index(paid.tier)
            if least > rank:
                rank, until = least, None
                from_day = self.terms.day_of(person["paid_since"])
        above = tiers.levels[rank + 1] if rank + 1 < len(tiers.levels) else None
        return {
            "tier": tiers.levels[rank].name if rank != NO_TIER else None,
            "tier_rank": rank if rank != NO_TIER else None,
            "tier_since": from_day,
            "tier_until": until,
            "next_tier": above.name if above else None,
            "points_to_next_tier": (
                self.terms.missing(above.threshold - where.qualifying) if above else None
            ),
        }, where


def _status(person: asyncpg.Record) -> LoyaltyStatus:
    if person["is_suspended"]:
        return LoyaltyStatus.SUSPENDED
    return LoyaltyStatus.PAID_MEMBER if person["paid_since"] else LoyaltyStatus.MEMBER


async def _read(
    driver: Driver, ids: Sequence[CustomerId], terms: Terms | None, at: datetime
) -> _Found:
    timezone = terms.timezone if terms is not None else await _timezone(driver)
    sums = await driver.fetch(_SUMS, ids, timezone, at)
    changes: dict[CustomerId, datetime] = {}
    for row in await driver.fetch(_MOMENTS, ids, at):
        changes[row["customer_id"]] = row["moment"]
    people = {row["customer_id"]: row for row in await people_of(driver, ids, terms, at)}
    if terms is not None:
        members = are_members(people.values(), terms)
        for customer_id, moment in (await next_award_at(driver, members, terms, at)).items():
            changes[customer_id] = min(moment, changes.get(customer_id, moment))
        for award in await due_awards(driver, members, terms, at):
            changes[award.customer_id] = at
    return _Found(
        at=at,
        terms=terms,
        people=people,
        sums={row["customer_id"]: row for row in sums},
        amounts=await _amounts(driver, ids, terms),
        changes=changes,
    )


async def _timezone(driver: Driver) -> str:
    """The workspace's time zone, for points that no programme counts: that of the stored days."""
    rows = await driver.fetch(
        "SELECT key, value FROM workspace WHERE key = ANY($1::text[])", [FOLDED_IN, "timezone"]
    )
    found = {row["key"]: str(row["value"]) for row in rows}
    if FOLDED_IN in found:
        return found[FOLDED_IN].partition(" ")[2]
    return found.get("timezone", Workspace().timezone)


_SUMS: Final = """
SELECT customer_id, sum(points) AS points, sum(pending) AS pending, sum(lifetime) AS lifetime,
       (array_agg(available ORDER BY day) FILTER (WHERE is_expiring))[1] AS expiring,
       min(day) FILTER (WHERE is_expiring) AS expire_on, min(next_change_at) AS next_change_at
FROM (
  SELECT p.customer_id, lot.day, sum(l.available + l.owed) AS points, sum(l.pending) AS pending,
         sum(-l.issued) FILTER (WHERE l.is_earned) AS lifetime, sum(l.available) AS available,
         coalesce(sum(l.available) FILTER (WHERE l.expires_at > $3), 0) > 0 AS is_expiring,
         min(CASE WHEN l.pending > 0 THEN l.available_at
                  WHEN l.available > 0 THEN l.expires_at END) AS next_change_at
  FROM unnest($1::bigint[]) AS given(id)
  JOIN source_profile p ON p.customer_id = given.id
  JOIN points_lot l ON l.source_profile_id = p.id
  CROSS JOIN LATERAL (
    SELECT (l.expires_at AT TIME ZONE $2 - interval '1 microsecond')::date AS day
  ) lot
  GROUP BY p.customer_id, lot.day
) days
GROUP BY customer_id
"""
"""One row per customer with lots. The points of held lots change when they come back."""

_MOMENTS: Final = """
SELECT p.customer_id, min(soon.moment) AS moment
FROM source_profile p
JOIN LATERAL (
  SELECT min(e.occurred_at) AS moment FROM loyalty_entry e
  WHERE e.source_profile_id = p.id AND e.occurred_at > $2 AND e.deleted_at IS NULL
  UNION ALL
  SELECT least(s.started_at, s.ended_at) FROM subscription s
  WHERE s.source_profile_id = p.id AND s.deleted_at IS NULL AND s.started_at > $2
  UNION ALL
  SELECT s.ended_at FROM subscription s
  WHERE s.source_profile_id = p.id AND s.deleted_at IS NULL AND s.ended_at > $2
  UNION ALL
  SELECT t.held_until FROM points_lot l
  JOIN points_entry e ON e.lot_id = l.id JOIN points_transaction t ON t.id = e.transaction_id
  WHERE l.source_profile_id = p.id AND l.held > 0 AND t.held_until IS NOT NULL
    AND NOT EXISTS (SELECT FROM points_transaction c WHERE c.about_id = t.id)
) soon ON true
WHERE p.customer_id = ANY($1::bigint[]) AND soon.moment IS NOT NULL
GROUP BY p.customer_id
"""
"""When an entry, a subscription or a hold that is known already will change something."""


async def _amounts(
    driver: Driver, ids: Sequence[CustomerId], terms: Terms | None
) -> Mapping[CustomerId, Mapping[date, Decimal]]:
    """What counts towards a tier, by customer and day: points when they matured, or spend."""
    if terms is None or terms.programme.tiers is None:
        return {}
    is_by_spend = terms.programme.tiers.by == "spend"
    rows = await (spend_by_day if is_by_spend else _matured_by_day)(driver, ids, terms)
    found: dict[CustomerId, dict[date, Decimal]] = defaultdict(dict)
    for customer_id, on, amount in rows:
        found[customer_id][on] = Decimal(amount)
    return found


async def _matured_by_day(driver: Driver, ids: Sequence[CustomerId], terms: Terms) -> Rows:
    rows = await driver.fetch(
        "SELECT p.customer_id, (l.available_at AT TIME ZONE $2)::date AS day,"
        " sum(-l.issued) AS amount"
        " FROM source_profile p JOIN points_lot l ON l.source_profile_id = p.id"
        " WHERE p.customer_id = ANY($1::bigint[]) AND l.is_qualifying AND l.issued < 0"
        " GROUP BY 1, 2",
        ids,
        terms.timezone,
    )
    return [tuple(row) for row in rows]


async def _write(driver: Driver, rows: Mapping[CustomerId, Row]) -> None:
    """Write the columns where they differ."""
    names = [column.name for column in LOYALTY_COLUMNS]
    types = ["loyalty_status", "text", "int", "date", "date", "text", "numeric",
             *["bigint"] * 4, "date", "timestamptz"]  # fmt: skip
    values = [
        (key, row.status.value, row.tier, row.tier_rank, row.tier_since, row.tier_until,
         row.next_tier, row.points_to_next_tier, row.points, row.pending_points,
         row.lifetime_points, row.points_expiring, row.points_expire_on, row.next_change_at)
        for key, row in rows.items()
    ]  # fmt: skip
    arrays = ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(["bigint", *types], 1))
    await driver.execute(
        "UPDATE customer c SET updated_at = now(),"  # noqa: S608  # names are our own constants
        f" {', '.join(f'{name} = k.{name}' for name in names)}"
        f" FROM unnest({arrays}) AS k(id, {', '.join(names)}) WHERE c.id = k.id"
        f" AND ({', '.join(f'c.{name}' for name in names)})"
        f" IS DISTINCT FROM ({', '.join(f'k.{name}' for name in names)})",
        *(list(column) for column in zip(*values, strict=True)),
    )
