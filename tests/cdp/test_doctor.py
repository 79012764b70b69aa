"""`cdp doctor` tells what is well and what is not, and changes nothing."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from cdp.__main__ import main

Checks = dict[str, dict[str, Any]]


def run(database_url: str, *arguments: str, **environment: str) -> Result:
    command = [*arguments, "--database-url", database_url]
    return CliRunner().invoke(main, command, env=environment)


def examine(database_url: str, **environment: str) -> tuple[int, str, Checks]:
    """Exit code, worst state, and the checks by name."""
    result = run(database_url, "doctor", "--json", **environment)
    told = json.loads(result.stdout)
    return result.exit_code, told["state"], {check["name"]: check for check in told["checks"]}


def execute(database_url: str, *statements: str) -> None:
    async def all_of_them() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(all_of_them())


def load(database_url: str, folder: Path, stream: str, *records: dict[str, object]) -> None:
    path = folder / f"{stream}.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    result = run(database_url, "import", str(path), "--source", "shop", "--stream", stream)
    assert result.exit_code == 0, result.output


def an_order(**said: object) -> dict[str, object]:
    order = {"id": "o1", "placed_at": "2026-01-05T10:00:00Z", "currency": "EUR", "total": "5.00"}
    return order | said


def test_fresh_database_is_well(database_url: str) -> None:
    code, worst, checks = examine(database_url)
    assert (code, worst) == (0, "ok")
    assert {check["state"] for check in checks.values()} == {"ok"}
    result = run(database_url, "doctor")
    assert result.stdout.splitlines()[-1] == "All is well."


def test_database_that_does_not_answer_is_the_one_problem_that_is_told() -> None:
    code, worst, checks = examine("postgresql://nobody:hidden@127.0.0.1:1/none")
    assert (code, worst, list(checks)) == (1, "problem", ["database"])
    assert checks["database"]["todo"]
    assert "hidden" not in str(checks)


@pytest.mark.parametrize(
    ("statement", "state", "todo"),
    [
        ("UPDATE alembic_version SET version_num = 'tomorrow'", "problem", "newer release"),
        ("DELETE FROM alembic_version", "warning", "cdp migrate"),
    ],
)
def test_database_of_another_release_is_told_and_read_no_further(
    database_url: str, statement: str, state: str, todo: str
) -> None:
    execute(database_url, statement)
    code, worst, checks = examine(database_url)
    assert list(checks) == ["database", "migrations"]
    assert (code, worst) == (int(state == "problem"), state)
    assert todo in checks["migrations"]["todo"]


def test_what_the_records_lack_is_told(database_url: str, tmp_path: Path) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    orders: list[dict[str, object]] = [
        an_order(id="waits", customer_id="nobody-yet"),
        an_order(id="unpriced", email="ann@example.com", currency="JPY"),
        an_order(id="future", email="ann@example.com", placed_at=tomorrow),
        {"id": "no-total"},
    ]
    load(database_url, tmp_path, "orders", *orders)
    execute(database_url, "UPDATE purchase_day SET next_change_at = now() - interval '1 day'")
    code, worst, checks = examine(database_url)
    assert (code, worst) == (0, "warning")
    assert "1 of shop" in checks["dead letters"]["finding"]
    assert "1 of shop" in checks["waiting records"]["finding"]
    assert checks["prices"]["state"] == "warning"
    assert checks["facts"]["state"] == "warning"
    assert checks["scores"]["state"] == "warning"
    assert checks["source shop"]["state"] == "ok"


@pytest.mark.parametrize("column", ["activity_change_at", "loyalty_next_change_at"])
def test_facts_of_customers_that_time_has_changed_are_told(
    database_url: str, tmp_path: Path, column: str
) -> None:
    load(database_url, tmp_path, "orders", an_order(email="ann@example.com"))
    assert examine(database_url)[2]["facts"]["state"] == "ok"
    execute(database_url, f"UPDATE customer SET {column} = now() - interval '1 day'")  # noqa: S608  # names are our own
    assert ": 1." in examine(database_url)[2]["facts"]["finding"]


def test_scores_are_judged_by_their_age(database_url: str, tmp_path: Path) -> None:
    load(database_url, tmp_path, "orders", an_order(email="ann@example.com"))
    assert run(database_url, "score").exit_code == 0
    assert examine(database_url)[2]["scores"]["state"] == "ok"
    execute(database_url, "UPDATE score_model SET computed_at = now() - interval '32 days'")
    _, _, checks = examine(database_url)
    assert checks["scores"]["state"] == "warning"
    assert "32 days" in checks["scores"]["finding"]


def test_steps_that_a_resolution_has_left_are_told(database_url: str) -> None:
    note = "INSERT INTO resolution_due (actor, reason, noted_at) VALUES ('linkage', 'As it was',"
    execute(database_url, f"{note} now())")
    assert examine(database_url)[1] == "ok"
    execute(database_url, f"{note} now() - interval '1 hour')")
    _, worst, checks = examine(database_url)
    assert (worst, checks["identity"]["state"]) == ("warning", "warning")
    assert "3,60" in checks["identity"]["finding"]


def test_sources_are_judged_by_settings_last_run_and_age(database_url: str) -> None:
    def add(name: str, key: str) -> None:
        settings = ["--set", "shop=example", "--set", f"access_token={key}"]
        assert (
            run(database_url, "source", "add", name, "--connector", "shopify", *settings).exit_code
            == 0
        )

    for name in ("fresh", "late", "failed", "stuck", "never"):
        add(name, "env:DOCTOR_TEST_KEY")
    add("keyless", "env:DOCTOR_TEST_NO_SUCH_KEY")
    execute(
        database_url,
        """INSERT INTO sync_run (source_id, started_at, status, error)
           SELECT source.id, now() - given.age, given.status, given.error
           FROM (VALUES ('fresh', interval '1 hour', 'ok', NULL),
                        ('late', interval '3 days', 'partial', NULL),
                        ('failed', interval '1 hour', 'failed', 'It answered 401.'),
                        ('stuck', interval '2 days', 'running', NULL))
                AS given (name, age, status, error)
           JOIN source USING (name)""",
    )
    code, worst, checks = examine(database_url, DOCTOR_TEST_KEY="k")
    assert (code, worst) == (1, "problem")
    assert {name: checks[f"source {name}"]["state"] for name in
            ("fresh", "late", "failed", "stuck", "never", "keyless")} == {
        "fresh": "ok",
        "late": "warning",
        "failed": "problem",
        "stuck": "warning",
        "never": "warning",
        "keyless": "problem",
    }  # fmt: skip
    assert "It answered 401." in checks["source failed"]["finding"]
    assert "DOCTOR_TEST_NO_SUCH_KEY" in checks["source keyless"]["finding"]


def test_index_that_is_gone_or_invalid_is_named(database_url: str) -> None:
    execute(database_url, "DROP INDEX ix_customer_search")
    code, _, checks = examine(database_url)
    assert code == 1
    assert "ix_customer_search" in checks["indexes"]["finding"]
    execute(
        database_url,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_purchase_day_due'::regclass",
    )
    _, _, checks = examine(database_url)
    assert "REINDEX INDEX CONCURRENTLY ix_purchase_day_due;" in checks["indexes"]["todo"]


def test_segments_that_are_broken_or_behind_are_named(database_url: str) -> None:
    touched = "INSERT INTO touched_customer (at, cause, ids) VALUES (now() - interval '1 hour',"
    execute(database_url, f"{touched} 'ingest', '{{{{1}}}}')")
    _, worst, checks = examine(database_url)
    assert (worst, checks["segments"]["state"]) == ("warning", "warning")
    assert "3,60" in checks["segments"]["finding"]
    execute(
        database_url,
        "DELETE FROM touched_customer",
        "UPDATE segment SET due_at = NULL",
        "UPDATE segment SET due_at = now() - interval '1 hour' WHERE slug = 'lost'",
    )
    assert examine(database_url)[2]["segments"]["state"] == "ok"  # there is nobody to look at
    execute(
        database_url,
        "INSERT INTO customer (id, attributes, profile_count, created_at, updated_at, search)"
        " VALUES (1, '{}', 1, now(), now(), '')",
    )
    _, worst, checks = examine(database_url)
    assert (worst, checks["segments"]["state"]) == ("warning", "warning")
    assert checks["segments"]["finding"] == "Due for more than 5 minutes: 1, as lost."
    execute(database_url, "UPDATE segment SET error = 'There is no trait.' WHERE slug = 'lost'")
    _, worst, checks = examine(database_url)
    assert (worst, checks["segments"]["state"]) == ("problem", "problem")
    assert checks["segments"]["finding"] == "Cannot be evaluated any more: lost."


def test_keys_are_counted_and_none_in_use_is_told(database_url: str) -> None:
    assert run(database_url, "key", "create", "--role", "admin").exit_code == 0
    _, worst, checks = examine(database_url)
    assert (worst, checks["keys"]["finding"]) == ("ok", "In use: 1 admin.")
    assert run(database_url, "key", "revoke", "1").exit_code == 0
    _, worst, checks = examine(database_url)
    assert (worst, checks["keys"]["state"]) == ("warning", "warning")


def test_setting_of_the_environment_that_means_nothing_is_told(database_url: str) -> None:
    code, _, checks = examine(database_url, CDP_TIMEZONE="Nowhere/At_All")
    assert code == 1
    assert "Nowhere/At_All" in checks["workspace"]["finding"]


@pytest.mark.parametrize("zone", ["Mars", "Europe", "Europe/" + "x" * 300])
def test_time_zone_of_the_environment_that_is_none_is_a_problem(
    database_url: str, zone: str
) -> None:
    code, _, checks = examine(database_url, CDP_TIMEZONE=zone)
    assert code == 1
    assert checks["workspace"]["finding"] == f"{zone!r} is not a time zone."
