"""Migrations with data in the database: what a release before has written is carried over."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.identity.rules import DEFAULT_DOCUMENT
from cdp.rulechange import try_rules
from migrations import VERSIONS, upgrade
from tests.cdp.at_once import rows_of
from tests.cdp.ingesting import partition, take

pytestmark = pytest.mark.anyio

_FIRST_RELEASE = """
INSERT INTO source (name, connector) VALUES ('shop', 'file');
INSERT INTO source_profile (id, customer_id, stream, source_id, key, digest, payload, learned_at,
                            first_stored_at, given_key, family_key, first_name, email)
OVERRIDING SYSTEM VALUE VALUES
  (1, 1, 'customers', 1, 'a', '', '{}', now(), now(), 'ann', 'doe', 'Ann', 'x@example.com'),
  (2, 1, 'customers', 1, 'b', '', '{}', now(), now(), 'ann', 'doe', 'Ann', 'x@example.com'),
  (3, 3, 'customers', 1, 'c', '', '{}', now(), now(), 'bob', 'doe', 'Bob', 'x@example.com');
SELECT setval('source_profile_id_seq', 3);
INSERT INTO identifier (kind, value, source_profile_id, is_current, first_seen_at, last_seen_at)
SELECT 'email', 'x@example.com', id, true, now(), now() FROM source_profile;
INSERT INTO identifier (kind, value, source_profile_id, is_current, first_seen_at, last_seen_at)
SELECT 'external:shop', key, id, true, now(), now() FROM source_profile;
INSERT INTO customer (id, attributes, profile_count, created_at, updated_at, search)
VALUES (1, '{}', 2, now(), now(), ''), (3, '{}', 1, now(), now(), '');
INSERT INTO match_review (kind, value, profile_ids, reason, opened_at)
VALUES ('email', 'x@example.com', '{1,2,3}', 'Some who share it cannot be one person.', now());
INSERT INTO merge_event (at, kind, customer_id, from_customer_id, profile_ids, evidence,
                         rule_version, actor, reason)
VALUES (now(), 'merged', 1, 2, '{2}', '[]', 1, 'system', 'They share identifiers: email');
"""


async def _of_the_first_release(database: Database) -> None:
    async with database.transaction() as connection:
        await upgrade(connection, "0001")
        for statement in _FIRST_RELEASE.split(";"):
            if statement.strip():
                await connection.exec_driver_sql(statement)


async def _review_sides(connection: AsyncConnection) -> list[tuple[list[int], list[int]]]:
    review = tables.match_review
    rows = await connection.execute(select(review.c.left_ids, review.c.right_ids))
    return [(row[0], row[1]) for row in rows]


async def test_customers_reviews_and_the_ledger_of_the_first_release_are_carried_over(
    empty_database: Database,
) -> None:
    await _of_the_first_release(empty_database)
    async with empty_database.transaction() as connection:
        await upgrade(connection)
        assert await _review_sides(connection) == [([1, 2], [3])]
        assert await connection.scalar(select(tables.merge_event.c.other_ids)) == []
        # The rules of this release see the same customers in what the first one stored.
        found = await try_rules(connection, DEFAULT_DOCUMENT)
        assert (found.joined, found.parted) == (0, 0)


async def test_a_database_of_the_first_release_takes_records_as_any_other(
    empty_database: Database,
) -> None:
    await _of_the_first_release(empty_database)
    async with empty_database.transaction() as connection:
        await upgrade(connection)
        again = [{"id": "c", "first_name": "Ann", "last_name": "Doe", "email": "x@example.com"}]
        await take(connection, "customers", again)
        assert len(await partition(connection)) == 1
        assert await _review_sides(connection) == []


async def test_a_source_that_told_a_delivery_is_known_and_its_customers_are_counted_again(
    empty_database: Database,
) -> None:
    sent = {"channel": "email", "customer_id": "c", "occurred_at": "2024-01-01T10:00:00Z"}
    async with empty_database.transaction() as connection:
        await upgrade(connection)
        await take(connection, "customers", [{"id": "c"}])
        await take(connection, "messages", [{**sent, "id": "1", "kind": "delivered"}])
        await take(connection, "messages", [{**sent, "id": "2", "kind": "sent"}], source="mail")
        # As the release before left it.
        await connection.exec_driver_sql("ALTER TABLE source DROP COLUMN tells_delivery")
        await connection.exec_driver_sql("UPDATE customer SET activity_change_at = NULL")
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0018'")
        await upgrade(connection, "0019")
        told = {
            row["name"]: row["tells_delivery"] for row in await rows_of(connection, tables.source)
        }
        assert told == {"shop": True, "mail": False}
        assert await connection.scalar(select(tables.customer.c.activity_change_at)) is not None


_A_CUSTOMER = """
INSERT INTO customer (id, name, country, attributes, profile_count, created_at, updated_at, search,
                      order_count, gross_spend, refunded, last_order_on, favourite_category,
                      messages_sent, nps, loyalty_status, loyalty_tier)
VALUES (1, 'Ann Doe', 'GB', '{"size": "M"}', 2, now(), now(), 'ann', 3, 10.50, 0.5, '2024-02-01',
        'Tea', 7, 9, 'MEMBER', 'Gold')
"""


async def test_a_customer_keeps_all_that_is_told_when_facts_come_first_in_the_row(
    empty_database: Database,
) -> None:
    async def told(connection: AsyncConnection) -> tuple[object, object, object]:
        ask = connection.exec_driver_sql
        row = (await ask("SELECT * FROM customer")).mappings().one()
        columns = await ask(
            "SELECT column_name, data_type, column_default, is_nullable, generation_expression"
            " FROM information_schema.columns WHERE table_name = 'customer' ORDER BY column_name"
        )
        indexes = await ask("SELECT indexdef FROM pg_indexes WHERE tablename = 'customer'")
        return dict(row), columns.all(), set(indexes.scalars())

    async with empty_database.transaction() as connection:
        await upgrade(connection, "0019")
        await connection.exec_driver_sql(_A_CUSTOMER)
        before = await told(connection)
        await upgrade(connection, "0020")
        assert await told(connection) == before
        first = await connection.exec_driver_sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'customer'::regclass"
            " AND attnum BETWEEN 1 AND 5 ORDER BY attnum"
        )
        declared = [column.name for column in tables.customer.c]
        assert list(first.scalars()) == declared[:5]


async def test_who_had_points_taken_back_by_a_source_is_folded_by_the_clock(
    empty_database: Database,
) -> None:
    at = {"kind": "earn", "occurred_at": "2024-01-01T10:00:00Z"}
    points = {"a": (100, -40), "b": (100, 40)}
    rows = [
        {"id": f"{who}{given}", "customer_id": who, "points": given, **at}
        for who, both in points.items()
        for given in both
    ]
    before = ScriptDirectory(str(VERSIONS.parent)).get_revision("0022").down_revision
    async with empty_database.transaction() as connection:
        await upgrade(connection)
        await take(connection, "customers", [{"id": who} for who in points])
        await take(connection, "loyalty_entries", rows)
        # As the release before left it.
        await connection.exec_driver_sql("DROP TABLE campaign_cost")
        await connection.exec_driver_sql("DROP INDEX ix_sales_order_of_nobody")
        await connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": before})
        await upgrade(connection, "0022")
        due = [row["loyalty_next_change_at"] for row in await rows_of(connection, tables.customer)]
        assert [one is None for one in due] == [False, True]


async def test_stored_money_is_rounded_and_what_counts_otherwise_now_is_due(
    empty_database: Database,
) -> None:
    async with empty_database.transaction() as connection:
        await upgrade(connection)
        await take(connection, "customers", [{"id": "1"}, {"id": "2"}, {"id": "3"}])
        fee = {"customer_id": "2", "status": "active", "currency": "EUR", "amount": "36.06"}
        began = {"started_at": "2024-01-01T10:00:00Z", "interval": "year"}
        await take(connection, "subscriptions", [{"id": "1", **fee, **began}])
        case = {"customer_id": "3", "status": "open", "opened_at": "2024-01-02T10:00:00Z"}
        await take(connection, "tickets", [{"id": "1", **case, "resolved_at": case["opened_at"]}])
        # As the release before left it.
        customer = tables.customer.c
        await connection.execute(
            tables.customer.update()
            .where(customer.profile_count == 1)
            .values(
                gross_spend=Decimal("75.12673"),
                refunded=Decimal("0.005"),
                qualifying_spend=Decimal("75.1"),
                activity_change_at=None,
            )
        )
        await connection.execute(_model())
        cuts = [Decimal("1.005"), Decimal(2), Decimal("75.12673"), Decimal("75.12673")]
        await connection.execute(
            tables.score_basis.insert().values(id=1, version=1, monetary_cuts=cuts)
        )
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0020'")
        await upgrade(connection, "0021")
        rows = await rows_of(connection, tables.customer)
        money = {(row["gross_spend"], row["refunded"], row["net_spend"]) for row in rows}
        assert money == {(Decimal("75.13"), Decimal("0.01"), Decimal("75.12"))}
        assert [row["activity_change_at"] is not None for row in rows] == [False, True, True]
        rounded = await connection.scalar(select(tables.score_basis.c.monetary_cuts))
        assert rounded == [Decimal("1.01"), 2, Decimal("75.13"), Decimal("75.13")]


def _model() -> Insert:
    now = datetime.now(UTC)
    return tables.score_model.insert().values(
        version=1, computed_at=now, as_of=now, horizon_days=365, discount_rate=0, margin=1,
        currency="EUR", shortfalls=[], plans={},
    )  # fmt: skip
