"""What the database sends as arrays: order days of customers, and subscriptions."""

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

from cdp.activity import ended_at, has_ended, is_running
from cdp.database import driver as driver_of
from cdp.facts import customer_facts
from cdp.order_days import day_of
from cdp.purchase_days import purchase_days
from cdp.scoring.histories import Booleans, Integers, OrderDays, merge_days
from cdp.tables import customer, purchase_day, source_profile, subscription
from cdp.workspace import Workspace

Whom: TypeAlias = Select[tuple[int]] | None
"""A query of customers' ids; None: everybody."""

_HEADER: Final = 19  # bytes before the first row of a binary COPY: signature, flags, extension
_TRAILER: Final = 2


def sent(*values: str) -> "np.dtype[np.void]":
    """A row of so many values, never null, of numpy's types: always of the same length."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for place, value in enumerate(values):
        fields += [(f"size_{place}", ">i4"), (f"value_{place}", value)]
    return np.dtype(fields)


_ROW: Final = sent(">i8", ">i4", ">f8")  # a profile or a customer, the day, the spend
_PAIR: Final = sent(">i8", ">i8")
FIRST_ROWS: Final = 65_536  # for which there is room; it grows by half at a time

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
    day = _days(workspace, past, whom)
    if whom is not None:
        profile = source_profile.c
        owned = day.join(source_profile, profile.id == day.c.source_profile_id)
        return merge_days(*await copied(connection, _order_days(profile.customer_id, day, owned)))
    # Of everybody: PostgreSQL would take longer to join the days with whose they are than to read
    # them. Whose they are is read last, so that it knows every profile that has a day.
    query = _order_days(day.c.source_profile_id, day, day)
    profiles, on, spend = await copied(connection, query)
    owner, is_known = await _owners(connection, profiles)
    if not is_known.all():  # erased meanwhile
        owner, on, spend = owner[is_known], on[is_known], spend[is_known]
    return merge_days(owner, on, spend)


def _order_days(whose: ColumnElement[int], days: FromClause, rows: FromClause) -> Select[Any]:
    """The three columns of `_ROW`."""
    day = days.c
    spend = cast(day.qualifying_spend, Double)
    return (
        select(
            cast(whose, BigInteger),
            ordinal(day.on),
            case((day.priced_order_count > 0, spend), else_=cast(literal("NaN"), Double)),
        )
        .select_from(rows)
        .where(day.order_count > 0)
    )


def ordinal(on: ColumnElement[date]) -> ColumnElement[int]:
    """The number that `date.toordinal` gives a day."""
    return cast(on - cast(_ORDINAL, Date), Integer) + 1


async def copied(
    connection: AsyncConnection, query: Select[Any], row: "np.dtype[np.void]" = _ROW
) -> list["NDArray[Any]"]:
    """The columns of a query whose rows are sent as `row` tells, one array each."""
    taken = _Rows(row)
    driver = await driver_of(connection)
    await driver.copy_from_query(_text(query), output=taken.take, format="binary")
    return taken.columns()


async def _owners(connection: AsyncConnection, profiles: Integers) -> tuple[Integers, Booleans]:
    """The customer of each profile, and whether there is such a profile."""
    profile = source_profile.c
    query = select(profile.id, profile.customer_id).order_by(profile.id)
    known, customers = await copied(connection, query, _PAIR)
    if not len(known):
        return profiles, np.zeros(len(profiles), dtype=np.bool_)
    place = np.searchsorted(known, profiles)
    place[place == len(known)] = 0
    return customers[place], known[place] == profiles


def facts_of(workspace: Workspace, past: datetime | None) -> FromClause:
    """A row per customer with the facts of orders; as stored, or folded anew up to `past`."""
    if past is None:
        return customer
    days = _days(workspace, past, None)
    theirs = select(source_profile.c.customer_id, *days.c).select_from(
        days.join(source_profile, source_profile.c.id == days.c.source_profile_id)
    )
    folded = customer_facts(customer, theirs.subquery("theirs"), workspace.money_digits)
    return folded.subquery("facts")


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

    def __init__(self, row: "np.dtype[np.void]") -> None:
        self._row = row
        self._rest = b""
        self._is_open = False
        self._count = 0
        names = [name for name in row.names or () if name.startswith("value_")]
        self._columns = {name: np.empty(FIRST_ROWS, row[name].newbyteorder("=")) for name in names}

    async def take(self, piece: bytes) -> None:
        """The next bytes."""
        data = self._rest + piece
        if not self._is_open:
            (extension,) = struct.unpack_from(">i", data, _HEADER - 4)
            assert extension == 0, "a COPY with an extension of its header"
            data, self._is_open = data[_HEADER:], True
        count = len(data) // self._row.itemsize
        rows = np.frombuffer(data, self._row, count)
        end = self._count + count
        for name, column in self._columns.items():
            if end > len(column):
                # In place: two of each at once would be the most that a scoring ever holds.
                column.resize(max(end, len(column) * 3 // 2), refcheck=False)
            column[self._count : end] = rows[name]
        self._count = end
        self._rest = data[count * self._row.itemsize :]

    def columns(self) -> list["NDArray[Any]"]:
        """One array each, once everything has come."""
        assert len(self._rest) == _TRAILER, "a COPY that ends within a row"
        return [column[: self._count] for column in self._columns.values()]


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
    ended = has_ended(moment)
    until = case((ended, ended_at()), else_=moment)
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
