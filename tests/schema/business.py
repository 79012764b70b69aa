"""A small business for tests of the graph: a shop, a newsletter and a till that know some people.

Ann is known to all three and merged by her address; Bo to the shop alone; Cy is a guest without an
account; Dee was deleted at the shop, which keeps her order.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Deleted
from tests.cdp.ingesting import a_source, drop, take

NOW: Final = datetime(2026, 6, 15, 12, tzinfo=UTC)

Row = dict[str, Any]


def days_ago(days: float) -> str:
    """A moment before NOW, as a source would write it."""
    return (NOW - timedelta(days=days)).isoformat()


SHOP: Final[dict[str, list[Row]]] = {
    "customers": [
        {
            "id": "s1",
            "email": "ann@example.com",
            "email_verified": True,
            "phone": "+44 7700 900001",
            "first_name": "Ann",
            "last_name": "Miller",
            "street": "1 High Street",
            "city": "Leeds",
            "postal_code": "LS1 1AA",
            "country": "GB",
            "birth_date": "1980-02-29",
            "created_at": days_ago(900),
            "updated_at": days_ago(90),
            "shoe_size": "38",
        },
        {
            "id": "s2",
            "email": "bo@example.org",
            "first_name": "Bo",
            "last_name": "Øster",
            "city": "Aarhus",
            "country": "DK",
            "created_at": days_ago(300),
            "updated_at": days_ago(300),
        },
        {
            "id": "s3",
            "email": "dee@example.net",
            "full_name": "Dee Park",
            "created_at": days_ago(500),
            "updated_at": days_ago(500),
        },
    ],
    "orders": [
        {
            "id": f"o{number}",
            "customer_id": customer,
            "placed_at": days_ago(days),
            "currency": "EUR",
            "total": total,
            "status": status,
            "channel": "web",
            "lines": [
                {
                    "line": str(line),
                    "sku": f"sku-{line}",
                    "title": f"Thing {line}",
                    "category": "things" if line % 2 else "stuff",
                    "quantity": "2",
                    "unit_price": "7.45",
                }
                for line in range(1, lines + 1)
            ],
        }
        for number, (customer, days, total, status, lines) in enumerate(
            [
                ("s1", 400, "120.10", "completed", 12),
                ("s1", 200, "80.00", "paid", 2),
                ("s1", 30, "59.90", "shipped", 1),
                ("s1", 10, "500.00", "cancelled", 1),
                ("s2", 250, "19.99", "completed", 1),
                ("s3", 450, "10.00", "refunded", 0),
            ],
            1,
        )
    ]
    + [
        {
            "id": "o7",
            "email": "cy@example.com",
            "placed_at": days_ago(5),
            "currency": "EUR",
            "total": "33.30",
        }
    ],
    "refunds": [
        {
            "id": "r1",
            "order_id": "o1",
            "refunded_at": days_ago(390),
            "amount": "20.10",
            "currency": "EUR",
            "reason": "Ann did not like it",
        }
    ],
    "tickets": [
        {
            "id": "t1",
            "customer_id": "s1",
            "subject": "Where is Ann's parcel?",
            "status": "closed",
            "opened_at": days_ago(28),
            "resolved_at": days_ago(27),
        }
    ],
    "feedback": [
        {
            "id": "f1",
            "customer_id": "s1",
            "kind": "nps",
            "score": "9",
            "scale": "10",
            "comment": "Ann is pleased",
            "given_at": days_ago(20),
        }
    ],
    "subscriptions": [
        {
            "id": "u1",
            "customer_id": "s2",
            "plan": "box",
            "status": "active",
            "amount": "9.90",
            "currency": "EUR",
            "interval": "month",
            "started_at": days_ago(100),
        }
    ],
}

NEWSLETTER: Final[dict[str, list[Row]]] = {
    "customers": [
        {
            "id": "n1",
            "email": "Ann@Example.com",
            "full_name": "Ann Miller",
            "city": "York",
            "country": "GB",
            "language": "en",
            "updated_at": days_ago(10),
        }
    ],
    "messages": [
        {
            "id": f"m{number}",
            "message_id": "m",
            "email": email,
            "channel": "email",
            "kind": kind,
            "occurred_at": days_ago(days),
            "url": "https://shop.example.com/?who=ann" if kind == "clicked" else None,
        }
        for number, (email, kind, days) in enumerate(
            [
                ("ann@example.com", "sent", 40.2),
                ("ann@example.com", "opened", 40.1),
                ("ann@example.com", "clicked", 40),
                ("bo@example.org", "sent", 40.2),
            ],
            1,
        )
    ],
    "consents": [
        {
            "id": "c1",
            "email": "ann@example.com",
            "channel": "email",
            "purpose": "marketing",
            "status": "granted",
            "recorded_at": days_ago(600),
            "evidence": "Ann ticked the box",
        },
        {
            "id": "c2",
            "email": "bo@example.org",
            "channel": "email",
            "purpose": "marketing",
            "status": "denied",
            "recorded_at": days_ago(50),
            "evidence": "Bo wrote to us",
        },
        {
            "id": "c3",
            "customer_id": "n1",
            "email": "ann@example.com",
            "channel": "Email",
            "purpose": "profiling",
            "status": "withdrawn",
            "recorded_at": days_ago(5),
        },
    ],
}

TILL: Final[dict[str, list[Row]]] = {
    "customers": [
        {
            "id": "k1",
            "email": "ann@example.com",
            "loyalty_card": "LC 77",
            "first_name": "Ann",
            "last_name": "Miller",
        }
    ],
    "interactions": [
        {
            "id": "i1",
            "customer_id": "k1",
            "kind": "product_view",
            "occurred_at": days_ago(31),
            "properties": {"sku": "sku-1", "note": "asked by Ann"},
        }
    ],
    "loyalty_entries": [
        {
            "id": "l1",
            "loyalty_card": "LC 77",
            "kind": "earn",
            "points": 120,
            "occurred_at": days_ago(30),
            "reason": "Ann bought",
        }
    ],
}

SOURCES: Final = {"shop": SHOP, "newsletter": NEWSLETTER, "till": TILL}


async def open_business(connection: AsyncConnection) -> None:
    """Ingest all of it, and leave one record that could not be taken."""
    for name, streams in SOURCES.items():
        for stream, rows in streams.items():
            await take(connection, stream, [_said(row) for row in rows], source=name)
    deleted_at = NOW - timedelta(days=1)
    await drop(connection, Deleted("customers", "s3", deleted_at))
    shop = await a_source(connection, "shop")
    await connection.execute(
        tables.dead_letter.insert().values(
            source_id=shop,
            stream="orders",
            place="page 3",
            reason="no total",
            path="total",
            payload={"id": "o9"},
            digest=b"o9",
        )
    )
    for started, status in ((3, "ok"), (1, "failed")):
        await connection.execute(
            tables.sync_run.insert().values(
                source_id=shop,
                started_at=NOW - timedelta(days=started),
                finished_at=NOW - timedelta(days=started, seconds=-60),
                status=status,
                counts={"new": 7},
            )
        )
    await connection.execute(
        tables.checkpoint.insert().values(source_id=shop, stream="orders", cursor="page-4")
    )


def _said(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}
