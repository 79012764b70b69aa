"""`cdp loyalty`: the programme and the acts from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cdp.__main__ import main

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "loyalty.toml"

Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str) -> Run:
    """Run a command with --json, and give what it printed."""

    def runs(*arguments: str, fails: bool = False) -> Any:  # noqa: ANN401  # JSON
        given = [*arguments, "--json", "--database-url", database_url]
        result = CliRunner().invoke(main, given)
        assert (result.exit_code != 0) == fails, result.output
        return json.loads(result.stdout.splitlines()[0])

    return runs


def test_a_programme_is_checked_applied_and_shown(run: Run, tmp_path: Path) -> None:
    assert run("loyalty", "programme", "show") is None
    assert run("loyalty", "programme", "check", str(EXAMPLE))["tiers"] == ["Leaf", "Bud", "Bloom"]
    assert run("loyalty", "programme", "apply", str(EXAMPLE))["version"] == 1
    assert run("loyalty", "programme", "show")["text"] == EXAMPLE.read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\nmembres = "all"')
    assert "membres" in run("loyalty", "programme", "apply", str(wrong), fails=True)["message"]


def test_points_are_given_spent_adjusted_and_taken_back(run: Run, tmp_path: Path) -> None:
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "1", "first_name": "Ann"}\n')
    run("import", str(people), "--source", "shop", "--stream", "customers")
    refused = run("loyalty", "earn", "1", "10", fails=True)
    assert refused["error"] == "NO_PROGRAMME"
    run("loyalty", "programme", "apply", str(EXAMPLE))
    assert run("loyalty", "earn", "1", "200", "--key", "gift")["balance"] == 200
    assert run("loyalty", "earn", "1", "200", "--key", "gift")["is_repeat"] is True
    assert run("loyalty", "redeem", "1", "--reward", "cup", "--key", "k")["balance"] == 50
    assert run("loyalty", "redeem", "1", "51", fails=True)["error"] == "INSUFFICIENT_POINTS"
    assert run("loyalty", "adjust", "1", "-20", "--reason", "A slip.")["balance"] == 30
    assert run("loyalty", "reverse", "k")["balance"] == 180
    shown = run("loyalty", "balance", "1")
    assert (shown["status"], shown["tier"], shown["points"]) == ("MEMBER", "Leaf", 180)
    assert [lot["available"] for lot in shown["lots"]] == [180]
    run("loyalty", "suspend", "1", "--reason", "Fraud.")
    assert run("loyalty", "redeem", "1", "1", fails=True)["error"] == "SUSPENDED"


def test_points_are_held_for_a_purchase_then_captured_or_released(run: Run, tmp_path: Path) -> None:
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "1", "first_name": "Ann"}\n')
    run("import", str(people), "--source", "shop", "--stream", "customers")
    run("loyalty", "programme", "apply", str(EXAMPLE))
    run("loyalty", "earn", "1", "200")
    assert run("loyalty", "hold", "1", "150", "--key", "basket-7")["balance"] == 50
    assert run("loyalty", "hold", "1", "51", fails=True)["error"] == "INSUFFICIENT_POINTS"
    assert run("loyalty", "capture", "basket-7", "100")["balance"] == 100
    assert run("loyalty", "release", "basket-7", fails=True)["error"] == "CLOSED"
    assert run("loyalty", "hold", "1", "30", "--key", "basket-8")["balance"] == 70
    assert run("loyalty", "release", "basket-8")["balance"] == 100
    assert [lot["available"] for lot in run("loyalty", "balance", "1")["lots"]] == [100]
