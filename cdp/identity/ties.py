"""Decisions of people and scored pairs, as the database holds them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from cdp.identity.evidence import Decision, Evidence, Pair, Verdict
from cdp.values import ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Compared:
    """A stored pair: of which records it was computed, and what the stored ones are now."""

    pair: Pair
    digests: tuple[bytes, bytes]
    stored: tuple[bytes, bytes]

    def holds_for(self, evidence: Mapping[ProfileId, Evidence]) -> bool:
        """Whether both records still say what was compared; `evidence` may be newer than stored."""
        ends = zip((self.pair.left, self.pair.right), self.digests, self.stored, strict=True)
        return all(
            digest == (evidence[end].digest if end in evidence else stored)
            for end, digest, stored in ends
        )


async def has_ties(driver: Driver) -> bool:
    """Whether there is any decision or pair at all: most batches of a young database see none."""
    found = await driver.fetchval(
        "SELECT EXISTS (SELECT FROM decision_member) OR EXISTS (SELECT FROM match_pair)"
    )
    return bool(found)


async def read_decisions(driver: Driver, profile_ids: Collection[ProfileId]) -> list[Decision]:
    """The decisions in force that speak of any of the given profiles, with all their members."""
    return await _decisions(
        driver,
        " AND d.id IN"
        " (SELECT decision_id FROM decision_member WHERE source_profile_id = ANY($1::bigint[]))",
        list(profile_ids),
    )


async def read_every_decision(driver: Driver) -> list[Decision]:
    """The decisions in force, with all their members."""
    return await _decisions(driver, "")


async def _decisions(driver: Driver, which: str, *values: object) -> list[Decision]:
    rows = await driver.fetch(
        "SELECT d.id, d.at, d.kind, array_agg(m.source_profile_id) FILTER (WHERE m.side = 'left')"  # noqa: S608  # our own constants
        " AS left_ids, array_agg(m.source_profile_id) FILTER (WHERE m.side = 'right') AS right_ids"
        " FROM identity_decision d JOIN decision_member m ON m.decision_id = d.id"
        f" WHERE d.retracted_at IS NULL{which} GROUP BY d.id",
        *values,
    )
    return [
        Decision(
            row["id"],
            row["at"],
            Verdict(row["kind"]),
            frozenset(row["left_ids"] or ()),
            frozenset(row["right_ids"] or ()),
        )
        for row in rows
    ]


async def read_pairs(
    driver: Driver, profile_ids: Collection[ProfileId], model_version: int | None
) -> list[Compared]:
    """The pairs of one linkage model of which one end is among the given profiles."""
    if model_version is None:
        return []
    rows = await driver.fetch(
        "SELECT m.left_id, m.right_id, m.weight, m.probability, m.left_digest, m.right_digest,"
        " l.compared_digest AS left_now, r.compared_digest AS right_now"
        " FROM (SELECT * FROM match_pair WHERE left_id = ANY($1::bigint[])"
        " UNION SELECT * FROM match_pair WHERE right_id = ANY($1::bigint[])) m"
        " JOIN source_profile l ON l.id = m.left_id JOIN source_profile r ON r.id = m.right_id"
        " WHERE m.model_version = $2",
        list(profile_ids),
        model_version,
    )
    return [
        Compared(
            Pair(row["left_id"], row["right_id"], row["weight"], row["probability"]),
            (row["left_digest"], row["right_digest"]),
            (row["left_now"], row["right_now"]),
        )
        for row in rows
    ]


async def write_decision(
    driver: Driver,
    verdict: Verdict,
    left: Sequence[ProfileId],
    right: Sequence[ProfileId],
    *,
    action: str,
    at: datetime,
    actor: str,
    reason: str,
) -> int:
    """Store a decision; returns its number. The caller resolves its profiles anew."""
    decision_id = await driver.fetchval(
        "INSERT INTO identity_decision (kind, action, at, actor, reason)"
        " VALUES ($1, $2, $3, $4, $5) RETURNING id",
        verdict.value, action, at, actor, reason,
    )  # fmt: skip
    assert isinstance(decision_id, int)
    sides = [*((one, "left") for one in left), *((one, "right") for one in right)]
    await driver.copy_records_to_table(
        "decision_member",
        columns=["decision_id", "source_profile_id", "side"],
        records=[(decision_id, *member) for member in sides],
    )
    return decision_id


async def retract_decision(driver: Driver, decision_id: int, at: datetime, actor: str) -> bool:
    """Take a decision back; False where it was taken back before."""
    status = await driver.execute(
        "UPDATE identity_decision SET retracted_at = $2, retracted_by = $3"
        " WHERE id = $1 AND retracted_at IS NULL",
        decision_id,
        at,
        actor,
    )
    return status == "UPDATE 1"
