"""What the models of value need of the database, as arrays: order days, and subscriptions."""

import struct
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Double,
    FromClause,
    Integer,
    Select,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.activity import has_ended, is_running
from cdp.database import driver as driver_of
from cdp.facts import customer_facts
from cdp.order_days import day_of, purchase_days
from cdp.scoring.histories import Booleans, Integers, OrderDays, merge_days
from cdp.tables import customer, purchase_day, source_profile, subscription
from cdp.workspace import Workspace

Whom: TypeAlias = Select[tuple[int]] | None
"""A query of customers' ids; None: everybody."""

_HEADER: Final = 19  # bytes before the first row of a binary COPY: signature, flags, extension
_TRAILER: Final = 2
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"), ("size_0", ">i4"), ("customer", ">i8"), ("size_1", ">i4"),
        ("day", ">i4"), ("size_2", ">i4"), ("spend", ">f8"),
    ]
)  # fmt: skip
"""A row of three columns that are never null, as a binary COPY sends it: always 34 bytes."""

_DIALECT: Final = asyncpg.dialect()  # type: ignore[no-untyped-call]
_ORDINAL: Final = literal(date.min, Date)
SECONDS_A_DAY: Final = 86_400


async def read_order_days(
    connection: AsyncConnection, workspace: Workspace, past: datetime | None, whom: Whom = None
) -> OrderDays:
    """The order days of customers; as they are stored, or folded anew up to a `past` moment.

    Days are those of `date.toordinal`. A million customers with five million days take a few
    seconds: the rows come as they lie in memory, and no object is made of any.
    """
    days = _days(workspace, past, whom)
    profile, day = source_profile.c, days.c
    is_priced = day.priced_order_count > 0
    query = (
        select(
            cast(profile.customer_id, BigInteger),
            cast(day.on - cast(_ORDINAL, Date), Integer) + 1,
            case(
                (is_priced, cast(day.qualifying_spend, Double)),
                else_=cast(literal("NaN"), Double),
            ),
        )
        .select_from(days.join(source_profile, profile.id == day.source_profile_id))
        .where(day.order_count > 0)
    )
    taken = _Rows()
    driver = await driver_of(connection)
    await driver.copy_from_query(_text(query), output=taken.take, format="binary")
    return merge_days(*taken.columns())


def facts_of(workspace: Workspace, past: datetime | None) -> FromClause:
    """A row per customer with the facts of orders; as stored, or folded anew up to `past`."""
    if past is None:
        return customer
    days = _days(workspace, past, None)
    theirs = select(source_profile.c.customer_id, *days.c).select_from(
        days.join(source_profile, source_profile.c.id == days.c.source_profile_id)
    )
    return customer_facts(customer, theirs.subquery("theirs")).subquery("facts")


def _days(workspace: Workspace, past: datetime | None, whom: Whom) -> FromClause:
    """The rows of `purchase_day`."""
    day = purchase_day.c
    stored = select(purchase_day)
    if whom is not None:
        mine = select(source_profile.c.id).where(source_profile.c.customer_id.in_(whom))
        stored = stored.where(day.source_profile_id.in_(mine))
    if past is None:
        return stored.subquery("days")
    moment = literal(past, DateTime(timezone=True))
    given = stored.where(day.on <= day_of(past, workspace)).with_only_columns(
        day.source_profile_id, day.on
    )
    return purchase_days(given.subquery("told"), workspace, moment).subquery("days")


def _text(query: Select[Any]) -> str:
    """The query with its values in it: COPY takes no others."""
    return str(query.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


class _Rows:
    """Takes a binary COPY piece by piece, and keeps its columns alone."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_open = False
        self._pieces: list[NDArray[np.void]] = []

    async def take(self, piece: bytes) -> None:
        """The next bytes."""
        data = self._rest + piece
        if not self._is_open:
            (extension,) = struct.unpack_from(">i", data, _HEADER - 4)
            assert extension == 0, "a COPY with an extension of its header"
            data, self._is_open = data[_HEADER:], True
        count = len(data) // _ROW.itemsize
        rows = np.frombuffer(data, _ROW, count)
        native = np.empty(count, _NATIVE)
        for name in _NATIVE.names or ():
            native[name] = rows[name]
        self._pieces.append(native)
        self._rest = data[count * _ROW.itemsize :]

    def columns(self) -> tuple[Integers, Integers, NDArray[np.float64]]:
        """Customers, days and spends, once everything has come."""
        assert len(self._rest) == _TRAILER, "a COPY that ends within a row"
        if not self._pieces:
            empty = np.empty(0, np.int64)
            return empty, empty, np.empty(0)
        customers, days, spends = (
            np.concatenate([piece[name] for piece in self._pieces])
            for name in ("customer", "day", "spend")
        )
        return customers, days.astype(np.int64), spends


_NATIVE: Final = np.dtype([("customer", np.int64), ("day", np.int32), ("spend", np.float64)])


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """One element per subscription that has begun; `days` until its end, or until now.

    `goes_on`: it counts for its customer; what neither goes on nor has ended is paused.
    """

    customer: Integers
    plan: tuple[str, ...]
    days: Integers
    has_ended: Booleans
    goes_on: Booleans


async def read_subscriptions(
    connection: AsyncConnection, as_of: datetime, whom: Whom = None
) -> Subscriptions:
    """Those of everybody, or of some customers."""
    s, moment = subscription.c, literal(as_of, DateTime(timezone=True))
    end: ColumnElement[Any] = func.coalesce(s.ended_at, s.cancelled_at, s.updated_at, moment)
    ended = func.coalesce(has_ended(moment), literal(value=False))
    until = case((ended, func.least(end, moment)), else_=moment)
    seconds = func.extract("epoch", func.greatest(until, s.started_at) - s.started_at)
    query = (
        select(
            source_profile.c.customer_id,
            func.coalesce(s.plan, ""),
            cast(func.floor(seconds / SECONDS_A_DAY), Integer),
            ended,
            func.coalesce(is_running(moment), literal(value=False)),
        )
        .join(source_profile, source_profile.c.id == s.source_profile_id)
        .where(s.deleted_at.is_(None), s.started_at <= moment)
    )
    if whom is not None:
        query = query.where(source_profile.c.customer_id.in_(whom))
    rows = (await connection.execute(query)).all()
    return Subscriptions(
        customer=np.array([row[0] for row in rows], dtype=np.int64),
        plan=tuple(row[1] for row in rows),
        days=np.array([row[2] for row in rows], dtype=np.int64),
        has_ended=np.array([row[3] for row in rows], dtype=np.bool_),
        goes_on=np.array([row[4] for row in rows], dtype=np.bool_),
    )
