"""Scores and segments brought up to date: what is due as a whole, the rest for who was touched."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable, DropTable

from cdp import tables
from cdp.database import Database, as_a_whole, from_memory
from cdp.database import driver as driver_of
from cdp.scoring.rescore import rescore
from cdp.segments.attempt import Found
from cdp.segments.difference import Moves
from cdp.segments.evaluation import (
    MOST_TOGETHER,
    empty,
    evaluate,
    known,
    levels_of,
    sound,
    steps_of,
    touched_now,
)
from cdp.segments.segment import Defined, Segment, list_segments
from cdp.segments.told import TAKE, TAKE_WHO_SHARES
from cdp.workspace import Workspace, is_in_force

REFRESH_LOCK: Final = 7_365_004  # any number, the same for all who refresh
TAKEN_ROWS: Final = 200  # of the outbox in one transaction; each has at most thousands of ids
WHOLE_FROM: Final = 100_000  # ids waiting: looking at everybody once is cheaper than one by one
MANY_FROM: Final = 10_000  # ids waiting: below, nobody counts whether they are most customers
MOST: Final = 2  # one in so many: everybody's rows in their order cost what theirs by key do
MAX_STEPS: Final = 100_000  # transactions of one refresh; writers may be adding all the while

CLOCK: Final = "clock"
"""Why a segment is due where nothing but time has passed."""

_TABLE: Final = tables.segment
_OUTBOX: Final = tables.touched_customer
_CREATE: Final = str(CreateTable(touched_now))
_DROP: Final = str(DropTable(touched_now))


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did: segments looked at as a whole, customers touched, and the difference."""

    whole: int = 0
    touched: int = 0
    entered: int = 0
    exited: int = 0

    def __add__(self, other: "Refreshed") -> "Refreshed":
        """Of two steps together."""
        return Refreshed(
            self.whole + other.whole,
            self.touched + other.touched,
            self.entered + other.entered,
            self.exited + other.exited,
        )


async def refresh_segments(database: Database, workspace: Workspace) -> Refreshed:
    """Bring every segment up to date with all that is committed, in transactions of bounded size.

    Several at once take turns. Killed at any moment, nothing is lost or told twice: what a
    transaction took from the outbox is back until it commits.
    """
    total = Refreshed()
    for _ in range(MAX_STEPS):
        async with database.transaction() as connection:
            if not await _is_due(connection) or not await is_in_force(connection, workspace):
                break
            step = await refresh_step(connection, workspace, await take_turn(connection))
        if step is None:
            break
        total += step
    return total


async def _is_due(connection: AsyncConnection) -> bool:
    """Whether there is anything to do: one look, for which nobody waits."""
    now = func.clock_timestamp()
    waits = or_(exists().where(_OUTBOX.c.due_at <= now), exists().where(_TABLE.c.due_at <= now))
    return bool(await connection.scalar(select(waits)))


async def take_turn(connection: AsyncConnection) -> datetime:
    """Wait for other refreshes; returns the moment, after theirs. Held until the transaction ends.

    One at a time: two who look at the same customer would not see each other's members, and the
    feed's numbers would not be committed in their order.
    """
    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({REFRESH_LOCK})")
    moment = await connection.scalar(select(func.clock_timestamp()))
    assert isinstance(moment, datetime)
    return moment


async def refresh_step(
    connection: AsyncConnection, workspace: Workspace, as_of: datetime
) -> Refreshed | None:
    """One step, for the caller who has the turn; None where everything is up to date.

    Segments that are due come first, those together that name none of each other, each after those
    that it names; then whom the outbox tells, for all segments together.
    """
    gone = [
        one
        for one in await list_segments(connection, is_archived_too=True)
        if one.archived_at is not None
    ]
    if gone:
        return await _empty(connection, gone[:MOST_TOGETHER], as_of)
    await _give_up_on_backlog(connection, workspace, as_of)
    segments = await list_segments(connection)
    if any(_is_due_by(as_of, one) for one in segments):
        return await _evaluate_due(connection, segments, workspace, as_of)
    return await _follow(connection, segments, workspace, as_of)


def _is_due_by(as_of: datetime, segment: Segment) -> bool:
    return segment.due_at is not None and segment.due_at <= as_of


async def mark_due(connection: AsyncConnection, cause: str) -> None:
    """Have every segment evaluated as a whole by the next refresh."""
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.archived_at.is_(None))
        .values(due_at=func.clock_timestamp(), due_cause=cause)
    )


async def forget_backlog(connection: AsyncConnection, as_of: datetime) -> bool:
    """Empty the outbox where it tells of too many, as after an import; whether it did.

    For a caller who has the turn, and scores and evaluates everybody instead: only after this, so
    that whoever is told of meanwhile stays in it.
    """
    is_waiting = _OUTBOX.c.due_at <= as_of
    waiting = await connection.scalar(
        select(func.sum(func.cardinality(_OUTBOX.c.ids))).where(is_waiting)
    )
    many = waiting or 0
    if many <= WHOLE_FROM and not (many > MANY_FROM and await _are_most(connection, as_of)):
        return False
    await connection.execute(_OUTBOX.delete().where(is_waiting))
    return True


async def _give_up_on_backlog(
    connection: AsyncConnection, workspace: Workspace, as_of: datetime
) -> None:
    """Look at everybody where the outbox tells of too many."""
    if await forget_backlog(connection, as_of):
        await rescore(connection, workspace, as_of, None)
        await connection.execute(
            update(_TABLE)
            .where(
                _TABLE.c.archived_at.is_(None),
                _TABLE.c.due_at.is_(None) | (_TABLE.c.due_at > as_of),
            )
            .values(due_at=as_of, due_cause="ingest")
        )


async def _are_most(connection: AsyncConnection, as_of: datetime) -> bool:
    """Whether the outbox tells of half of all customers, or more."""
    told = select(func.unnest(_OUTBOX.c.ids).label("id")).where(_OUTBOX.c.due_at <= as_of)
    told_count = select(func.count(told.subquery().c.id.distinct())).scalar_subquery()
    # No more are counted than could matter: a million rows are not read to learn that it is not so.
    some = select(tables.customer.c.id).limit(MOST * WHOLE_FROM).subquery()
    count = select(func.count()).select_from(some).scalar_subquery()
    return bool(await connection.scalar(select(count <= MOST * told_count)))


async def _empty(
    connection: AsyncConnection, gone: Sequence[Segment], as_of: datetime
) -> Refreshed:
    driver = await driver_of(connection)
    async with as_a_whole(driver):
        moves = await empty(driver, _causes(gone), as_of)
    await _settle(connection, [_Settled(one) for one in gone], as_of)
    return Refreshed(len(gone), 0, moves.entered, moves.exited)


def _causes(segments: Iterable[Segment]) -> Mapping[int, str]:
    return {one.id: one.due_cause or CLOCK for one in segments}


async def _evaluate_due(
    connection: AsyncConnection,
    segments: Sequence[Segment],
    workspace: Workspace,
    as_of: datetime,
) -> Refreshed:
    """The first of those that are due, of one level, with everybody's row read once for all."""
    there, now = known(segments), {one.slug: one for one in segments}
    levels = (
        [one for one in level if _is_due_by(as_of, now[one.segment.slug])]
        for level in levels_of(there, workspace)
    )
    due = next(level for level in levels if level)[:MOST_TOGETHER]
    readable = [now[one.segment.slug] for one in due if one.filter is not None]
    found = Found(Moves(0, 0))
    if readable:
        driver = await driver_of(connection)
        async with as_a_whole(driver):
            found = await evaluate(driver, there, workspace, _causes(readable), as_of)
    settled = []
    for one in due:
        error = one.error or found.errors.get(one.segment.id)
        next_due = None if error else _next_due(one, now, workspace, as_of)
        settled.append(_Settled(now[one.segment.slug], next_due, error))
    await _settle(connection, settled, as_of)
    return Refreshed(len(due), 0, found.moves.entered, found.moves.exited)


def _next_due(
    defined: Defined, now: Mapping[str, Segment], workspace: Workspace, as_of: datetime
) -> datetime | None:
    """When time changes it again, or one of those that it names; None for never."""
    if defined.filter is None:
        return None
    due = [defined.filter.clock.next_after(as_of, workspace.timezone)]
    due += [now[slug].due_at for slug in defined.filter.segments if slug in now]
    return min((one for one in due if one), default=None)


@dataclass(frozen=True, slots=True)
class _Settled:
    """A segment as it was read before it was evaluated, when it is due next, and what is wrong."""

    segment: Segment
    due_at: datetime | None = None
    error: str | None = None


async def _settle(connection: AsyncConnection, found: Sequence[_Settled], as_of: datetime) -> None:
    """Note the evaluation; whoever has changed the definition meanwhile has made it due again."""
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.id == bindparam("number"), _TABLE.c.due_at == bindparam("was_due_at"))
        .values(
            evaluated_at=as_of,
            due_at=bindparam("next_due_at"),
            due_cause=CLOCK,
            error=bindparam("wrong"),
        ),
        [
            {
                "number": one.segment.id,
                "was_due_at": one.segment.due_at,
                "next_due_at": one.due_at,
                "wrong": one.error,
            }
            for one in found
        ],
    )


async def _follow(
    connection: AsyncConnection,
    segments: Sequence[Segment],
    workspace: Workspace,
    as_of: datetime,
) -> Refreshed | None:
    """Score the next customers that the outbox tells of, then evaluate all segments for them.

    None for nobody.
    """
    # As text: SQLAlchemy would take it for a change of the schema, and forget what every connection
    # of the process has prepared.
    await connection.exec_driver_sql(_CREATE)
    told = await connection.exec_driver_sql(TAKE, (as_of, TAKEN_ROWS))
    moves = Moves(0, 0)
    if told.rowcount:
        moves = await _settle_touched(connection, segments, workspace, as_of)
    await connection.exec_driver_sql(_DROP)
    return Refreshed(0, told.rowcount, moves.entered, moves.exited) if told.rowcount else None


async def _settle_touched(
    connection: AsyncConnection,
    segments: Sequence[Segment],
    workspace: Workspace,
    as_of: datetime,
) -> Moves:
    """Score whom `touched_now` holds anew, then evaluate every segment for them."""
    steps = steps_of(known(sound(segments)), workspace, of_touched_now=True)
    if steps.asks_consent:
        await connection.exec_driver_sql(TAKE_WHO_SHARES)
    await connection.exec_driver_sql("ANALYZE touched_now")
    await rescore(connection, workspace, as_of, select(touched_now.c.id))
    driver = await driver_of(connection)
    async with from_memory(driver):
        found = await steps.follow(driver, as_of, as_of)
    await note_errors(connection, found.errors)
    return found.moves


async def note_errors(connection: AsyncConnection, errors: Mapping[int, str]) -> None:
    """Say of segments, by number, why they cannot be evaluated: until they are due as a whole."""
    for number, error in errors.items():
        await connection.execute(update(_TABLE).where(_TABLE.c.id == number).values(error=error))
