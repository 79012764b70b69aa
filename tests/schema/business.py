"""A small business for tests of the graph: a shop, a newsletter and a till that know some people.

Ann is known to all three and merged by her address; Bo to the shop alone; Cy is a guest without an
account; Dee was deleted at the shop, which keeps her order. People have decided some things about
them, and left others open: `decide_some` writes the rows as they lie after that.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Deleted
from cdp.forecasting import score_as_of
from cdp.identity.rules import DEFAULT_DOCUMENT
from cdp.loyalty.application import apply_programme
from cdp.segments.definition import update_segment
from cdp.segments.lists import ById, add_members
from cdp.segments.refresh import refresh_step
from tests.cdp.ingesting import WORKSPACE, a_source, drop, take
from tests.cdp.segmenting import a_segment, without_starters

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

CLUB: Final = """
name = "Club"
[[earn]]
kind = "spend"
name = "base"
points_per_unit = 2
[tiers]
window = "lifetime"
[[tiers.levels]]
name = "Silver"
threshold = 10
[[tiers.levels]]
name = "Gold"
threshold = 100
"""

SOURCES: Final = {"shop": SHOP, "newsletter": NEWSLETTER, "till": TILL}


RULES: Final = {
    **msgspec.to_builtins(DEFAULT_DOCUMENT),
    "linkage": {"join_weight": 8.5, "review_weight": -1.5},
}

PARTS: Final = [
    {"name": "prior", "level": "", "weight": -12.0},
    {"name": "first_name", "level": "different", "weight": -3.5},
    {"name": "email", "level": "same but for a typo", "weight": 6.25},
    {"name": "city", "level": "different", "weight": -0.5},
    {"name": "relatives", "level": "", "weight": -2.0},
    {"name": "decided_pairs", "level": "", "weight": 14.0},
]


async def decide_some(connection: AsyncConnection) -> None:
    """Decisions that hold, were taken back and are overruled; reviews of every kind; new rules.

    Ann's profiles are 1, 4 and so on; Bo is 2, Dee 3.
    """
    profile = tables.source_profile
    rows = await connection.execute(
        select(profile.c.id, profile.c.customer_id).order_by(profile.c.id)
    )
    customer_of = {row.id: row.customer_id for row in rows}
    ann = [one for one, customer in customer_of.items() if customer == 1]
    decisions: list[tuple[str, str, list[int], list[int], bool]] = [
        ("same", "merge", ann[:1], ann[1:], False),
        ("same", "review", ann[:1], [2], False),  # overruled: Bo is somebody else
        ("not_same", "review", [2], ann[1:2], False),
        ("not_same", "undo", ann[:1], ann[1:2], False),  # overruled: they are one
        ("split", "split", ann[:2], [3], True),
        ("split", "split", [*ann[:1], 2], [3], False),  # overruled: the left is no whole
    ]
    for days, (kind, action, left, right, is_retracted) in enumerate(decisions):
        decision_id = await connection.scalar(
            tables.identity_decision.insert()
            .values(
                kind=kind,
                action=action,
                at=NOW - timedelta(days=days),
                actor="helpdesk",
                reason="Ann said so",
                retracted_at=NOW if is_retracted else None,
                retracted_by="admin" if is_retracted else None,
            )
            .returning(tables.identity_decision.c.id)
        )
        sides = [*((one, "left") for one in left), *((one, "right") for one in right)]
        await connection.execute(
            tables.decision_member.insert(),
            [
                {"decision_id": decision_id, "source_profile_id": one, "side": side}
                for one, side in sides
            ],
        )
    await _keep_a_history(connection, ann)
    await _leave_reviews(connection, ann)
    await connection.execute(
        tables.identity_rules.insert().values(
            version=2, document=RULES, applied_at=NOW, actor="admin", reason="More cautious."
        )
    )


async def _keep_a_history(connection: AsyncConnection, ann: list[int]) -> None:
    """A split that undid the first merge, and a merge by likeness and by decision after it."""
    event = {
        "at": NOW,
        "customer_id": ann[0],
        "from_customer_id": ann[-1],
        "profile_ids": ann[-1:],
        "other_ids": ann[:-1],
        "rule_version": 2,
        "actor": "helpdesk",
        "reason": "Ann said so",
    }
    evidence = [
        {"kind": "similarity", "value": f"1:{ann[-1]}", "weight": 9.75, "profileIds": ["1", "2"]},
        {"kind": "decision", "value": "1", "profileIds": [str(one) for one in ann]},
    ]
    for kind, shown, undoes in (("split", [], 1), ("merged", evidence, None)):
        await connection.execute(
            tables.merge_event.insert().values(
                **event, kind=kind, evidence=shown, decision_id=1, undoes_event_id=undoes
            )
        )


async def _leave_reviews(connection: AsyncConnection, ann: list[int]) -> None:
    version = await connection.scalar(
        tables.linkage_model.insert().values(document={}).returning(tables.linkage_model.c.version)
    )
    await connection.execute(
        tables.match_pair.insert().values(
            left_id=1,
            right_id=2,
            weight=2.25,
            probability=0.825,
            parts=PARTS,
            model_version=version,
            left_digest=b"",
            right_digest=b"",
        )
    )
    reviews: list[tuple[str, str, list[int], list[int], int | None, float]] = [
        ("email", "ann@example.com", ann, [2], 1, 0.9),
        ("similarity", "1:2", ann[:1], [2, 3], 1, 0.5776),
        ("phone", "+447700900001", [3], ann, None, 0.1),
        ("identifiers", "shop/customers/s2", [2], [], None, 0.05),
        ("email", "bo@example.org", [2], [3], None, 0.1),
    ]
    for kind, value, left, right, pair, priority in reviews:
        await connection.execute(
            tables.match_review.insert().values(
                kind=kind,
                value=value,
                left_id=min(left),
                right_id=min(right, default=0),
                left_ids=left,
                right_ids=right,
                pair_left_id=pair,
                pair_right_id=pair and 2,
                reason="Their names or birth dates clash.",
                priority=priority,
                opened_at=NOW - timedelta(days=priority),
            )
        )


async def open_business(connection: AsyncConnection) -> None:
    """All of it, with work of sources and of people on it."""
    await ingest_business(connection)
    await work_on_sources(connection)
    await decide_some(connection)
    await keep_segments(connection)
    await score_as_of(connection, WORKSPACE, NOW, None)


async def ingest_business(connection: AsyncConnection) -> None:
    """What the sources tell, under a loyalty programme, and nothing else."""
    since = NOW - timedelta(days=1_000)
    await apply_programme(connection, CLUB, WORKSPACE, actor="test", starts_at=since)
    for name, streams in SOURCES.items():
        for stream, rows in streams.items():
            await take(connection, stream, [_said(row) for row in rows], source=name)
    deleted_at = NOW - timedelta(days=1)
    await drop(connection, Deleted("customers", "s3", deleted_at))


async def keep_segments(connection: AsyncConnection) -> None:
    """Four segments, one of which was another two days ago, and none of those that come ready."""
    await without_starters(connection)
    await a_segment(connection, "Buyers", {"purchases": {"netSpend": {"gt": "0"}}})
    await a_segment(connection, "Danes", {"country": {"eq": "DK"}}, description="By the sea.")
    await a_segment(connection, "Anns", {"name": {"startsWith": "ann"}, "orders": {"some": {}}})
    guests = await a_segment(connection, "Guests", None)
    await add_members(connection, guests, [ById(1), ById(2)], WORKSPACE)
    await _look(connection, NOW - timedelta(days=2))
    fewer = {"purchases": {"netSpend": {"gt": "30"}}}
    await update_segment(connection, "buyers", WORKSPACE, filter_=fewer)
    await _look(connection, NOW - timedelta(hours=1))


async def _look(connection: AsyncConnection, at: datetime) -> None:
    """Evaluate what is due, as of a moment."""
    segment = tables.segment
    await connection.execute(
        segment.update().where(segment.c.due_at.is_not(None)).values(due_at=at)
    )
    while await refresh_step(connection, WORKSPACE, at) is not None:
        pass


async def work_on_sources(connection: AsyncConnection) -> None:
    """Runs that went well and badly, a place to resume, and a record that could not be taken."""
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
        tables.loyalty_award.insert().values(
            source_profile_id=1, name="challenge:x", at=NOW - timedelta(days=9), badge="X", points=0
        )
    )
    await connection.execute(
        tables.checkpoint.insert().values(source_id=shop, stream="orders", cursor="page-4")
    )


def _said(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}
