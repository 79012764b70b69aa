"""All segments brought up to date for whoever was touched, in a statement compiled once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    Text,
    any_,
    case,
    column,
    func,
    insert,
    literal,
    literal_column,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import array

from cdp.query import AS_OF, whenever
from cdp.segments.membership import ENTERED, EXITED, Moves, touched_now
from cdp.segments.segment import Segment, define
from cdp.statements import Statement, compiled, given
from cdp.tables import scored_customer, segment_change, segment_membership, source_profile
from cdp.workspace import Workspace

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MOST_TOGETHER: Final = 50  # segments in one statement: bounds its text and the time to plan it

TOLD: Final = ("ids", "causes", "others")
"""What is given of whom: three lists, of customers, of why, in words, of whom that speaks of."""

_MEMBER: Final = segment_membership

_Written: TypeAlias = tuple[int, str, bytes]
"""What of a segment says whom it holds for: number, slug, filter as JSON."""


@dataclass(frozen=True, slots=True)
class Known:
    """All segments there are; those are the same that are written alike."""

    written: tuple[_Written, ...]
    segments: Sequence[Segment] = field(compare=False)


def known(segments: Sequence[Segment]) -> Known:
    """As they were read."""
    written = ((one.id, one.slug, msgspec.json.encode(one.filter)) for one in segments)
    return Known(tuple(written), segments)


@dataclass(frozen=True, slots=True)
class Steps:
    """What brings all segments up to date for some customers, statement after statement."""

    statements: Sequence[Statement]
    asks_consent: bool

    async def follow(self, driver: Driver, as_of: datetime, at: datetime, **told: object) -> Moves:
        """Evaluate all segments for those told, and tell the feed of the difference.

        They are looked at as of `as_of`; who enters or leaves does so `at`. `told` has the
        lists of TOLD, where the steps are not of `touched_now`.
        """
        values = {**told, AS_OF: as_of, "at": at}
        entered = exited = 0
        for statement in self.statements:
            ((came, went),) = await statement.fetch(driver, values)
            entered, exited = entered + came, exited + went
        return Moves(entered, exited)


@lru_cache(maxsize=8)  # the segments there are, and those before them
def steps_of(there: Known, workspace: Workspace, *, of_touched_now: bool) -> Steps:
    """Those that name others come in a statement after these: it reads what these have stored.

    For whom `touched_now` holds, or for those who are given.
    """
    levels: dict[str, int] = {}
    conditions: dict[int, dict[int, ColumnElement[bool]]] = {}
    asks_consent = False
    for one in define(there.segments, whenever(workspace), workspace):
        if one.filter is None:
            continue
        level = max((levels[name] + 1 for name in one.filter.segments if name in levels), default=0)
        levels[one.segment.slug] = level
        conditions.setdefault(level, {})[one.segment.id] = one.filter.condition
        asks_consent |= one.filter.asks_consent
    statements = []
    for _, together in sorted(conditions.items()):
        numbers = list(together)
        for start in range(0, len(numbers), MOST_TOGETHER):
            some = {one: together[one] for one in numbers[start : start + MOST_TOGETHER]}
            told = touched_now if of_touched_now else _given()
            statements.append(compiled(_statement(some, told)))
    return Steps(statements, asks_consent)


def _statement(conditions: Mapping[int, ColumnElement[bool]], told: FromClause) -> Select[Any]:
    """As `membership.evaluate` of each for whom it is told of, but for all at once.

    Each customer's row is read once, whatever the number of segments. None of the conditions asks
    who is in another one of them.
    """
    numbers = literal(list(conditions), ARRAY(Integer))
    at = given("at", DateTime(timezone=True))
    whom = select(told.c.id)
    answers = [case((holds, literal(one, Integer))) for one, holds in conditions.items()]
    # Fenced off: were it one with the rows that are made of it, the planner would expect to look
    # for records once for each answer, and rather gather everybody's first.
    looked_at = (
        select(array(answers).label("answers"), scored_customer.c.id)
        .where(scored_customer.c.id.in_(whom))
        .offset(literal_column("0"))
        .subquery("looked_at")
    )
    answered = select(
        func.unnest(looked_at.c.answers).label("segment_id"), looked_at.c.id
    ).subquery("answered")
    holding = select(answered).where(answered.c.segment_id.is_not(None)).cte("holding")
    member = _MEMBER.alias("member")
    theirs = (
        select(member.c.segment_id)
        .where(
            member.c.customer_id == told.c.id,
            member.c.segment_id == any_(numbers),
            member.c.exited_at.is_(None),
        )
        .correlate(told)
        .offset(literal_column("0"))  # looked up customer by customer, not among all members
        .lateral("theirs")
    )
    held = select(theirs.c.segment_id, told.c.id).select_from(told.join(theirs, true())).cte("held")
    left = (
        update(_MEMBER)
        .where(_place("segment_membership") == any_(_open_of(held, holding)))
        .values(exited_at=at)
        .returning(_MEMBER.c.segment_id, _MEMBER.c.customer_id.label("id"))
        .cte("left_now")
    )
    entries = select(holding).except_(select(held)).subquery("entries")
    entered = (
        insert(_MEMBER)
        .from_select(
            ["segment_id", "customer_id", "entered_at"],
            select(entries.c.segment_id, entries.c.id, at),
        )
        .returning(_MEMBER.c.segment_id, _MEMBER.c.customer_id.label("id"))
        .cte("entered_now")
    )
    changes = union_all(_entries(entered, told, at), _exits(left, told, at)).subquery("changes")
    # Segment by segment, as if they had been looked at one after another.
    position = func.array_position(numbers, changes.c.segment_id)
    rows = select(changes).order_by(position, changes.c.kind, changes.c.customer_id)
    told_of = (
        insert(segment_change)
        .from_select([each.name for each in changes.c], rows)
        .returning(segment_change.c.kind)
        .cte("told_of")
    )
    counts: list[ColumnElement[Any]] = [
        func.count().filter(told_of.c.kind == kind) for kind in (ENTERED, EXITED)
    ]
    return select(*counts)


def _given() -> CTE:
    rows = func.unnest(
        given("ids", ARRAY(BigInteger)),
        given("causes", ARRAY(Text)),
        given("others", ARRAY(BigInteger)),
    ).table_valued(column("id", BigInteger), column("cause", Text), column("other_id", BigInteger))
    return select(rows.render_derived("row")).cte("told")


def _open_of(held: CTE, holding: CTE) -> ColumnElement[Any]:
    """Where the open memberships lie that end: each looked up by index."""
    leaving = select(held).except_(select(holding)).subquery("leaving")
    member = segment_membership.alias("open_member")
    theirs = (
        select(_place("open_member").label("place"))
        .select_from(member)
        .where(
            member.c.customer_id == leaving.c.id,
            member.c.segment_id == leaving.c.segment_id,
            member.c.exited_at.is_(None),
        )
        .correlate(leaving)
        .offset(literal_column("0"))
        .lateral("theirs")
    )
    places = select(theirs.c.place).select_from(leaving.join(theirs, true()))
    return func.array(places.scalar_subquery())


def _place(name: str) -> ColumnElement[Any]:
    return literal_column(f"{name}.ctid")


def _entries(entered: CTE, told: FromClause, at: ColumnElement[Any]) -> Select[Any]:
    return select(
        entered.c.segment_id,
        entered.c.id.label("customer_id"),
        literal(ENTERED, Text).label("kind"),
        at.label("at"),
        told.c.cause,
        told.c.other_id,
    ).join(told, told.c.id == entered.c.id)


def _exits(left: CTE, told: FromClause, at: ColumnElement[Any]) -> Select[Any]:
    """Those who left; whoever is nobody any more left by being merged."""
    bearer = source_profile.alias("bearer")
    is_merged = bearer.c.customer_id != left.c.id
    return (
        select(
            left.c.segment_id,
            left.c.id,
            literal(EXITED, Text),
            at,
            case((bearer.c.id.is_(None), "erased"), (is_merged, "merged into"), else_=told.c.cause),
            case((is_merged, bearer.c.customer_id), else_=told.c.other_id),
        )
        .select_from(left)
        .join(told, told.c.id == left.c.id)
        .outerjoin(bearer, bearer.c.id == left.c.id)
    )
