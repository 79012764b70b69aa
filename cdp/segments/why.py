"""Why a customer is, or is not, in a segment: each clause's verdict, and the value it looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Text, cast, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.clauses import Clause
from cdp.errors import NotFound
from cdp.query import present
from cdp.segments.segment import Segment, definition_of
from cdp.values import CustomerId
from cdp.workspace import Workspace

_MEMBER: Final = tables.segment_membership


@dataclass(frozen=True, slots=True)
class Verdict:
    """One clause as it is for a customer: its place in the filter, what it asks, and the answer.

    `holds`: None for whoever may not know. `value` is the customer's, as text; for records how many
    answer to the clause. None where there is none, or where the clause is made of those that follow
    it.
    """

    path: str
    asked: object
    holds: bool | None
    value: str | None
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Why:
    """`is_member`: as the last refresh found it, since `entered_at`; `holds`: as it is now.

    `exited_at`: when the customer last left; None for a member, and for whoever never was one.
    `verdicts` has none for a static list.
    """

    customer_id: CustomerId
    is_member: bool
    holds: bool
    entered_at: datetime | None
    exited_at: datetime | None
    verdicts: Sequence[Verdict]


async def why(
    connection: AsyncConnection,
    segment: Segment,
    customer_id: int,
    workspace: Workspace,
    as_of: datetime,
) -> Why:
    """Look at one customer; a merged id is its survivor.

    Raises NotFound, and BadInput where the segment's filter cannot be read any more.
    """
    scope = present(as_of, workspace)
    definition = definition_of(segment, scope, workspace)
    profile = tables.source_profile
    survivor = select(profile.c.customer_id).where(profile.c.id == customer_id).scalar_subquery()
    columns = [scope.customer.c.id, definition.condition]
    for clause in definition.clauses:
        columns += [clause.holds, _as_text(clause)]
    labelled = [column.label(f"column_{number}") for number, column in enumerate(columns)]
    rows = await connection.execute(select(*labelled).where(scope.customer.c.id == survivor))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"There is no customer {customer_id}.")
    found_id, holds, *answers = row
    stay = await _last_stay(connection, segment.id, found_id)
    return Why(
        customer_id=CustomerId(found_id),
        is_member=stay is not None and stay.exited_at is None,
        holds=bool(holds),
        entered_at=stay.entered_at if stay is not None else None,
        exited_at=stay.exited_at if stay is not None else None,
        verdicts=[
            Verdict(clause.path, clause.asked, bool(answer), value, clause.is_personal)
            for clause, answer, value in zip(
                definition.clauses, answers[::2], answers[1::2], strict=True
            )
        ],
    )


def _as_text(clause: Clause) -> ColumnElement[Any]:
    return cast(null() if clause.value is None else clause.value, Text)


async def _last_stay(
    connection: AsyncConnection, segment_id: int, customer_id: int
) -> Row[Any, Any] | None:
    rows = await connection.execute(
        select(_MEMBER.c.entered_at, _MEMBER.c.exited_at)
        .where(_MEMBER.c.customer_id == customer_id, _MEMBER.c.segment_id == segment_id)
        .order_by(_MEMBER.c.entered_at.desc())
        .limit(1)
    )
    return rows.one_or_none()
