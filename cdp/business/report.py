"""All figures of the business at once, for the command line and for whoever compares them."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import Select, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.audiences.effect import effect_of
from cdp.business.campaigns import campaigns_query
from cdp.business.feedback import csat_query, nps_query
from cdp.business.moment import Moment
from cdp.business.programme import programme_query
from cdp.business.purchases import (
    churn_query,
    distribution_query,
    historic_value,
    predicted_query,
    purchases_query,
)
from cdp.business.subscriptions import subscriptions_query
from cdp.business.unattributed import unattributed_query

Figures: TypeAlias = Mapping[str, Any]
"""Numbers by name: whole, Decimal for money, float for shares, a reason as text; None where there
is nothing. Money is told to the smallest unit, as its query rounds it."""


def _historic(moment: Moment) -> Select[Any]:
    return distribution_query(historic_value(moment).subquery("values"), moment.workspace)


GROUPS: Final[Mapping[str, Callable[[Moment], Select[Any]]]] = {
    "purchases": purchases_query,
    "unattributed": unattributed_query,
    "retention": churn_query,
    "historic_value": _historic,
    "predicted_value": predicted_query,
    "nps": nps_query,
    "csat": csat_query,
    "loyalty": programme_query,
    "subscriptions": subscriptions_query,
}
"""What is told of the business: a query of one row each."""


async def read_figures(connection: AsyncConnection, group: str, moment: Moment) -> Figures:
    """One group of figures."""
    rows = await connection.execute(GROUPS[group](moment))
    return dict(rows.mappings().one())


async def read_campaigns(connection: AsyncConnection, moment: Moment, count: int) -> list[Figures]:
    """The latest campaigns, with what each brought."""
    rows = await connection.execute(campaigns_query(moment, count))
    return [dict(row) for row in rows.mappings()]


async def read_audiences(
    connection: AsyncConnection, moment: Moment, count: int, days: int
) -> list[Figures]:
    """The latest audiences, with what writing to each did within some days (`effect_of`)."""
    audience = tables.audience
    rows = await connection.execute(
        select(audience.c.id, audience.c.slug, audience.c.channel, audience.c.purpose)
        .where(audience.c.created_at <= moment.at)
        .order_by(audience.c.created_at.desc(), audience.c.id.desc())
        .limit(count)
    )
    told: list[Figures] = []
    for number, slug, channel, purpose in rows.all():
        effect = effect_of(literal(number), days, moment.at, moment.workspace)
        figures = (await connection.execute(effect)).mappings().one()
        told.append({"slug": slug, "channel": channel, "purpose": purpose, **figures})
    return told
