"""The ledger: writes what changed in the map from source profile to customer, and why."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
import msgspec

from cdp.identity.evidence import Rules
from cdp.identity.resolve import Move, Resolution
from cdp.values import ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BY_THE_RULES: Final = "system"


async def record(
    driver: Driver,
    resolution: Resolution,
    rules: Rules,
    learned_at: datetime,
    written: Collection[ProfileId] = (),
) -> None:
    """Write moves, reviews and blocked values of one resolution; the map itself included.

    `written`: source profiles that the caller has just stored with their customer.
    """
    await _move(driver, resolution.moves, written)
    await driver.copy_records_to_table(
        "merge_event",
        columns=[
            "at", "kind", "customer_id", "from_customer_id", "profile_ids", "evidence",
            "rule_version", "actor", "reason",
        ],
        records=[_event(move, rules, learned_at) for move in resolution.moves],
    )  # fmt: skip
    await _write_reviews(driver, resolution, learned_at)
    await _write_blocked(driver, resolution, learned_at)


async def _move(driver: Driver, moves: Sequence[Move], written: Collection[ProfileId]) -> None:
    moved = [
        (profile_id, move.customer_id)
        for move in moves
        for profile_id in move.profile_ids
        if profile_id not in written
    ]
    if not moved:
        return
    await driver.execute(
        "UPDATE source_profile p SET customer_id = k.customer_id"
        " FROM unnest($1::bigint[], $2::bigint[]) AS k(id, customer_id) WHERE p.id = k.id",
        [profile_id for profile_id, _ in moved],
        [customer_id for _, customer_id in moved],
    )


def _event(move: Move, rules: Rules, at: datetime) -> tuple[object, ...]:
    evidence = [
        {
            "kind": join.identifier.kind,
            "value": join.identifier.value,
            "profileIds": [str(profile_id) for profile_id in join.profile_ids],
        }
        for join in move.joins
    ]
    reason = (
        "Nothing that ties them is left."
        if move.kind == "split"
        else "They share identifiers: " + ", ".join(sorted({e.identifier.kind for e in move.joins}))
    )
    return (
        at, move.kind, move.customer_id, move.from_customer_id, list(move.profile_ids),
        msgspec.json.encode(evidence).decode(), rules.version, BY_THE_RULES, reason,
    )  # fmt: skip


async def _write_reviews(driver: Driver, resolution: Resolution, at: datetime) -> None:
    """The open reviews of the touched values are those of the new partition, no more, no less."""
    values = resolution.values
    if not values:
        return
    rows = await driver.fetch(
        "DELETE FROM match_review r USING unnest($1::text[], $2::text[]) AS k(kind, value)"
        " WHERE r.kind = k.kind AND r.value = k.value RETURNING r.kind, r.value, r.opened_at",
        [value.kind for value in values],
        [value.value for value in values],
    )
    opened = {(row["kind"], row["value"]): row["opened_at"] for row in rows}
    await driver.copy_records_to_table(
        "match_review",
        columns=["kind", "value", "profile_ids", "reason", "opened_at"],
        records=[
            (*one.identifier, list(one.profile_ids), one.reason, opened.get(one.identifier, at))
            for one in resolution.reviews
        ],
    )


async def _write_blocked(driver: Driver, resolution: Resolution, at: datetime) -> None:
    gone = [*resolution.unblocked, *resolution.blocked]
    if not gone:
        return
    await driver.execute(
        "DELETE FROM blocked_value b USING unnest($1::text[], $2::text[]) AS k(kind, value)"
        " WHERE b.kind = k.kind AND b.value = k.value",
        [value.kind for value in gone],
        [value.value for value in gone],
    )
    await driver.copy_records_to_table(
        "blocked_value",
        columns=["kind", "value", "reason", "blocked_at"],
        records=[(*value, reason, at) for value, reason in resolution.blocked.items()],
    )
