"""One segment brought up to date in one statement: who enters, who leaves, and the feed of both."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    CompoundSelect,
    DateTime,
    MetaData,
    Select,
    Table,
    Text,
    any_,
    case,
    cast,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.tables import scored_customer, segment_change, segment_membership, source_profile

ENTERED: Final = "ENTERED"
EXITED: Final = "EXITED"

touched_now = Table(
    "touched_now",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("cause", Text, nullable=False),
    Column("other_id", BigInteger),
    prefixes=["TEMPORARY"],
)
"""While they are followed: whom the outbox told, and why, in words."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How many customers entered a segment and how many left it."""

    entered: int
    exited: int


async def evaluate(
    connection: AsyncConnection,
    segment_id: int,
    condition: ColumnElement[bool],
    as_of: datetime,
    cause: str,
) -> Moves:
    """Make the members those of all customers for whom `condition` holds; tell the feed why."""
    row = (await connection.execute(_statement(segment_id, condition, as_of, cause))).one()
    return Moves(row.entered, row.exited)


def _statement(
    segment_id: int, condition: ColumnElement[bool], as_of: datetime, cause: str
) -> Select[Any]:
    member, at = segment_membership, literal(as_of, DateTime(timezone=True))
    is_open = (member.c.segment_id == segment_id) & member.c.exited_at.is_(None)
    held = select(member.c.customer_id.label("id")).where(is_open).cte("held")
    holding = select(scored_customer.c.id).where(condition).cte("holding")
    left = (
        update(member)
        .where(_place("segment_membership") == any_(_open_of(_missing(held, holding), segment_id)))
        .values(exited_at=at)
        .returning(member.c.customer_id.label("id"))
        .cte("left_now")
    )
    entries = _missing(holding, held).subquery()
    entered = (
        insert(member)
        .from_select(
            ["segment_id", "customer_id", "entered_at"],
            select(literal(segment_id), entries.c.id, at),
        )
        .returning(member.c.customer_id.label("id"))
        .cte("entered_now")
    )
    changes = (
        insert(segment_change)
        .from_select(
            ["segment_id", "customer_id", "kind", "at", "cause", "other_id"],
            union_all(
                _entries(entered, segment_id, at, cause), _exits(left, segment_id, at, cause)
            ),
        )
        .returning(segment_change.c.kind)
        .cte("changes")
    )
    counts: list[ColumnElement[Any]] = [
        func.count().filter(changes.c.kind == kind).label(kind.lower())
        for kind in (ENTERED, EXITED)
    ]
    return select(*counts)


def _missing(these: CTE, those: CTE) -> CompoundSelect[Any]:
    """By EXCEPT, which is hashed or sorted whatever the planner expects.

    Before the first ANALYZE it expects nobody, and of NOT EXISTS makes everybody times everybody.
    """
    return select(these.c.id).except_(select(those.c.id))


def _open_of(ids: CompoundSelect[Any], segment_id: int) -> ColumnElement[Any]:
    """Where the open memberships of these customers lie: each looked up once, by index.

    Whatever the planner expects, it cannot compare every member with everybody who leaves.
    """
    leaving, member = ids.subquery("leaving"), segment_membership.alias("open_member")
    theirs = (
        select(_place("open_member").label("place"))
        .select_from(member)
        .where(
            member.c.customer_id == leaving.c.id,
            member.c.segment_id == segment_id,
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


def _entries(entered: CTE, segment_id: int, at: ColumnElement[Any], cause: str) -> Select[Any]:
    return select(
        literal(segment_id),
        entered.c.id,
        literal(ENTERED, Text),
        at,
        literal(cause, Text),
        cast(null(), BigInteger),
    )


def _exits(left: CTE, segment_id: int, at: ColumnElement[Any], cause: str) -> Select[Any]:
    """Those who left; whoever is nobody any more left by being merged, whatever else happened."""
    bearer = source_profile.alias("bearer")
    is_merged = bearer.c.customer_id != left.c.id
    return (
        select(
            literal(segment_id),
            left.c.id,
            literal(EXITED, Text),
            at,
            case(
                (bearer.c.id.is_(None), "erased"),
                (is_merged, "merged into"),
                else_=literal(cause, Text),
            ),
            case((is_merged, bearer.c.customer_id)),
        )
        .select_from(left)
        .outerjoin(bearer, bearer.c.id == left.c.id)
    )
