"""Arrays by binary COPY: PostgreSQL finds the values that they hold."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.scoring.copying import (
    MOST_MONEY,
    PIECE,
    Column,
    copied,
    days,
    double,
    moment,
    money,
    nulls,
    whole,
)

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)


async def arrived(
    connection: AsyncConnection, types: Sequence[str], columns: Sequence[Column]
) -> list[tuple[object, ...]]:
    """The rows as a table of such columns holds them."""
    names = [f"c{place}" for place in range(len(types))]
    told = ", ".join(f"{name} {type_}" for name, type_ in zip(names, types, strict=True))
    await connection.exec_driver_sql(f"CREATE TEMPORARY TABLE arrived ({told}) ON COMMIT DROP")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in copied(columns):
            yield piece

    driver = await driver_of(connection)
    await driver.copy_to_table("arrived", source=pieces(), columns=names, format="binary")
    # With its type: the connection remembers what a statement of the same text gave.
    shown = ", ".join(f"{name}::{type_}" for name, type_ in zip(names, types, strict=True))
    rows = await connection.exec_driver_sql(f"SELECT {shown} FROM arrived ORDER BY ctid")  # noqa: S608
    return [tuple(row) for row in rows]


async def test_money_arrives_to_the_cent_as_it_would_be_written(
    connection: AsyncConnection,
) -> None:
    given = [0.0, 12.0, 12.3, 12.34, 0.05, -7.005, 1e4, 99_999_999.99, -0.004, 1e16, 1e40, np.nan]
    rows = await arrived(connection, ["numeric"], [money(np.array(given), 2)])
    shown = ["0", "12", "12.3", "12.34", "0.05", "-7", "10000", "99999999.99", "0"]
    told = [format(value, "f") for (value,) in rows[:9] if isinstance(value, Decimal)]
    assert told == shown
    assert [row[0] for row in rows[9:]] == [Decimal(10) ** 16, Decimal(MOST_MONEY) / 100, None]


@pytest.mark.parametrize(
    ("digits", "shown"),
    [(0, ["13", "0", "-2", "9000000000000000000"]),
     (3, ["12.5", "0.001", "-1.501", "9000000000000000"])],
)  # fmt: skip
async def test_money_has_the_places_of_its_currency(
    connection: AsyncConnection, digits: int, shown: list[str]
) -> None:
    given = np.array([12.5 + 0.0004, 0.0014, -1.5006, 1e40])
    rows = await arrived(connection, ["numeric"], [money(given, digits)])
    assert [format(value, "f") for (value,) in rows if isinstance(value, Decimal)] == shown


async def test_every_type_arrives_with_its_nulls_and_in_order(
    connection: AsyncConnection,
) -> None:
    on = date(1999, 12, 31).toordinal()
    rows = await arrived(
        connection,
        ["bigint", "integer", "double precision", "date", "timestamptz", "numeric"],
        [
            whole(np.array([2**53 + 1, -1]), ">i8"),
            whole(np.array([np.nan, 7.0]), ">i4"),
            double(np.array([0.12345678, np.inf]), 6),
            days(np.array([np.nan, on])),
            moment(MOMENT, 2),
            nulls(2),
        ],
    )
    assert rows == [
        (2**53 + 1, None, 0.123457, None, MOMENT, None),
        (-1, 7, None, date(1999, 12, 31), MOMENT, None),
    ]


async def test_more_rows_than_one_piece_and_none_at_all_arrive(
    connection: AsyncConnection,
) -> None:
    numbers = np.arange(2 * PIECE + 1)
    rows = await arrived(connection, ["bigint"], [whole(numbers, ">i8")])
    assert [row[0] for row in rows] == numbers.tolist()
    await connection.exec_driver_sql("DROP TABLE arrived")
    assert await arrived(connection, ["bigint"], [whole(numbers[:0], ">i8")]) == []
