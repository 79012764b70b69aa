"""A made-up shop of any size, made within the database: people, their orders, lines and messages.

Written by SQL, facts too: folding a million customers takes longer than what is measured here.
"""

import asyncio
from typing import Final

from cdp.database import open_database
from migrations import upgrade

ORDERS_PER_CUSTOMER: Final = 3
MESSAGES_PER_CUSTOMER: Final = 2
PAYLOAD_CHARACTERS: Final = 300  # as much as a short record of a vendor has

_SOURCE: Final = "INSERT INTO source (name, connector) VALUES ('shop', 'file')"

_PEOPLE: Final = """
INSERT INTO source_profile (id, customer_id, stream, source_id, key, digest, payload, learned_at,
    first_name, last_name, email, country, created_at, first_stored_at, given_key, family_key)
SELECT n, n, 'customers', 1, 'c' || n, '', json_build_object('told', repeat('x', $2)), now(),
    'Name' || n % 900, 'Family' || n % 7000, n || '@example.com',
    (ARRAY['DE', 'GB', 'FR', 'US', NULL])[1 + n % 5], now() - n % 1500 * interval '1 day', now(),
    'name' || n % 900, 'family' || n % 7000
FROM generate_series(1, $1::int) n
"""

_ORDERS: Final = """
INSERT INTO sales_order (source_id, key, digest, payload, learned_at, source_profile_id, placed_at,
    currency, total, status, channel)
SELECT 1, 'o' || n, '', json_build_object('told', repeat('x', $2)), now(),
    1 + floor($3 * power(random(), 1.5))::bigint,
    now() - power(random(), 1.2) * interval '1000 days',
    'EUR', round((5 + 200 * power(random(), 3))::numeric, 2),
    CASE WHEN random() < .03 THEN 'cancelled' ELSE 'completed' END,
    (ARRAY['web', 'app', 'store'])[1 + n % 3]
FROM generate_series(1, $1::int) n
"""

_LINES: Final = """
INSERT INTO order_line (source_id, key, digest, payload, learned_at, order_key, line, product_id,
    sku, category, quantity, unit_price)
SELECT 1, 'o' || n || ':1', '', 'null', now(), 'o' || n, '1', 'p' || n % 2000, 'SKU-' || n % 2000,
    (ARRAY['Shoes', 'Books', 'Garden', 'Kitchen', 'Toys', 'Tea'])[1 + n % 6], 1 + n % 3, 9.99
FROM generate_series(1, $1::int) n
"""

_MESSAGES: Final = """
INSERT INTO message (source_id, key, digest, payload, learned_at, source_profile_id, message_id,
    campaign_id, channel, kind, occurred_at)
SELECT 1, 'm' || n, '', json_build_object('told', repeat('x', $2)), now(),
    1 + floor($3 * random())::bigint, 'm' || n, 'k' || n % 40, 'email',
    (ARRAY['sent', 'sent', 'opened', 'clicked'])[1 + n % 4], now() - random() * interval '500 days'
FROM generate_series(1, $1::int) n
"""


_DAYS: Final = """
INSERT INTO purchase_day (source_profile_id, "on", order_count, priced_order_count, gross_spend,
    refunded, qualifying_spend, unpriced_count, first_order_at, last_order_at)
SELECT source_profile_id, (placed_at AT TIME ZONE 'UTC')::date, count(*), count(*), sum(total), 0,
    sum(total), 0, min(placed_at), max(placed_at)
FROM sales_order WHERE status = 'completed' GROUP BY 1, 2
"""

_CUSTOMERS: Final = """
INSERT INTO customer (id, name, first_name, last_name, email, country, attributes, profile_count,
    created_at, updated_at, search, order_count, priced_order_count, order_day_count, gross_spend,
    qualifying_spend, first_order_at, last_order_at, first_order_on, last_order_on, messages_sent,
    messages_delivered, messages_opened, messages_clicked, last_engaged_at)
SELECT p.id, p.first_name || ' ' || p.last_name, p.first_name, p.last_name, p.email, p.country,
    '{}', 1, p.created_at, now(), array_to_tsvector(ARRAY[p.given_key, p.family_key, p.email]),
    coalesce(sum(d.order_count), 0), coalesce(sum(d.order_count), 0), count(d."on"),
    coalesce(sum(d.gross_spend), 0), coalesce(sum(d.gross_spend), 0), min(d.first_order_at),
    max(d.last_order_at), min(d."on"), max(d."on"), coalesce(m.sent, 0), coalesce(m.sent, 0),
    coalesce(m.opened, 0), coalesce(m.clicked, 0), m.engaged_at
FROM source_profile p LEFT JOIN purchase_day d ON d.source_profile_id = p.id
    LEFT JOIN (
        SELECT source_profile_id, count(*) AS sent,
            count(*) FILTER (WHERE kind = 'opened') AS opened,
            count(*) FILTER (WHERE kind = 'clicked') AS clicked,
            max(occurred_at) FILTER (WHERE kind IN ('opened', 'clicked')) AS engaged_at
        FROM message GROUP BY source_profile_id
    ) m ON m.source_profile_id = p.id
GROUP BY p.id, m.source_profile_id, m.sent, m.opened, m.clicked, m.engaged_at
"""

_NUMBERS: Final = "SELECT setval(pg_get_serial_sequence('source_profile', 'id'), $1)"


def open_shop(url: str, customers: int, orders_per_customer: int = ORDERS_PER_CUSTOMER) -> None:
    """Fill an empty database."""
    asyncio.run(_fill(url, customers, customers * orders_per_customer))


async def _fill(url: str, customers: int, orders: int) -> None:
    messages = customers * MESSAGES_PER_CUSTOMER
    async with open_database(url) as database:
        async with database.transaction() as connection:
            await upgrade(connection)
        for statement, arguments in (
            (_SOURCE, ()),
            (_PEOPLE, (customers, PAYLOAD_CHARACTERS)),
            (_ORDERS, (orders, PAYLOAD_CHARACTERS, customers)),
            (_LINES, (orders,)),
            (_MESSAGES, (messages, PAYLOAD_CHARACTERS, customers)),
            (_DAYS, ()),
            (_CUSTOMERS, ()),
            (_NUMBERS, (customers,)),
        ):
            async with database.transaction() as connection:
                await connection.exec_driver_sql("SELECT setseed(0.42)")
                await connection.exec_driver_sql(statement, arguments)
