"""A decision on its way: stored, the map computed anew from it, all of it kept or only tried."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import asyncpg
from sqlalchemy import RowMapping, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.database import planned_once
from cdp.errors import AlreadyUndone, BadInput, NotFound
from cdp.identity.evidence import Verdict
from cdp.identity.ledger import Cause, is_undone
from cdp.identity.rules import read_rules
from cdp.identity.ties import retract_decision, write_decision
from cdp.operands import read_text
from cdp.remap import Remap, fold, moment_of, write_map
from cdp.segments.settle import settle_now
from cdp.tables import identity_decision, merge_event
from cdp.traitchange import TraitChange, differences, values_of
from cdp.values import MAX_REASON, CustomerId, ProfileId
from cdp.workspace import Workspace, take_turn

MAX_PROFILES: Final = 10_000  # that one decision speaks of; more are no person

STEWARD_LOCK: Final = 7_365_004  # the first key of two-key advisory locks: any number


@dataclass(frozen=True, slots=True)
class Author:
    """Who acts, and why; both are kept in the ledger. `reason`: 1 to 500 characters."""

    actor: str
    reason: str

    def __post_init__(self) -> None:
        """Refuse a reason that says nothing, or too much."""
        if not 0 < len(read_text(self.reason, "reason").strip()) <= MAX_REASON:
            raise BadInput(
                f"A reason has 1 to {MAX_REASON} characters.",
                todo="Say why: somebody will want to know.",
                path="reason",
            )


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the ledger, written or about to be; `event_id` is None in a dry run."""

    kind: str
    customer_id: CustomerId
    from_customer_id: CustomerId
    profile_ids: tuple[ProfileId, ...]
    event_id: int | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a decision did, or in a dry run would do.

    `customer_ids` are the customers concerned, as they are after it. `notes` are sentences that a
    person should read. `decision_id` is None in a dry run.
    """

    changes: Sequence[Change]
    traits: Sequence[TraitChange]
    customer_ids: Sequence[CustomerId]
    notes: Sequence[str]
    decision_id: int | None


async def begin(connection: AsyncConnection, author: Author, workspace: Workspace) -> "Decision":
    """A decision of now, which waits for whoever changes what money is worth."""
    await take_turn(connection, alone=False)
    driver = await driver_of(connection)
    return Decision(connection, driver, author, workspace, await moment_of(connection))


@cache
def _entry() -> Select[Any]:
    """An entry of the ledger, and what became of it; built once, for that takes longer than it."""
    entry, decision = merge_event, identity_decision
    holds = decision.c.id.is_not(None) & decision.c.retracted_at.is_(None)
    return (
        select(entry, holds.label("decision_holds"), is_undone(entry).label("is_undone"))
        .select_from(entry.outerjoin(decision, decision.c.id == entry.c.decision_id))
        .where(entry.c.id == bindparam("event_id"))
    )


Done = tuple[Remap, int, Sequence[ProfileId]]
"""The new map, the decision, and the source profiles that it speaks of."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision on its way."""

    connection: AsyncConnection
    driver: "asyncpg.Connection[asyncpg.Record]"
    author: Author
    workspace: Workspace
    at: datetime

    async def take_turn(self, number: int) -> None:
        """Wait for whoever answers the same question, or takes back the same entry.

        No row is locked for it: those who ingest hold the locks of values when they come to the
        queue, and would wait for us while we wait for them.
        """
        await self.driver.execute(
            "SELECT pg_advisory_xact_lock($1, hashint8($2))", STEWARD_LOCK, number
        )

    async def profiles_of(
        self, customer_ids: Sequence[CustomerId], path: str
    ) -> Mapping[CustomerId, list[ProfileId]]:
        """Each customer's source profiles; an id that was merged leads to its survivor.

        Raises NotFound, and BadInput for more of them than a decision speaks of.
        """
        rows = await self.driver.fetch(
            "SELECT asked.id AS asked, p.customer_id, p.id FROM source_profile asked"
            " JOIN source_profile p ON p.customer_id = asked.customer_id"
            " WHERE asked.id = ANY($1::bigint[]) ORDER BY p.customer_id, p.id",
            list(customer_ids),
        )
        unknown = set(customer_ids) - {row["asked"] for row in rows}
        if unknown:
            raise NotFound(
                f"There is no customer {min(unknown)}.", todo="Search for the customer.", path=path
            )
        found: dict[CustomerId, dict[ProfileId, None]] = {}
        for row in rows:
            found.setdefault(row["customer_id"], {})[row["id"]] = None
        if sum(map(len, found.values())) > MAX_PROFILES:
            raise BadInput(
                f"A decision speaks of at most {MAX_PROFILES} source profiles.", path=path
            )
        return {customer_id: list(profiles) for customer_id, profiles in found.items()}

    async def event(self, event_id: int) -> RowMapping:
        """An entry of the ledger that has not been undone. Raises NotFound, else AlreadyUndone."""
        rows = await self.connection.execute(_entry(), {"event_id": event_id})
        event: RowMapping | None = rows.mappings().one_or_none()
        if event is None:
            raise NotFound(
                f"There is no entry {event_id} in the ledger.",
                todo="Read it again.",
                path="mergeEventId",
            )
        if event["is_undone"]:
            raise AlreadyUndone("It has been undone already.")
        return event

    async def store(
        self,
        verdict: Verdict,
        left: Sequence[ProfileId],
        right: Sequence[ProfileId],
        action: str,
        *,
        undoes_event_id: int | None = None,
    ) -> Done:
        """Store a decision and compute the map anew."""
        decision_id = await write_decision(
            self.driver,
            verdict,
            left,
            right,
            action=action,
            at=self.at,
            actor=self.author.actor,
            reason=self.author.reason,
        )
        return await self._remap(decision_id, [*left, *right], undoes_event_id)

    async def part(self, event: RowMapping) -> Done:
        """Decide that the two sides of an automatic merge are not the same.

        Raises AlreadyUndone where that moves nobody: a decision without an entry in the ledger
        could be made again and again, and taken back by nothing.
        """
        done = await self.store(
            Verdict.NOT_SAME,
            event["profile_ids"],
            event["other_ids"],
            "undo",
            undoes_event_id=event["id"],
        )
        if not done[0].resolution.moves:
            raise AlreadyUndone(
                "Those whom it joined are parted already.", todo="Read the customers' ledger again."
            )
        return done

    async def retract(self, event: RowMapping) -> Done:
        """Take the decision of an entry back and compute the map anew.

        Raises AlreadyUndone where somebody else was first.
        """
        decision_id = event["decision_id"]
        if not await retract_decision(self.driver, decision_id, self.at, self.author.actor):
            raise AlreadyUndone("Somebody else has just taken it back.")
        rows = await self.driver.fetch(
            "SELECT source_profile_id FROM decision_member WHERE decision_id = $1", decision_id
        )
        return await self._remap(decision_id, [row[0] for row in rows], event["id"])

    async def _remap(
        self, decision_id: int, profile_ids: Sequence[ProfileId], undoes_event_id: int | None
    ) -> Done:
        rules = await read_rules(self.driver)
        cause = Cause(self.author.actor, self.author.reason, decision_id, undoes_event_id)
        remap = await write_map(self.connection, profile_ids, rules, cause, self.at)
        return remap, decision_id, profile_ids

    async def run(self, act: Callable[[], Awaitable[Done]], *, dry_run: bool) -> Effect:
        """Do it, or do it and take it back, and tell what it came to."""
        async with self.connection.begin_nested() as savepoint, planned_once(self.driver):
            remap, decision_id, profile_ids = await act()
            concerned = {remap.resolution.customer_of[one] for one in profile_ids}
            watched = remap.customer_ids | concerned
            before = await values_of(self.driver, watched, self.workspace, self.at)
            await fold(self.connection, remap, self.workspace)
            changed = remap.customer_ids
            is_settled = not changed or await settle_now(
                self.connection, changed, self.workspace, self.at
            )
            after = await values_of(self.driver, watched, self.workspace, self.at)
            if dry_run:
                await savepoint.rollback()
        return Effect(
            changes=[
                Change(
                    move.kind,
                    move.customer_id,
                    move.from_customer_id,
                    move.profile_ids,
                    None if dry_run else event_id,
                )
                for move, event_id in zip(remap.resolution.moves, remap.event_ids, strict=True)
            ],
            traits=differences(before, after),
            customer_ids=sorted(concerned),
            notes=[*_notes(remap), *([] if is_settled else [_FOLLOWS])],
            decision_id=None if dry_run else decision_id,
        )


_FOLLOWS: Final = "Scores and segments follow: a refresh of everybody is under way."


def _notes(remap: Remap) -> list[str]:
    if remap.resolution.moves:
        return []
    kinds = sorted({join.identifier.kind for join in remap.resolution.joins})
    tied = f" Evidence ties those concerned: {', '.join(kinds)}." if kinds else ""
    return [f"Nobody moves.{tied}"]
