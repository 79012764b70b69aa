"""The retention grid of a real retailer's two years is that of a recomputation from the file."""

import csv
import gzip
import json
from collections import defaultdict
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import ROOT, asked, cdp

MAP = ROOT / "docs" / "examples" / "online_retail" / "invoices.toml"
HERE = {"CDP_CURRENCY": "GBP", "CDP_TIMEZONE": "Europe/London"}

Grid = dict[tuple[date, date], tuple[int, Decimal]]


def recomputed(path: Path) -> Grid:
    """Of each month of a first sale and each month since: who bought, and what it came to.

    An invoice that is there twice is one. A credit, less than nothing, is no purchase; it lowers
    what its month came to.
    """
    with path.open(newline="") as file:
        invoices = {row["invoice_id"]: row for row in csv.DictReader(file) if row["customer_id"]}
    sold: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    bought: dict[str, set[date]] = defaultdict(set)
    for row in invoices.values():
        amount = Decimal(row["total_price"]).quantize(Decimal("0.001"), ROUND_HALF_UP)
        local = datetime.strptime(row["invoice_date"], "%m/%d/%y %H:%M")  # noqa: DTZ007
        month = local.date().replace(day=1)
        sold[row["customer_id"]][month] += amount
        if amount > 0:
            bought[row["customer_id"]].add(month)
    grid: Grid = {}
    for customer, months in bought.items():
        cohort = min(months)
        for month, amount in sold[customer].items():
            if month >= cohort:
                count, revenue = grid.get((cohort, month), (0, Decimal(0)))
                grid[cohort, month] = (count + (month in months), revenue + amount)
    return grid


def told(shown: dict[str, Any]) -> Grid:
    """The cells of an answer in which anything happened."""
    return {
        (date.fromisoformat(cohort["starts_on"]), date.fromisoformat(cell["starts_on"])): (
            cell["customers"],
            Decimal(cell["revenue"]),
        )
        for cohort in shown["cohorts"]
        for cell in cohort["cells"]
        if cell["customers"] or (cell["revenue"] is not None and Decimal(cell["revenue"]))
    }


@pytest.mark.prove
def test_every_cell_of_the_real_retailers_grid_is_that_of_the_file(
    shared_data: Path, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "invoices.csv"
    file = shared_data / "transactions" / "online_retail_ii" / "invoices_raw.csv.gz"
    path.write_bytes(gzip.decompress(file.read_bytes()))
    said = cdp(
        *("import", path, "--source", "retailer", "--map", MAP, "--json"),
        CDP_DATABASE_URL=database_url,
        **HERE,
    )
    assert said.code == 0, said.err
    wanted = recomputed(path)
    command = ("retention", "--period", "month", "--as-of", "2011-12-31", "--json")
    grid = json.loads(asked(*command, CDP_DATABASE_URL=database_url, **HERE).out)
    assert grid["earlier_customers"] == 0
    assert sum(cohort["size"] for cohort in grid["cohorts"]) > 5_000
    assert told(grid) == {cell: values for cell, values in wanted.items() if any(values)}
