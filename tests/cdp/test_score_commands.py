"""`cdp score` and the settings it goes by, as a person meets them."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from cdp.database import open_database
from cdp.workspace import Workspace
from tests.cdp.commands import Run, command_over
from tests.cdp.scoring.shop import CUSTOMERS, NOW, TODAY, a_shop, traits_of


@pytest.fixture
def cdp(database_url: str) -> Run:
    """The command over a fresh database."""
    return command_over(database_url)


@pytest.fixture
def shop(database_url: str) -> None:
    """A shop with enough to forecast from."""

    async def fill() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            await a_shop(connection)

    asyncio.run(fill())


@pytest.mark.usefixtures("shop")
def test_a_scoring_tells_its_verdict_as_text_as_json_and_as_one_page(
    cdp: Run, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    given = cdp("score", "--horizon-days", "90", "--html", page, "--json")
    assert given.exit_code == 0, given.output
    told = json.loads(given.stdout)
    assert (told["version"], told["scored"]) == (1, CUSTOMERS)
    assert told["report"]["terms"]["horizon_days"] == 90
    html = page.read_text()
    assert f"{told['report']['verdict']}: {told['report']['model']}" in html
    assert html.count("<svg") >= 7
    # Nothing in it leads elsewhere: the only address is the name of SVG itself.
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|<link|src=|url\(", html)
    text = cdp("score").stdout
    assert f"Version 2, as of {TODAY}" in text
    assert re.search(r"^(TRUSTED|CAUTION|DO_NOT_USE): [A-Z]+_NBD$", text, re.MULTILINE)


def test_a_shop_with_too_little_is_told_what_is_missing(cdp: Run) -> None:
    text = cdp("score").stdout
    assert "No forecast:" in text
    assert "TOO_FEW_CUSTOMERS: There are 0 customers with an order" in text


@pytest.mark.usefixtures("shop")
def test_a_change_of_currency_leaves_no_forecast_of_the_former_one(
    cdp: Run, database_url: str
) -> None:
    assert cdp("score").exit_code == 0
    assert "are null: run cdp score" in cdp("config", "currency", "USD").stdout

    async def told() -> dict[str, set[object]]:
        async with open_database(database_url) as database, database.read_only() as connection:
            found: dict[str, set[object]] = {}
            for group in ("cltv", "rfm"):
                for row in (await traits_of(connection, group, NOW, Workspace("USD"))).values():
                    for name, value in row.items():
                        found.setdefault(name, set()).add(getattr(value, "value", value))
            return found

    found = asyncio.run(told())
    assert all(found[name] == {None} for name in ("predicted", "total", "rank", "monetary_score"))
    assert found["reason"] <= {"NO_ORDER", "NOT_SCORED"}
    assert "None is in USD" in cdp("doctor").stdout
    assert cdp("score").exit_code == 0
    assert "None is in USD" not in cdp("doctor").stdout


def test_settings_of_forecasts_are_checked_and_say_what_to_run(cdp: Run) -> None:
    assert "Run cdp score" in cdp("config", "horizon_days", "90").stdout
    assert cdp("config", "horizon_days").stdout.strip() == "90"
    for key, value in (("horizon_days", "0"), ("margin", "2"), ("discount_rate", "nan")):
        refused = cdp("config", key, value)
        assert refused.exit_code == 1
        assert f"'{value}' is not {key}" in refused.stderr
    assert "is not a moment" in cdp("score", "--as-of", "yesterday").stderr
    for command in ("score", "business"):
        told = cdp(command, "--as-of", "2999-01-01").stderr
        assert "2999-01-01 is yet to come. Without --as-of it is as of now." in told
