"""The BI mart: what it holds, who reads it, and that it changes at one stroke."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.__main__ import main
from cdp.attributes import ATTRIBUTES
from cdp.database import Database, open_database
from cdp.errors import CdpError
from cdp.mart import mart_tables
from cdp.postgres import embedded
from cdp.publish import BUILDING, PUBLISH_LOCK, ROLE, publish
from cdp.traits.catalog import CATALOG
from migrations import upgrade
from tests.cdp.builders import NOW, WORKSPACE, a_customer, days_ago
from tests.cdp.segmenting import a_segment, refreshed, without_starters

pytestmark = pytest.mark.anyio

Rows = Sequence[dict[str, Any]]
MANY = 500
IS_BUILT = "SELECT 1 WHERE to_regclass($1) IS NOT NULL"


async def rows_of(database: Database, sql: str, *values: object) -> Rows:
    async with database.read_only() as connection:
        found = await connection.exec_driver_sql(sql, values)
        return [dict(row) for row in found.mappings()]


async def a_shop(database: Database) -> tuple[int, int]:
    """Ann, who bought for ten cents, and Bob, who did not; Ann is in the segment buyers."""
    async with database.transaction() as connection:
        await without_starters(connection)
        ann = await a_customer(
            connection,
            name="Ann Doe",
            email="ann@example.com",
            birth_date=date(1990, 1, 31),
            city="Bath",
            country="GB",
            attributes={"shoe_size": "thirty-eight"},
            order_count=2,
            order_day_count=2,
            priced_order_count=2,
            gross_spend=Decimal("0.10"),
            qualifying_spend=Decimal("0.10"),
            first_order_at=days_ago(40),
            first_order_on=days_ago(40).date(),
            last_order_at=days_ago(3),
        )
        bob = await a_customer(connection, name="Bob Roe", email="bob@example.com")
        await a_segment(connection, "Buyers", {"purchases": {"orderCount": {"gte": 1}}})
    await refreshed(database)
    return ann, bob


async def test_the_mart_has_a_row_per_customer_and_per_membership(database: Database) -> None:
    ann, bob = await a_shop(database)
    done = await publish(database, WORKSPACE)
    assert done.rows == {
        "dim_customer": 2, "bridge_customer_segment": 1, "bridge_customer_audience": 0,
    }  # fmt: skip
    first, second = await rows_of(database, "SELECT * FROM mart.dim_customer ORDER BY id")
    assert (first["id"], second["id"]) == (ann, bob)
    assert first["country"] == "GB"
    assert first["purchases_net_spend"] == Decimal("0.10")
    assert first["purchases_average_order_value"] == Decimal("0.05")
    assert first["purchases_last_order_at"] == days_ago(3)
    assert first["as_of"] == second["as_of"] == done.as_of
    assert second["rfm_recency_days"] is None
    assert second["lifecycle_stage"] == "PROSPECT"
    (membership,) = await rows_of(database, "SELECT * FROM mart.bridge_customer_segment")
    assert (membership["customer_id"], membership["segment_slug"]) == (ann, "buyers")
    assert membership["as_of"] == done.as_of > membership["entered_at"]


async def an_audience(database: Database, written_to: int, held_out: int) -> None:
    """An audience of two, one of them held out."""
    async with database.transaction() as connection:
        audience, aim = tables.audience, {"channel": "email", "purpose": "marketing"}
        made = {"held_out_percent": 50, "created_at": NOW, "exported_at": NOW}
        audience_id = await connection.scalar(
            audience.insert().values(slug="buyers", **aim, **made).returning(audience.c.id)
        )
        rows = [
            {"audience_id": audience_id, "source_profile_id": one, "assigned_at": NOW}
            | {"is_held_out": one == held_out}
            for one in (written_to, held_out)
        ]
        await connection.execute(tables.audience_member.insert(), rows)


async def test_the_mart_tells_who_of_an_audience_is_held_out(database: Database) -> None:
    ann, bob = await a_shop(database)
    await an_audience(database, ann, bob)
    await publish(database, WORKSPACE)
    rows = await rows_of(
        database, "SELECT * FROM mart.bridge_customer_audience ORDER BY customer_id"
    )
    assert [(row["customer_id"], row["is_held_out"]) for row in rows] == [(ann, False), (bob, True)]
    told = {name: rows[0][name] for name in ("audience_slug", "channel", "purpose", "assigned_at")}
    assert told == {
        "audience_slug": "buyers", "channel": "email", "purpose": "marketing", "assigned_at": NOW,
    }  # fmt: skip


async def test_the_mart_has_every_trait_and_no_personal_data(database: Database) -> None:
    await a_shop(database)
    await publish(database, WORKSPACE)
    (ann, _) = await rows_of(database, "SELECT * FROM mart.dim_customer ORDER BY id")
    assert list(ann) == [
        "id",
        *(each.name for each in ATTRIBUTES if not each.is_personal),
        "created_at",
        "updated_at",
        *(f"{group.name}_{trait.name}" for group in CATALOG for trait in group.traits),
        "as_of",
    ]
    said = " ".join(map(str, ann.values()))
    personal = ("Ann", "Doe", "example.com", "1990-01-31", "Bath", "thirty-eight")
    assert not [word for word in personal if word in said]


async def test_everything_is_commented_with_its_unit(database: Database) -> None:
    await publish(database, WORKSPACE)
    comments = {
        (row["name"], row["column"]): row["comment"]
        for row in await rows_of(
            database,
            "SELECT c.relname AS name, a.attname AS column, d.description AS comment"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum"
            " WHERE c.relnamespace = 'mart'::regnamespace AND c.relkind = 'r' AND a.attnum > 0",
        )
    }
    assert [name for name, comment in comments.items() if not comment] == []
    spend = comments["dim_customer", "purchases_net_spend"]
    assert spend.endswith("\n\nUnit: EUR.")
    recency = comments["dim_customer", "rfm_recency_days"]
    assert "null before the first" in recency
    assert recency.endswith("\n\nUnit: days.")
    tables = await rows_of(
        database,
        "SELECT obj_description(oid) AS said FROM pg_class"
        " WHERE relnamespace = 'mart'::regnamespace AND relkind = 'r'",
    )
    assert len(tables) == 3
    assert all(row["said"].startswith("One row per ") for row in tables)


async def test_publishing_again_makes_it_anew_and_leaves_nothing_else(database: Database) -> None:
    ann, bob = await a_shop(database)
    await publish(database, WORKSPACE)
    async with database.transaction() as connection:
        await connection.exec_driver_sql("DELETE FROM customer WHERE id = $1", (bob,))
    for _ in range(2):
        assert (await publish(database, WORKSPACE)).rows["dim_customer"] == 1
    assert [row["id"] for row in await rows_of(database, "SELECT id FROM mart.dim_customer")] == [
        ann
    ]
    named = await rows_of(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY 1",
    )
    assert [row["relname"] for row in named] == [
        "bridge_customer_audience",
        "bridge_customer_audience_pkey",
        "bridge_customer_segment",
        "bridge_customer_segment_pkey",
        "dim_customer",
        "dim_customer_pkey",
    ]
    assert await rows_of(database, "SELECT 1 WHERE to_regnamespace($1) IS NOT NULL", BUILDING) == []


async def as_reader(connection: AsyncConnection, sql: str) -> str:
    """What the role is told; the state of an error, or nothing."""
    await connection.exec_driver_sql(f"SET ROLE {ROLE}")
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(sql)
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", ""))
    finally:
        await connection.exec_driver_sql("RESET ROLE")
    return ""


async def test_the_role_reads_the_mart_and_nothing_else(database: Database) -> None:
    done = await publish(database, WORKSPACE)
    assert (done.role, done.note) == (ROLE, "")
    async with database.transaction() as connection:
        for table in ("dim_customer", "bridge_customer_segment", "bridge_customer_audience"):
            assert await as_reader(connection, f"TABLE mart.{table}") == ""
            assert await as_reader(connection, f"TRUNCATE mart.{table}") == "42501"
        assert await as_reader(connection, "SELECT * FROM customer") == "42501"
        assert await as_reader(connection, "CREATE TABLE mart.mine ()") == "42501"
        can_log_in = await connection.exec_driver_sql(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", (ROLE,)
        )
        assert can_log_in.scalar_one() is False


@pytest.fixture(scope="module")
def own_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the test's own: roles are those of all its databases."""
    folder = tmp_path_factory.mktemp("server")
    with embedded(folder / "home") as url:
        yield url


async def test_without_the_right_to_make_a_role_it_goes_on_and_says_so(own_server_url: str) -> None:
    url = make_url(own_server_url)
    async with open_database(own_server_url) as owner, owner.transaction() as connection:
        await connection.exec_driver_sql("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        await connection.exec_driver_sql(f'GRANT CREATE ON DATABASE "{url.database}" TO plain')
        await connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO plain")
    plain = url.set(username="plain", password="plain")
    async with open_database(plain.render_as_string(hide_password=False)) as database:
        async with database.transaction() as connection:
            await upgrade(connection)
        done = await publish(database, WORKSPACE)
        assert done.role is None
        assert "the database user plain may not create roles" in done.note
        assert await rows_of(database, "SELECT * FROM mart.dim_customer") == []


async def test_without_the_right_to_make_a_schema_it_refuses(own_server_url: str) -> None:
    url = make_url(own_server_url)
    async with open_database(own_server_url) as owner, owner.transaction() as connection:
        await upgrade(connection)
        await connection.exec_driver_sql("CREATE ROLE poor LOGIN PASSWORD 'poor'")
        await connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor")
    poor = url.set(username="poor", password="poor")
    async with open_database(poor.render_as_string(hide_password=False)) as database:
        with pytest.raises(CdpError, match="permission denied for database") as refusal:
            await publish(database, WORKSPACE)
    assert refusal.value.code == "NO_PRIVILEGE"


async def test_a_reader_keeps_the_old_mart_until_it_is_done(database: Database) -> None:
    await a_shop(database)
    old = await publish(database, WORKSPACE)
    moment = "SELECT DISTINCT as_of FROM mart.dim_customer"
    async with database.transaction() as reader:
        before = (await reader.exec_driver_sql(moment)).scalar_one()
        publishing = asyncio.create_task(publish(database, WORKSPACE))
        for _ in range(MANY):
            if await rows_of(database, IS_BUILT, f"{BUILDING}.dim_customer"):
                break
            await asyncio.sleep(0.02)
        assert (await reader.exec_driver_sql(moment)).scalar_one() == before == old.as_of
        assert (await rows_of(database, moment))[0]["as_of"] == old.as_of
    new = await publishing
    assert new.as_of > old.as_of
    assert (await rows_of(database, moment))[0]["as_of"] == new.as_of


async def test_a_reader_who_does_not_let_go_keeps_the_old_mart(database: Database) -> None:
    await a_shop(database)
    old = await publish(database, WORKSPACE)
    async with database.transaction() as reader:
        await reader.exec_driver_sql("SELECT FROM mart.dim_customer")
        with pytest.raises(CdpError, match="the old one stays") as refusal:
            await publish(database, WORKSPACE, patience_seconds=0)
    assert refusal.value.code == "BUSY"
    (row, _) = await rows_of(database, "SELECT as_of FROM mart.dim_customer")
    assert row["as_of"] == old.as_of
    assert (await publish(database, WORKSPACE)).as_of > old.as_of + timedelta()


async def test_two_do_not_publish_at_once(database: Database) -> None:
    async with database.transaction() as other:
        await other.execute(select(func.pg_advisory_xact_lock(PUBLISH_LOCK)))
        with pytest.raises(CdpError, match="Another publish is under way"):
            await publish(database, WORKSPACE)


@pytest.mark.parametrize(
    ("made", "finding"),
    [
        ("CREATE VIEW public.best AS SELECT id FROM mart.dim_customer", "depend on .* best"),
        (
            "DROP TABLE mart.dim_customer; CREATE VIEW mart.dim_customer AS SELECT 1 AS id",
            "mart.dim_customer is no table",
        ),
        (f"CREATE SCHEMA {BUILDING}", f"a schema {BUILDING} that cdp did not make"),
    ],
)
async def test_what_stands_in_the_way_is_told_and_left_alone(
    database: Database, made: str, finding: str
) -> None:
    await publish(database, WORKSPACE)
    async with database.transaction() as connection:
        for statement in made.split("; "):
            await connection.exec_driver_sql(statement)
    with pytest.raises(CdpError, match=finding) as refusal:
        await publish(database, WORKSPACE)
    assert refusal.value.code == "IN_THE_WAY"


def test_no_two_columns_of_a_table_have_one_name() -> None:
    for table in mart_tables(NOW, WORKSPACE):
        names = [each.name for each in table.columns]
        assert len(set(names)) == len(names)
        assert max(map(len, names)) <= 63


async def test_the_files_of_the_mart_are_its_rows(database: Database, tmp_path: Path) -> None:
    await an_audience(database, *await a_shop(database))
    assert "Run cdp publish" in refusal_of(database, tmp_path / "mart")
    await publish(database, WORKSPACE)
    told = exported(database, tmp_path / "mart")
    rows = {"dim_customer": 2, "bridge_customer_segment": 1, "bridge_customer_audience": 2}
    assert told["files"] == {f"{name}.parquet": count for name, count in rows.items()}
    for name in rows:
        file = parquet.read_table(tmp_path / "mart" / f"{name}.parquet").to_pylist()
        assert file == await rows_of(database, f"TABLE mart.{name} ORDER BY 1, 2")
    async with database.transaction() as connection:
        await connection.exec_driver_sql("ALTER TABLE mart.dim_customer DROP COLUMN rfm_monetary")
    assert "another release" in refusal_of(database, tmp_path / "mart")


def _export(database: Database, folder: Path) -> Result:
    given = ("export", "mart", "--output", str(folder), "--json", "--database-url", database.url)
    return CliRunner().invoke(main, given)


def exported(database: Database, folder: Path) -> dict[str, Any]:
    with ThreadPoolExecutor(1) as other:  # a command runs a loop of its own
        result = other.submit(_export, database, folder).result()
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def refusal_of(database: Database, folder: Path) -> str:
    with ThreadPoolExecutor(1) as other:
        result = other.submit(_export, database, folder).result()
    assert isinstance(result.exception, SystemExit), result.exc_info
    return result.stderr
