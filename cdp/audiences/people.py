"""Who of a segment may be written to on a channel for a purpose, where, and why the others not."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Text,
    case,
    cast,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.consent import Asked, consents, statements
from cdp.contact_points import CHANNEL_KINDS
from cdp.errors import BadInput
from cdp.operands import read_text
from cdp.rows import channel_of, purpose_of

MAX_NAME: Final = 100  # characters of a channel or a purpose


class LeftOut(Enum):
    """Why a member of a segment is not written to."""

    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Aim:
    """What an audience is made of: a segment's slug, a channel and a purpose, in small letters."""

    slug: str
    channel: str
    purpose: str


def read_aim(slug: str, channel: str | None, purpose: str | None) -> Aim:
    """As a person gives it. Raises BadInput where a part is missing."""
    return Aim(
        slug,
        channel_of(_name(channel, "channel", "email")),
        purpose_of(_name(purpose, "purpose", "marketing")),
    )


def _name(given: str | None, what: str, example: str) -> str:
    name = read_text(given or "", what).strip()
    if not name or len(name) > MAX_NAME:
        raise BadInput(
            f"An audience needs a {what}.", todo=f"Give --{what}, such as {example}.", path=what
        )
    return name


async def require_statements(connection: AsyncConnection, aim: Aim) -> None:
    """Raises BadInput where no source has told of any consent to the channel and purpose.

    An audience of it would hold nobody: more likely one of them is misspelt.
    """
    said = tables.consent.c
    rows = await connection.execute(select(said.channel, said.purpose).distinct())
    known = {(row[0], row[1]) for row in rows}
    if (aim.channel, aim.purpose) not in known:
        there_are = ", ".join(f"{channel} for {purpose}" for channel, purpose in sorted(known))
        raise BadInput(
            f"Nobody was ever asked about {aim.channel} for {aim.purpose}.",
            todo=f"Consents are known of: {there_are or 'nothing'}.",
            path="channel",
        )


def people_of(aim: Aim, segment_id: int, as_of: datetime) -> Select[Any]:
    """The members of a segment: one row each, with the contact point or the reason.

    `reason` is null for those who may be written to. `contact_point` is what they consented to be
    written to at, the one that the customer is known by if that is among them; null for a channel
    that reaches people at neither an address nor a number. `consented_at`: when they said so.
    """
    asked = Asked(
        literal(as_of, DateTime(timezone=True)),
        channel=literal(aim.channel, Text),
        purpose=literal(aim.purpose, Text),
    )
    member, customer = tables.segment_membership, tables.customer
    stands = consents(asked).subquery("stands")
    points = _points(asked, CHANNEL_KINDS.get(aim.channel)).subquery("points")
    return (
        select(
            customer.c.id.label("customer_id"),
            points.c.point.label("contact_point"),
            stands.c.at.label("consented_at"),
            _reason(stands, points, aim).label("reason"),
        )
        .select_from(member)
        .join(customer, customer.c.id == member.c.customer_id)
        .outerjoin(stands, stands.c.customer_id == customer.c.id)
        .outerjoin(points, points.c.customer_id == customer.c.id)
        .where(member.c.segment_id == segment_id, member.c.exited_at.is_(None))
    )


def _reason(stands: FromClause, points: FromClause, aim: Aim) -> ColumnElement[str | None]:
    """Silence is no consent; and a grant that names nothing to write to reaches nobody."""
    cases = [
        (stands.c.status.is_(None), LeftOut.SILENT.value),
        (stands.c.status == "denied", LeftOut.DENIED.value),
        (stands.c.status != "granted", LeftOut.WITHDRAWN.value),
    ]
    if aim.channel in CHANNEL_KINDS:
        cases.append((points.c.point.is_(None), LeftOut.UNREACHABLE.value))
    return case(*cases, else_=cast(null(), Text))


def _points(asked: Asked, kind: str | None) -> Select[Any]:
    """Of each customer the contact point to write to: of those granted, the one that is shown.

    Consent is given for an address, not for whichever one is known: another is not written to. Of
    several that are not shown the one granted last.
    """
    said, customer = statements(asked).subquery("said"), tables.customer.alias()
    shown_first = [] if kind is None else [(said.c.point == customer.c[kind]).desc().nulls_last()]
    return (
        select(said.c.customer_id, said.c.point)
        .ext(distinct_on(said.c.customer_id))
        .join(customer, customer.c.id == said.c.customer_id)
        .where(
            said.c.holds,
            said.c.is_own,
            said.c.status == "granted",
            said.c.point_kind == (kind or ""),
        )
        .order_by(said.c.customer_id, *shown_first, said.c.at.desc(), said.c.point)
    )
