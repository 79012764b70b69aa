"""What the models need of a shop, from the database: facts where they tell it, else order days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    Integer,
    Select,
    SmallInteger,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.scoring.appraise import shop_of
from cdp.scoring.backtest import sampled
from cdp.scoring.histories import Histories, Integers, OrderDays, summarise
from cdp.scoring.reading import Whom, copied, ordinal, read_order_days, sent
from cdp.scoring.tracking import Calendar, calendar
from cdp.tables import customer, purchase_day, source_profile
from cdp.workspace import Workspace

_FACTS: Final = sent(">i8", ">i4", ">i4", ">i4", ">f8", ">i2")
MANY: Final = 10  # one in so many: the days of everybody are read sooner than those of each


@dataclass(frozen=True, slots=True)
class ShopSoFar:
    """The histories of everybody, the order days of those who take part in backtests.

    `calendar` is null where it is yet to be read, for which there is time while models are fitted.
    """

    histories: Histories
    sample: OrderDays
    calendar: Calendar | None


async def read_shop(
    connection: AsyncConnection, workspace: Workspace, today: date, past: datetime | None
) -> ShopSoFar:
    """As facts and days are stored, or folded anew up to a `past` moment.

    Of today, facts tell of all but a few customers what their days would: a fifth as many rows.
    """
    if past is not None:
        known = shop_of(await read_order_days(connection, workspace, past), today)
        return ShopSoFar(known.histories, known.sample, known.calendar)
    histories = await read_histories(connection, workspace, today, None)
    chosen = sampled(histories.customer)
    sample = await _days_of(connection, workspace, chosen, len(histories))
    return ShopSoFar(histories, sample.until(today.toordinal()), None)


async def read_histories(
    connection: AsyncConnection,
    workspace: Workspace,
    today: date,
    past: datetime | None,
    whom: Whom = None,
) -> Histories:
    """Those of everybody who has ordered, or of some customers, sorted by customer."""
    if past is not None:
        order_days = await read_order_days(connection, workspace, past, whom)
        return summarise(order_days, today.toordinal())
    columns = await copied(connection, _facts(today, whom), _FACTS)
    order = np.argsort(columns[0])
    who, days, first, last, spend, is_odd = (column[order] for column in columns)
    told = Histories(
        customer=who,
        repeats=days.astype(np.int64) - 1,
        recency=last.astype(np.int64) - first,
        age=today.toordinal() - first.astype(np.int64),
        spend=spend,
        priced=days.astype(np.int64),
    )
    odd = is_odd != 0
    if not odd.any():
        return told
    order_days = await _days_of(connection, workspace, who[odd], len(who))
    return _together([told.where(~odd), summarise(order_days, today.toordinal())])


def _facts(today: date, whom: Whom) -> Select[Any]:
    """The columns of `_FACTS`.

    The last is 1 where days alone tell how many of them have a price, or were until today.
    """
    fact = customer.c
    is_odd = or_(fact.priced_order_count != fact.order_count, fact.last_order_on > today)
    query = select(
        fact.id,
        fact.order_day_count,
        ordinal(fact.first_order_on),
        ordinal(fact.last_order_on),
        cast(fact.qualifying_spend, Double),
        cast(cast(is_odd, Integer), SmallInteger),
    ).where(fact.order_day_count > 0)
    return query if whom is None else query.where(fact.id.in_(whom))


async def _days_of(
    connection: AsyncConnection, workspace: Workspace, who: Integers, of: int
) -> OrderDays:
    """The order days of some of so many customers."""
    if len(who) * MANY > of:
        return (await read_order_days(connection, workspace, None)).of(who)
    # As text: COPY takes no values.
    ids = cast(literal("{" + ",".join(map(str, who.tolist())) + "}"), ARRAY(BigInteger))
    return await read_order_days(connection, workspace, None, select(func.unnest(ids)))


def _together(parts: Sequence[Histories]) -> Histories:
    """Sorted by customer."""
    order = np.argsort(np.concatenate([part.customer for part in parts]))
    columns = (
        np.concatenate([getattr(part, name) for part in parts])[order]
        for name in Histories.__slots__
    )
    return Histories(*columns)


async def read_calendar(connection: AsyncConnection, histories: Histories, today: date) -> Calendar:
    """How many of the customers with these histories ordered on each day.

    Days are counted by source profile, whose they are being looked up only where some customer has
    ordered by two of them on one day: the histories tell how many days there must be.
    """
    day = purchase_day.c
    is_told = (day.order_count > 0, day.on <= today)
    by_day = select(day.on, func.count()).where(*is_told).group_by(day.on)
    counts = {on: int(count) for on, count in await connection.execute(by_day)}
    if sum(counts.values()) != len(histories) + int(histories.repeats.sum()):
        twice = (
            select(day.on, (func.count() - 1).label("more"))
            .join(source_profile, source_profile.c.id == day.source_profile_id)
            .join(customer, customer.c.id == source_profile.c.customer_id)
            .where(*is_told, customer.c.profile_count > 1)
            .group_by(customer.c.id, day.on)
            .having(func.count() > 1)
            .subquery("twice")
        )
        surplus = select(twice.c.on, func.sum(twice.c.more)).group_by(twice.c.on)
        for on, more in await connection.execute(surplus):
            counts[on] -= int(more)
    days = np.array([on.toordinal() for on in counts], dtype=np.int64)
    return calendar(histories, today.toordinal(), days, np.array([*counts.values()], np.int64))
