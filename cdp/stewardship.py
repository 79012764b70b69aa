"""What a person decides about who is who: merge, split, undo, answer a review; each can be tried.

A decision is evidence: it is stored, the map is computed anew from it, and the ledger says who
decided and why. Every function runs in the caller's transaction.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
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
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace, take_turn

MAX_REASON: Final = 500  # characters
MAX_CUSTOMERS: Final = 100  # that are merged at once; nobody has looked at more
MAX_PROFILES: Final = 10_000  # that one decision speaks of; more are no person

NO_REASON: Final = "No reason was given."
"""The reason of those decisions that explain themselves: an undo, an answer to a review."""

STEWARD_LOCK: Final = 7_365_004  # the first key of two-key advisory locks: any number

_UNTIED: Final = "Decided before it was recorded whom they joined: split the customer instead."


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


async def merge_customers(
    connection: AsyncConnection,
    customer_ids: Sequence[CustomerId],
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Decide that several customers are one person.

    Raises NotFound, and BadInput where fewer than two are left once merged ids are resolved.
    """
    act = await _act(connection, author, workspace)
    if len(customer_ids) > MAX_CUSTOMERS:
        raise BadInput(f"At most {MAX_CUSTOMERS} are merged at once.", path="customerIds")
    sides = await act.profiles_of(customer_ids, "customerIds")
    if len(sides) < 2:
        raise BadInput(
            "They are one customer already.",
            todo="Name two customers or more.",
            path="customerIds",
        )
    first, *others = sides.values()
    rest = [one for other in others for one in other]
    return await act.run(lambda: act.decide(Verdict.SAME, first, rest, "merge"), dry_run=dry_run)


async def split_customer(
    connection: AsyncConnection,
    customer_id: CustomerId,
    profile_ids: Collection[ProfileId],
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Decide that some source profiles of a customer are another person, and one person.

    Those that stay are one person too. Raises NotFound, and BadInput where a profile is not the
    customer's, or where nobody would stay.
    """
    act = await _act(connection, author, workspace)
    ((_, mine),) = (await act.profiles_of([customer_id], "customerId")).items()
    leaving = set(profile_ids)
    strange = sorted(leaving - set(mine))
    if strange:
        raise BadInput(
            f"Source profile {strange[0]} is not of customer {customer_id}.",
            path="sourceProfileIds",
        )
    staying = [one for one in mine if one not in leaving]
    if not leaving or not staying:
        raise BadInput(
            "A split leaves source profiles on both sides.",
            todo="Name some of the customer's source profiles, not all.",
            path="sourceProfileIds",
        )
    return await act.run(
        lambda: act.decide(Verdict.SPLIT, sorted(leaving), staying, "split"), dry_run=dry_run
    )


async def undo(
    connection: AsyncConnection,
    event_id: int,
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Take back an entry of the ledger.

    What a person decided is retracted, whole. What the evidence joined is parted by a decision
    that the two sides are not the same. Raises NotFound, AlreadyUndone also where the two sides are
    parted by something else, and BadInput for what came of nothing that can be taken back.
    """
    act = await _act(connection, author, workspace)
    await act.take_turn(event_id)
    event = await act.event(event_id)
    if event["decision_holds"]:
        return await act.run(lambda: act.retract(event), dry_run=dry_run)
    if event["kind"] == "split":
        raise BadInput(
            "They parted because nothing ties them any more.",
            todo="Merge them, if they are one person.",
            path="mergeEventId",
        )
    if not event["other_ids"]:
        raise BadInput(_UNTIED, path="mergeEventId")
    return await act.run(lambda: act.part(event), dry_run=dry_run)


async def decide(
    connection: AsyncConnection,
    review_id: int,
    author: Author,
    workspace: Workspace,
    *,
    same: bool,
    dry_run: bool = False,
) -> Effect:
    """Answer a question of the review queue: whether its two sides are one person.

    Raises NotFound where nobody asks it any more, and BadInput where it has one side alone.
    """
    act = await _act(connection, author, workspace)
    await act.take_turn(review_id)
    review = await act.driver.fetchrow(
        "SELECT left_ids, right_ids FROM match_review WHERE id = $1", review_id
    )
    if review is None:
        raise NotFound(
            f"There is no open review {review_id}.",
            todo="It has been answered, or new evidence has: read the queue again.",
            path="reviewId",
        )
    if not review["right_ids"]:
        raise BadInput(
            "It tells of evidence that was left out, and asks nothing.",
            todo="Merge or split by hand, or change the rules.",
            path="reviewId",
        )
    verdict = Verdict.SAME if same else Verdict.NOT_SAME
    return await act.run(
        lambda: act.decide(verdict, review["left_ids"], review["right_ids"], "review"),
        dry_run=dry_run,
    )


async def _act(connection: AsyncConnection, author: Author, workspace: Workspace) -> "_Act":
    await take_turn(connection, alone=False)
    driver = await driver_of(connection)
    return _Act(connection, driver, author, workspace, await moment_of(connection))


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


_Done = tuple[Remap, int, Sequence[ProfileId]]
"""The new map, the decision, and the source profiles that it speaks of."""


@dataclass(frozen=True, slots=True)
class _Act:
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

    async def decide(
        self,
        verdict: Verdict,
        left: Sequence[ProfileId],
        right: Sequence[ProfileId],
        action: str,
        *,
        undoes_event_id: int | None = None,
    ) -> _Done:
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

    async def part(self, event: RowMapping) -> _Done:
        """Decide that the two sides of an automatic merge are not the same.

        Raises AlreadyUndone where that moves nobody: a decision without an entry in the ledger
        could be made again and again, and taken back by nothing.
        """
        done = await self.decide(
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

    async def retract(self, event: RowMapping) -> _Done:
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
    ) -> _Done:
        rules = await read_rules(self.driver)
        cause = Cause(self.author.actor, self.author.reason, decision_id, undoes_event_id)
        remap = await write_map(self.connection, profile_ids, rules, cause, self.at)
        return remap, decision_id, profile_ids

    async def run(self, act: Callable[[], Any], *, dry_run: bool) -> Effect:
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
