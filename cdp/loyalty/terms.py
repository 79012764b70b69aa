"""The versions of the programme as they are stored, and which of them governs a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.loyalty.programme import Programme, parse_programme
from cdp.versions import Driver
from cdp.workspace import FOLDED_IN, Workspace, folded_in

LAST_DAY_FITS_ALL = 28
"""Of every month; a later one is cut to the month's last."""


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of the programme, with the currency and the time zone that it counts in.

    `starts_at`: it governs orders placed from then on, until a later version does.
    `is_in_stored_days`: the stored days are in that currency and time zone too, for the workspace
    has not changed them since it was applied.
    """

    version: int
    programme: Programme
    text: str
    currency: str
    timezone: str
    starts_at: datetime
    is_in_stored_days: bool = True

    def day_of(self, moment: datetime) -> date:
        """The programme's day of a moment."""
        return moment.astimezone(ZoneInfo(self.timezone)).date()

    def missing(self, amount: Decimal) -> Decimal:
        """What is missing for a tier, nothing below zero: money up to the smallest unit."""
        tiers = self.programme.tiers
        if tiers is None or tiers.by != "spend":
            return max(amount, Decimal(0))
        unit = Decimal(1).scaleb(-Workspace(currency=self.currency).money_digits)
        return max(amount, Decimal(0)).quantize(unit, ROUND_CEILING)

    def midnight(self, on: date) -> datetime:
        """When a day of the programme begins."""
        # In UTC: a moment that clocks show twice equals none of another zone.
        return datetime.combine(on, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def available_at(self, earned_at: datetime) -> datetime:
        """When points can be spent."""
        return earned_at + timedelta(days=self.programme.points.pending_days)

    def expires_at(self, earned_at: datetime) -> datetime | None:
        """When points expire: at the midnight that ends their last day; null: never."""
        keeping = self.programme.points
        if keeping.expire_after_months is None:
            return None
        last = add_months(self.day_of(earned_at), keeping.expire_after_months)
        if keeping.expire_at_end_of == "month":
            last = add_months(last.replace(day=1), 1) - timedelta(days=1)
        elif keeping.expire_at_end_of == "year":
            last = last.replace(month=12, day=31)
        return self.midnight(last + timedelta(days=1))


def add_months(on: date, months: int) -> date:
    """The same day of a later month, or that month's last."""
    number = on.year * 12 + on.month - 1 + months
    first = date(number // 12, number % 12 + 1, 1)
    if on.day <= LAST_DAY_FITS_ALL:
        return first.replace(day=on.day)
    next_first = date((number + 1) // 12, (number + 1) % 12 + 1, 1)
    return min(first + timedelta(days=on.day - 1), next_first - timedelta(days=1))


async def has_programme(connection: AsyncConnection) -> bool:
    """Whether there is any version: one short look, which every batch pays."""
    driver = await driver_of(connection)
    return bool(await driver.fetchval("SELECT EXISTS (SELECT FROM loyalty_programme)"))


async def read_terms(driver: Driver) -> Sequence[Terms]:
    """Every version, oldest first; none where there is no programme."""
    rows = await driver.fetch(
        "SELECT p.version, p.text, p.currency, p.timezone, p.starts_at, w.value AS folded_in"
        " FROM loyalty_programme p LEFT JOIN workspace w ON w.key = $1 ORDER BY p.version",
        FOLDED_IN,
    )
    return [
        Terms(
            row["version"],
            parse_programme(row["text"]),
            row["text"],
            row["currency"],
            row["timezone"],
            row["starts_at"],
            row["folded_in"] in (None, folded_in(row["currency"], row["timezone"])),
        )
        for row in rows
    ]


def in_force(terms: Sequence[Terms], at: datetime) -> Terms | None:
    """The latest version that had started by a moment; None before the first."""
    return next((one for one in reversed(terms) if one.starts_at <= at), None)
