"""Who of an audience is held out: assigned once, at random, and kept through runs and merges.

Whoever is assigned for the first time is held out where a hash of the audience's slug and the
customer's id lies below the percentage: without any state two runs agree. The first assignment is
stored and holds for ever after, on the source profile that bore the customer's id then: of those
who were merged since, the earliest of their assignments holds; a part that was split off and has
none is assigned anew. Another percentage moves nobody: it is that of those who are new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    FromClause,
    Insert,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from cdp import tables
from cdp.audiences.people import Aim, people_of
from cdp.tables import audience, audience_member

ASSIGN_LOCK: Final = 7_365_007  # any number, the same for all who assign
HASHED_BYTES: Final = 4  # of SHA-256: percentages as fine as one in four thousand millions

audience_now = Table(
    "audience_now",
    MetaData(),
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("contact_point", Text),
    Column("consented_at", DateTime(timezone=True)),
    Column("reason", Text),
    Column("is_held_out", Boolean),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""While it is exported: the members of the segment, as `people_of` tells them."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of a segment's members.

    `left_out` counts those who are not written to by reason. `held_out_percent`: of whoever is new.
    """

    members: int
    written_to: int
    held_out: int
    held_out_percent: float
    left_out: Mapping[str, int]


async def take_turn(connection: AsyncConnection) -> datetime:
    """Wait for whoever else is drawing; returns the moment, after theirs. Held until the end."""
    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ASSIGN_LOCK})")
    moment = await connection.scalar(select(func.clock_timestamp()))
    assert isinstance(moment, datetime)
    return moment


async def draw(
    connection: AsyncConnection,
    aim: Aim,
    segment_id: int,
    as_of: datetime,
    held_out_percent: float | None,
) -> Drawn:
    """Fill `audience_now`, and assign those who are new. In the caller's transaction.

    The caller has the turn. The percentage is the audience's from then on; None: as it was, at
    first 0.
    """
    audience_id, percent = await _audience(connection, aim, as_of, held_out_percent)
    await connection.execute(CreateTable(audience_now))
    people = people_of(aim, segment_id, as_of)
    names = [column.name for column in people.selected_columns]
    await connection.execute(insert(audience_now).from_select(names, people))
    await connection.exec_driver_sql("ANALYZE audience_now")
    await connection.execute(_assign_new(aim, audience_id, as_of, percent))
    assigned = assignments(audience_id).subquery()
    await connection.execute(
        update(audience_now)
        .where(
            audience_now.c.reason.is_(None), assigned.c.customer_id == audience_now.c.customer_id
        )
        .values(is_held_out=assigned.c.is_held_out)
    )
    return await _counted(connection, percent)


def assignments(audience_id: int | ColumnElement[int]) -> Select[Any]:
    """The assignment that holds of each customer of an audience: customer_id, is_held_out, at."""
    profile, member = tables.source_profile.alias(), audience_member.alias()
    return (
        select(
            profile.c.customer_id,
            member.c.is_held_out,
            member.c.assigned_at,
        )
        .ext(distinct_on(profile.c.customer_id))
        .select_from(member)
        .join(profile, profile.c.id == member.c.source_profile_id)
        .where(member.c.audience_id == audience_id)
        .order_by(profile.c.customer_id, member.c.assigned_at, member.c.source_profile_id)
        .correlate_except(member, profile)
    )


async def _audience(
    connection: AsyncConnection, aim: Aim, as_of: datetime, percent: float | None
) -> tuple[int, float]:
    """The audience's row, made or marked; its number and percentage."""
    row = {"slug": aim.slug, "channel": aim.channel, "purpose": aim.purpose}
    made = upsert(audience).values(
        **row, held_out_percent=percent or 0, created_at=as_of, exported_at=as_of
    )
    changed: dict[str, Any] = {"exported_at": made.excluded.exported_at}
    if percent is not None:
        changed["held_out_percent"] = percent
    stored = await connection.execute(
        made.on_conflict_do_update(index_elements=list(row), set_=changed).returning(
            audience.c.id, audience.c.held_out_percent
        )
    )
    found = stored.one()
    return int(found[0]), float(found[1])


def _assign_new(aim: Aim, audience_id: int, as_of: datetime, percent: float) -> Insert:
    """Assign those who may be written to and have no assignment yet."""
    known = assignments(audience_id).subquery()
    new = (
        select(
            literal(audience_id),
            audience_now.c.customer_id,
            (_share(aim.slug, audience_now) < percent / 100).label("is_held_out"),
            literal(as_of, DateTime(timezone=True)),
        )
        .outerjoin(known, known.c.customer_id == audience_now.c.customer_id)
        .where(audience_now.c.reason.is_(None), known.c.customer_id.is_(None))
    )
    names = ["audience_id", "source_profile_id", "is_held_out", "assigned_at"]
    return insert(audience_member).from_select(names, new)


def _share(slug: str, people: FromClause) -> ColumnElement[Any]:
    """Where a customer falls between 0 and 1: the first bytes of SHA-256 of `slug:id`."""
    text = func.concat(slug, ":", people.c.customer_id, type_=Text)
    digest = func.sha256(func.convert_to(text, "UTF8"))
    value: ColumnElement[Any] = cast(func.get_byte(digest, 0), BigInteger)
    for place in range(1, HASHED_BYTES):
        value = value * 256 + func.get_byte(digest, place)
    return cast(value, Double) / float(256**HASHED_BYTES)


async def _counted(connection: AsyncConnection, percent: float) -> Drawn:
    now = audience_now.c
    rows = await connection.execute(
        select(now.reason, now.is_held_out, func.count()).group_by(now.reason, now.is_held_out)
    )
    left_out, groups = {}, {False: 0, True: 0}
    for reason, is_held_out, count in rows:
        if reason is None:
            groups[is_held_out] += count
        else:
            left_out[reason] = count
    written_to, held_out = groups[False], groups[True]
    return Drawn(
        written_to + held_out + sum(left_out.values()), written_to, held_out, percent, left_out
    )
