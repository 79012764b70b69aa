"""Several segments brought up to date for a few customers, in a statement compiled once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import asyncpg
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Insert,
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

from cdp.query import AS_OF
from cdp.segments.membership import ENTERED, EXITED
from cdp.statements import Statement, compiled, given
from cdp.tables import scored_customer, segment_change, segment_membership, source_profile
from cdp.values import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Told: TypeAlias = tuple[CustomerId, str, CustomerId | None]
"""Who is to be looked at, why, in words, and whom that speaks of."""

MOST_TOGETHER: Final = 50  # segments in one statement: bounds its text and the time to plan it

_MEMBER: Final = segment_membership


def followers(conditions: Mapping[int, ColumnElement[bool]]) -> Sequence[Statement]:
    """The statements that bring the segments of these numbers up to date, in the order given.

    None of the conditions asks who is in another one of them.
    """
    numbers = list(conditions)
    return [
        compiled(_statement({one: conditions[one] for one in numbers[at : at + MOST_TOGETHER]}))
        for at in range(0, len(numbers), MOST_TOGETHER)
    ]


async def follow(
    driver: Driver, statement: Statement, told: Sequence[Told], as_of: datetime, at: datetime
) -> None:
    """Evaluate the segments of a statement for those told, and tell the feed of the difference.

    They are looked at as of `as_of`; who enters or leaves does so `at`.
    """
    ids, causes, others = (list(each) for each in zip(*told, strict=True))
    values = {"ids": ids, "causes": causes, "others": others, AS_OF: as_of, "at": at}
    await statement.fetch(driver, values)


def _statement(conditions: Mapping[int, ColumnElement[bool]]) -> Insert:
    """As `membership.evaluate` of each for whom it is told of, but for all at once."""
    numbers = literal(list(conditions), ARRAY(Integer))
    at = given("at", DateTime(timezone=True))
    told = _told()
    whom = select(told.c.id)
    holding = union_all(
        *(
            select(literal(number, Integer).label("segment_id"), scored_customer.c.id).where(
                condition, scored_customer.c.id.in_(whom)
            )
            for number, condition in conditions.items()
        )
    ).cte("holding")
    held = (
        select(_MEMBER.c.segment_id, _MEMBER.c.customer_id.label("id"))
        .where(
            _MEMBER.c.segment_id == any_(numbers),
            _MEMBER.c.exited_at.is_(None),
            _MEMBER.c.customer_id.in_(whom),
        )
        .cte("held")
    )
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
    return insert(segment_change).from_select([each.name for each in changes.c], rows)


def _told() -> CTE:
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


def _entries(entered: CTE, told: CTE, at: ColumnElement[Any]) -> Select[Any]:
    return select(
        entered.c.segment_id,
        entered.c.id.label("customer_id"),
        literal(ENTERED, Text).label("kind"),
        at.label("at"),
        told.c.cause,
        told.c.other_id,
    ).join(told, told.c.id == entered.c.id)


def _exits(left: CTE, told: CTE, at: ColumnElement[Any]) -> Select[Any]:
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
