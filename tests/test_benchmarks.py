"""Each benchmark runs, at a size that measures nothing, and tells its figures line by line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.people import write_customers, write_orders

ROOT = Path(__file__).resolve().parents[1]
TINY = "0.0005"
TIMEOUT_SECONDS = 120


def figures(server_url: str, name: str) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", "benchmarks", name, "--scale", TINY],
        cwd=ROOT,
        env=os.environ | {"CDP_DATABASE_URL": server_url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(line) == ["name", "value", "unit"] for line in lines)
    assert all(isinstance(line["value"], float) and line["unit"] for line in lines)
    told = {line["name"]: line["value"] for line in lines}
    assert len(told) == len(lines)
    return told


EXPECTED = {
    "ingest": {"customers_rate", "customers_share_of_copy", "customers_again_rate",
               "customers_again_rows_written", "orders_rate", "orders_lines_rate"},
    "memory": {"import_250k_peak_memory", "import_1m_peak_memory", "import_memory_growth"},
    "demo": {"demo_first", "demo_again", "demo_precision", "demo_recall"},
    "segments": {"segments_first", "segments_refresh", "preview_traits_p99", "preview_orders_p99"},
    "rebuild": {"rebuild", "rebuild_again"},
    "figures": {"figures_retention", "figures_business_past", "figures_campaigns", "figures_pairs"},
    "public_sets": set(),
    "shoppers": {"shoppers_precision", "shoppers_f1", "shoppers_b_cubed_f1", "shoppers_exact_f1",
                 "shoppers_mixed", "shoppers_largest", "shoppers_ceiling_f1",
                 "shoppers_resolve_rate", "shoppers_resolve_peak_memory",
                 "shoppers_rival_shared_identifiers_f1", "shoppers_rival_stock_splink_f1",
                 "shoppers_rival_tuned_splink_f1"},
    "linkage": {"linkage_train", "linkage_cluster", "linkage_with_a_model", "linkage_rate"},
    "export": {"export_parquet", "export_parquet_peak_memory", "export_csv", "publish"},
    "online": {"online_rate", "online_batch_p50", "online_batch_p99", "online_customers",
               "online_moves_to_offline", "undo_merge_p99", "undo_automatic_merge_p99"},
    "reads": {"statements_per_read", "read_customer_rate", "read_customers_share_of_sql"},
    "scoring": {"scoring_mbg_wall", "scoring_mbg_processor", "scoring_pareto_processor",
                "scoring_mbg_discounted_processor", "scoring_with_report_processor",
                "scoring_stored_order_days", "scoring_stored_wall", "scoring_stored_processor",
                "scoring_stored_postgres_processor", "scoring_stored_peak_memory"},
}  # fmt: skip
SHORT = ("figures",)  # the others take longer, and are run with the proofs


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in SHORT else [pytest.mark.prove]) for name in BENCHMARKS],
)
def test_benchmark_tells_its_figures(server_url: str, name: str) -> None:
    told = figures(server_url, name)
    assert told.keys() >= EXPECTED[name]
    if name == "ingest":
        assert told["customers_again_rows_written"] == 0
    if name == "online":
        assert told["online_moves_to_offline"] == 0
    if name == "reads":
        assert told["statements_per_read"] == 1


def test_a_third_of_the_people_are_told_twice_and_orders_name_them(tmp_path: Path) -> None:
    write_customers(tmp_path / "c", 300)
    write_orders(tmp_path / "o", 50, 300)
    people = [json.loads(line) for line in (tmp_path / "c").read_text().splitlines()]
    addresses = {person["email"].lower() for person in people if "email" in person}
    assert len({person["id"] for person in people}) == 300
    assert len(addresses) == 200
    orders = [json.loads(line) for line in (tmp_path / "o").read_text().splitlines()]
    assert {order["customer_id"] for order in orders} <= {person["id"] for person in people}
    for order in orders:
        lines = sum(float(line["quantity"]) * float(line["unit_price"]) for line in order["lines"])
        assert float(order["total"]) == pytest.approx(lines)
