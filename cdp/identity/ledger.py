"""The ledger: writes what changed in the map from source profile to customer, and why."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
import msgspec
from sqlalchemy import ColumnElement, FromClause, and_, exists, or_, select

from cdp.identity.component import HOLDERS, PERSONS
from cdp.identity.evidence import DECISION, SIMILARITY, Decision, Identifier, Verdict
from cdp.identity.outcome import BOUND_PRIORITY, Review
from cdp.identity.resolve import Move, Resolution
from cdp.identity.rules import Rules
from cdp.tables import identity_decision, merge_event
from cdp.values import CustomerId, ProfileId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_ReviewRow: TypeAlias = tuple[object, ...]
"""A review as it is stored; its first four values tell it from others."""

_SHARERS: Final = {HOLDERS: "source profiles", PERSONS: "persons"}


@dataclass(frozen=True, slots=True)
class Cause:
    """Who changed the map, and why; `reason` is None where the evidence is the reason.

    `decision_id` is the decision that was made or taken back, `undoes_event_id` the event that is
    undone by it.
    """

    actor: str
    reason: str | None = None
    decision_id: int | None = None
    undoes_event_id: int | None = None


BY_THE_RULES: Final = Cause("system")


async def record(
    driver: Driver,
    resolution: Resolution,
    rules: Rules,
    at: datetime,
    written: Collection[ProfileId] = (),
    cause: Cause = BY_THE_RULES,
) -> list[int]:
    """Write moves, reviews and blocked values of one resolution; the map itself included.

    `written`: source profiles that the caller has just stored with their customer. Returns the
    number of each move's event.
    """
    await _move(driver, resolution.moves, written)
    event_ids = await _write_events(driver, resolution.moves, rules, at, cause)
    await _write_blocked(driver, resolution, at)
    await _write_reviews(driver, resolution, rules, at)
    return event_ids


def is_undone(event: FromClause) -> ColumnElement[bool]:
    """Whether an entry of the ledger was taken back: by itself, or with the decision that made it.

    What came of taking a decision back undoes another entry, and is not undone with it.
    """
    later, decision = merge_event.alias(), identity_decision.alias()
    by_itself = select(1).where(later.c.undoes_event_id == event.c.id).correlate_except(later)
    retracted = (
        select(1)
        .where(decision.c.id == event.c.decision_id, decision.c.retracted_at.is_not(None))
        .correlate_except(decision)
    )
    return or_(exists(by_itself), and_(event.c.undoes_event_id.is_(None), exists(retracted)))


async def _write_events(
    driver: Driver, moves: Sequence[Move], rules: Rules, at: datetime, cause: Cause
) -> list[int]:
    if not moves:
        return []
    event_ids = await _reserve(driver, "merge_event", len(moves))
    events = zip(event_ids, moves, strict=True)
    await driver.copy_records_to_table(
        "merge_event",
        columns=[
            "id", "at", "kind", "customer_id", "from_customer_id", "profile_ids", "other_ids",
            "evidence", "rule_version", "actor", "reason", "decision_id", "undoes_event_id",
        ],
        records=[(event_id, at, *_event(move, rules, cause)) for event_id, move in events],
    )  # fmt: skip
    return event_ids


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


def _event(move: Move, rules: Rules, cause: Cause) -> tuple[object, ...]:
    evidence = [
        {
            "kind": join.identifier.kind,
            "value": join.identifier.value,
            "profileIds": [str(profile_id) for profile_id in join.profile_ids],
            **({} if join.weight is None else {"weight": round(join.weight, 3)}),
        }
        for join in move.joins
    ]
    return (
        move.kind, move.customer_id, move.from_customer_id, list(move.profile_ids),
        list(move.other_ids), msgspec.json.encode(evidence).decode(), rules.version, cause.actor,
        cause.reason or _reason(move), cause.decision_id, cause.undoes_event_id,
    )  # fmt: skip


def _reason(move: Move) -> str:
    if move.kind == "split":
        return "Nothing that ties them is left."
    kinds = {join.identifier.kind for join in move.joins}
    shared = sorted(kinds - {DECISION, SIMILARITY})
    said = [
        *(["A person decided so"] if DECISION in kinds else []),
        *([f"they share identifiers: {', '.join(shared)}"] if shared else []),
        *(["they are alike"] if SIMILARITY in kinds else []),
    ]
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


async def _write_reviews(
    driver: Driver, resolution: Resolution, rules: Rules, at: datetime
) -> None:
    """The open reviews of what was weighed are those of the new partition, no more, no less.

    Those that stand are left alone: a large component has thousands, and is weighed often.
    """
    reviews = [*resolution.reviews, *_of_blocked(resolution, rules)]
    weighed = {*resolution.values, *(one.identifier for one in reviews)}
    wanted = {row[:4]: row for row in map(_review_row, reviews)}
    rows = await _open_of(driver, weighed)
    if resolution.unfollowed:
        standing = await _open_of(driver, resolution.unfollowed, resolution.customer_of)
        rows += standing
        wanted |= {row[:4]: row for row in _followed(standing, resolution)}
    if not (rows or wanted):
        return
    known = {tuple(row[:4]): row for row in rows}
    gone = [row["id"] for key, row in known.items() if wanted.get(key) != tuple(row[:10])]
    if gone:
        await driver.execute("DELETE FROM match_review WHERE id = ANY($1::bigint[])", gone)
    stays = {key for key, row in known.items() if wanted.get(key) == tuple(row[:10])}
    await _open(driver, [row for key, row in wanted.items() if key not in stays], known, at)


async def _open_of(
    driver: Driver, values: Collection[Identifier], among: Collection[ProfileId] | None = None
) -> list[asyncpg.Record]:
    """The open reviews of some values; with `among` those that ask about any of these people."""
    if not values:
        return []
    query = (
        "SELECT r.kind, r.value, r.left_id, r.right_id, r.left_ids, r.right_ids, r.pair_left_id,"
        " r.pair_right_id, r.reason, r.priority, r.id, r.opened_at"
        " FROM unnest($1::text[], $2::text[]) AS k(kind, value) JOIN match_review r"
        " ON r.kind = k.kind AND r.value = k.value"
    )
    asked = [value.kind for value in values], [value.value for value in values]
    if among is None:
        return list(await driver.fetch(query, *asked))
    about = " WHERE r.right_id <> 0 AND (r.left_ids && $3::bigint[] OR r.right_ids && $3::bigint[])"
    return list(await driver.fetch(query + about, *asked, list(among)))


def _followed(rows: Iterable[asyncpg.Record], resolution: Resolution) -> Iterator[_ReviewRow]:
    """Reviews as they stand now: a side is the customer of its first; none of who is one or parted.

    Of a side that was not read nobody has changed the customer.
    """
    members: dict[CustomerId, list[ProfileId]] = defaultdict(list)
    for one in sorted(resolution.customer_of):
        members[resolution.customer_of[one]].append(one)
    for row in rows:
        left, right = (
            members[resolution.customer_of[ids[0]]] if ids[0] in resolution.customer_of else ids
            for ids in (row["left_ids"], row["right_ids"])
        )
        if left != right and not _are_parted({*left}, {*right}, resolution.decisions):
            yield (row["kind"], row["value"], left[0], right[0], left, right, *row[6:10])


def _are_parted(
    left: AbstractSet[ProfileId], right: AbstractSet[ProfileId], decisions: Iterable[Decision]
) -> bool:
    return any(
        decision.verdict is not Verdict.SAME
        and (
            (decision.left & left and decision.right & right)
            or (decision.left & right and decision.right & left)
        )
        for decision in decisions
    )


async def questions_otherwise(driver: Driver, reviews: Iterable[Review]) -> set[ProfileId]:
    """Of whom other questions are open than these: one source profile of each side.

    Of what too many share nothing is asked: what is told of it has one side alone.
    """
    rows = await driver.fetch(
        "SELECT kind, value, left_id, right_id, left_ids, right_ids, pair_left_id, pair_right_id,"
        " reason, priority FROM match_review WHERE right_id <> 0"
    )
    known = {tuple(row[:4]): tuple(row) for row in rows}
    wanted = {row[:4]: row for row in map(_review_row, reviews) if row[3]}
    keys = [key for key in known.keys() | wanted.keys() if known.get(key) != wanted.get(key)]
    return {ProfileId(int(str(side))) for _, _, *sides in keys for side in sides}


async def withdraw_pairs(driver: Driver) -> None:
    """Withdraw the questions of scored pairs that there are not any more."""
    await driver.execute(
        "DELETE FROM match_review r WHERE kind = $1 AND NOT EXISTS (SELECT FROM match_pair p"
        " WHERE p.left_id = split_part(r.value, ':', 1)::bigint"
        " AND p.right_id = split_part(r.value, ':', 2)::bigint)",
        SIMILARITY,
    )


async def _open(
    driver: Driver,
    rows: Sequence[_ReviewRow],
    known: Mapping[_ReviewRow, asyncpg.Record],
    at: datetime,
) -> None:
    """Store reviews; a question that was asked before, of other sides, keeps its number."""
    if not rows:
        return
    fresh = [row[:4] for row in rows if row[:4] not in known]
    ids = await _reserve(driver, "match_review", len(fresh))
    opened = {key: (review_id, at) for key, review_id in zip(fresh, ids, strict=True)}
    opened |= {key: (row["id"], row["opened_at"]) for key, row in known.items()}
    await driver.copy_records_to_table(
        "match_review",
        columns=[
            "kind", "value", "left_id", "right_id", "left_ids", "right_ids", "pair_left_id",
            "pair_right_id", "reason", "priority", "id", "opened_at",
        ],
        records=[(*row, *opened[row[:4]]) for row in rows],
    )  # fmt: skip


async def _reserve(driver: Driver, table: str, count: int) -> list[int]:
    """Numbers for as many rows."""
    # The sequence is looked up once, and not for each number (OFFSET 0).
    rows = await driver.fetch(
        "SELECT nextval(s.name) FROM (SELECT pg_get_serial_sequence($1, 'id')::regclass AS name"
        " OFFSET 0) s CROSS JOIN generate_series(1, $2)",
        table,
        count,
    )
    return [row[0] for row in rows]


def _review_row(review: Review) -> _ReviewRow:
    pair = review.pair
    return (
        *review.identifier, min(review.left), min(review.right, default=0), list(review.left),
        list(review.right), pair and pair.left, pair and pair.right, review.reason,
        review.priority,
    )  # fmt: skip


def _of_blocked(resolution: Resolution, rules: Rules) -> Iterable[Review]:
    """What too many share is not silently left out: some of them are told, and nothing is asked."""
    for value, block in resolution.blocked.items():
        most = rules.most_holders if block.reason == HOLDERS else rules.of(value.kind).most_persons
        reason = f"More than {most} {_SHARERS[block.reason]} share it: it joins nobody."
        yield Review(value, tuple(sorted(block.profile_ids)), (), reason, BOUND_PRIORITY)


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
        records=[(*value, block.reason, at) for value, block in resolution.blocked.items()],
    )
