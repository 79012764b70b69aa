"""A database of made-up buyers: nothing but profiles, order days and customers with their facts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from cdp.database import driver, open_database
from cdp.scoring.histories import OrderDays
from migrations import upgrade

PIECE: Final = 200_000  # rows written at once
_UNIX: Final = date(1970, 1, 1).toordinal()

_TOLD: Final = "CREATE TEMP TABLE told (customer bigint, on_day date, spend numeric) ON COMMIT DROP"

_PEOPLE: Final = """
INSERT INTO source_profile (id, customer_id, stream, source_id, key, digest, payload, learned_at,
    first_stored_at, given_key, family_key)
SELECT n, n, 'customers', 1, 'c' || n, '', 'null', now(), now(), '', ''
FROM generate_series(1, $1::int) n
"""

_DAYS: Final = """
INSERT INTO purchase_day (source_profile_id, "on", order_count, priced_order_count, gross_spend,
    refunded, qualifying_spend, unpriced_count, first_order_at, last_order_at)
SELECT customer, on_day, 1, 1, spend, 0, spend, 0, on_day, on_day FROM told ORDER BY random()
"""

_CUSTOMERS: Final = """
INSERT INTO customer (id, attributes, profile_count, created_at, updated_at, search, order_count,
    priced_order_count, order_day_count, gross_spend, qualifying_spend, first_order_at,
    last_order_at, first_order_on, last_order_on)
SELECT customer, '{}', 1, min(on_day), now(), '', count(*), count(*), count(*), sum(spend),
    sum(spend), min(on_day), max(on_day), min(on_day), max(on_day)
FROM told GROUP BY customer
"""


def open_buyers(url: str, order_days: OrderDays, customers: int, later: int) -> None:
    """Fill an empty database, with all days so many days later.

    Customers are numbered from 0 in the order days.
    """
    asyncio.run(_fill(url, order_days, customers, later))


async def _fill(url: str, order_days: OrderDays, customers: int, later: int) -> None:
    async with open_database(url) as database:
        async with database.transaction() as connection:
            await upgrade(connection)
        async with database.transaction() as connection:
            await connection.exec_driver_sql(_TOLD)
            await (await driver(connection)).copy_to_table(
                "told", source=_pieces(order_days, later), format="csv"
            )
            await connection.exec_driver_sql(
                "INSERT INTO source (name, connector) VALUES ('shop', 'file')"
            )
            await connection.exec_driver_sql(_PEOPLE, (customers,))
            await connection.exec_driver_sql(_DAYS)
            await connection.exec_driver_sql(_CUSTOMERS)


async def _pieces(order_days: OrderDays, later: int) -> AsyncIterator[bytes]:
    day = pa.array((order_days.day + later - _UNIX).astype(np.int32)).cast(pa.date32())
    columns = [pa.array(order_days.customer + 1), day, pa.array(np.round(order_days.spend, 2))]
    rows = pa.table(columns, names=["customer", "on_day", "spend"])
    for start in range(0, len(order_days.day), PIECE):
        sink = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(include_header=False)
        pa_csv.write_csv(rows.slice(start, PIECE), sink, options)
        yield sink.getvalue().to_pybytes()
