"""A real retailer's invoices, imported and asked over HTTP, add up as they do in the file."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.acceptance.running import ROOT, cdp, served

MAP = ROOT / "docs" / "examples" / "online_retail" / "invoices.toml"
LONDON = ZoneInfo("Europe/London")
BEST = 20
SLICE_ROWS = 8_000

QUERY = """
query Best($first: Int!, $after: String) {
  customers(
    first: $first, after: $after, orderBy: [{field: PURCHASES_NET_SPEND, direction: DESC}]
  ) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      sourceProfiles { key }
      purchases { orderCount grossSpend refunded netSpend firstOrderAt lastOrderAt }
    }
  }
}
"""


@dataclass(slots=True)
class Account:
    """What the file says of one customer."""

    gross: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    orders: list[datetime] = field(default_factory=list)

    @property
    def net(self) -> Decimal:
        """What stayed with the retailer."""
        return self.gross - self.refunded

    def answer(self) -> Mapping[str, object]:
        """As the graph should tell it."""
        return {
            "orderCount": len(self.orders),
            "grossSpend": self.gross,
            "refunded": self.refunded,
            "netSpend": self.net,
            "firstOrderAt": min(self.orders, default=None),
            "lastOrderAt": max(self.orders, default=None),
        }


def read_accounts(path: Path) -> dict[str, Account]:
    """Add the file up, by nothing but the csv module.

    An invoice that is there twice is one: the file joins two years that overlap.
    """
    with path.open(newline="") as file:
        invoices = {row["invoice_id"]: row for row in csv.DictReader(file) if row["customer_id"]}
    accounts: defaultdict[str, Account] = defaultdict(Account)
    for row in invoices.values():
        account = accounts[row["customer_id"].removesuffix(".0")]
        total = Decimal(row["total_price"]).quantize(Decimal("0.001"), ROUND_HALF_UP)
        if total > 0:
            account.gross += total
            local = datetime.strptime(row["invoice_date"], "%m/%d/%y %H:%M")  # noqa: DTZ007
            account.orders.append(local.replace(tzinfo=LONDON).astimezone(UTC))
        else:
            account.refunded -= total
    return accounts


def told(purchases: Mapping[str, str | int | None]) -> Mapping[str, object]:
    """An answer with its values as what they are."""
    return {
        name: value
        if not isinstance(value, str)
        else datetime.fromisoformat(value)
        if name.endswith("At")
        else Decimal(value)
        for name, value in purchases.items()
    }


def pages(url: str, first: int) -> Iterator[Mapping[str, Any]]:
    """Every customer's answer, best first."""
    after = None
    with httpx.Client(trust_env=False, timeout=30) as client:
        while True:
            body = {"query": QUERY, "variables": {"first": first, "after": after}}
            answer = client.post(f"{url}/graphql", json=body).json()
            assert "errors" not in answer, answer["errors"]
            found = answer["data"]["customers"]
            yield from found["nodes"]
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]


def require_equal(path: Path, database_url: str, first: int, most: int | None) -> int:
    """Import a file, ask for the best `most` customers, and compare each with the file."""
    accounts = read_accounts(path)
    here = {"CDP_CURRENCY": "GBP", "CDP_TIMEZONE": "Europe/London"}
    command = ("import", path, "--source", "retailer", "--map", MAP, "--json")
    said = cdp(*command, CDP_DATABASE_URL=database_url, **here)
    assert said.code == 0, said.err
    wanted = sorted((account.net for account in accounts.values()), reverse=True)
    spends = []
    with served(CDP_DATABASE_URL=database_url, **here) as url:
        for node in islice(pages(url, first), most):
            (profile,) = node["sourceProfiles"]
            answer = told(node["purchases"])
            assert answer == accounts[profile["key"]].answer(), profile
            spends.append(answer["netSpend"])
    assert spends == wanted[: len(spends)]
    assert len(spends) == min(most or len(accounts), len(accounts))
    return len(spends)


@pytest.fixture(scope="module")
def invoices(shared_data: Path) -> Path:
    """The retailer's two years, a row an invoice."""
    return shared_data / "transactions" / "online_retail_ii" / "invoices_raw.csv.gz"


def test_best_customers_of_a_slice_are_those_of_the_file(
    invoices: Path, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "invoices.csv"
    with gzip.open(invoices, "rt") as file:
        path.write_text("".join(islice(file, SLICE_ROWS)))
    assert require_equal(path, database_url, first=BEST, most=BEST) == BEST


@pytest.mark.prove
def test_every_customer_of_the_whole_file_is_told_as_the_file_tells(
    invoices: Path, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "invoices.csv"
    path.write_bytes(gzip.decompress(invoices.read_bytes()))
    assert require_equal(path, database_url, first=250, most=None) > 5_000
