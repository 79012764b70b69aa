"""What the demo's main job made of its business: counted in the database, judged by the truth."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.identity.evidence import CONTACT
from cdp.sources import SourceRow
from cdp.values import CustomerId, SourceId
from connectors.registry import CONNECTORS
from connectors.sandbox.business.truth import Judgement, ProfileKey, Truth, judge

COUNTED: Final = tuple(
    table for table in tables.STREAM_TABLES.values() if table is not tables.order_line
)
"""Where records lie; the demo's sources tell lines within their orders."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the database holds of one source."""

    name: str
    kind: str
    records: int
    source_profiles: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many customers have one, by which model, and its verdict; null for too few customers."""

    customers: int
    model: str | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the main job made of the business."""

    sources: tuple[Told, ...]
    customers: int
    judgement: Judgement
    forecast: Forecast
    seconds: float

    @property
    def records(self) -> int:
        """Of all sources."""
        return sum(told.records for told in self.sources)

    @property
    def source_profiles(self) -> int:
        """Of all sources."""
        return sum(told.source_profiles for told in self.sources)

    @property
    def merges(self) -> int:
        """Source profiles that were recognised as somebody who was known already."""
        return self.source_profiles - self.customers

    def described(self) -> dict[str, object]:
        """As one JSON object; shares are rounded to four digits."""
        return {
            "sources": {
                told.name: {"kind": told.kind, "records": told.records} for told in self.sources
            },
            "records": self.records,
            "source_profiles": self.source_profiles,
            "customers": self.customers,
            "merges": self.merges,
            "identity": {
                "precision": round(self.judgement.precision, 4),
                "recall": round(self.judgement.recall, 4),
                "f1": round(self.judgement.f1, 4),
            },
            "forecast": asdict(self.forecast),
            "seconds": round(self.seconds, 2),
        }

    def text(self) -> str:
        """For people."""
        shares = self.judgement
        lines = [f"{'source':<14}{'kind':<11}{'records':>10}{'profiles':>10}"]
        lines += [
            f"{told.name:<14}{told.kind:<11}{told.records:>10,}{told.source_profiles:>10,}"
            for told in self.sources
        ]
        lines += [
            f"{'':<25}{self.records:>10,}{self.source_profiles:>10,}",
            "",
            f"{self.customers:,} customers; {self.merges:,} merges: profiles of somebody known.",
            "Against the truth, in pairs of source profiles:",
            f"precision {shares.precision:.4f}, recall {shares.recall:.4f}, F1 {shares.f1:.4f}.",
            "",
            self._forecast_text(),
            f"{self.seconds:.1f} seconds.",
        ]
        return "\n".join(lines)

    def _forecast_text(self) -> str:
        told = self.forecast
        if told.model is None:
            return "Too few customers, or too short a history, for a forecast of their value."
        return f"{told.customers:,} forecasts of value by {told.model}: {told.verdict}."


async def summarise(
    database: Database, truth: Truth, rows: Sequence[SourceRow], started: float
) -> Summary:
    """Count what is stored, and compare the customers with the truth; one view of the data.

    `started` is the reading of the monotonic clock when the work began.
    """
    async with database.read_only() as connection:
        records = await _records(connection)
        customers = await _customers(connection, rows)
        forecast = await _forecast(connection)
    profiles = Counter(source for source, _, _ in customers)
    told = tuple(
        Told(row.name, CONNECTORS[row.connector].kind, records[row.id], profiles[row.name])
        for row in rows
    )
    count = len(set(customers.values()))
    judgement = judge(truth, customers)
    return Summary(told, count, judgement, forecast, time.monotonic() - started)


async def _forecast(connection: AsyncConnection) -> Forecast:
    """Of the scoring in force."""
    model, basis, score = tables.score_model.c, tables.score_basis.c, tables.score.c
    count = await connection.scalar(select(func.count(score.predicted)))
    rows = await connection.execute(
        select(model.kind, model.verdict).where(model.version == basis.version)
    )
    kind, verdict = rows.one()
    return Forecast(count or 0, kind, verdict)


async def _records(connection: AsyncConnection) -> Counter[SourceId]:
    """Current records by source."""
    records: Counter[SourceId] = Counter()
    for table in COUNTED:
        is_record = table.c.stream != CONTACT if table is tables.source_profile else true()
        counts = select(table.c.source_id, func.count()).where(is_record)
        for source_id, count in await connection.execute(counts.group_by(table.c.source_id)):
            records[source_id] += count
    return records


async def _customers(
    connection: AsyncConnection, rows: Sequence[SourceRow]
) -> dict[ProfileKey, CustomerId]:
    """The customer of each source profile of these sources."""
    names = {row.id: row.name for row in rows}
    profile = tables.source_profile
    columns = (profile.c.source_id, profile.c.stream, profile.c.key, profile.c.customer_id)
    found = await connection.execute(select(*columns).where(profile.c.source_id.in_(names)))
    return {(names[source], stream, key): customer for source, stream, key, customer in found}
