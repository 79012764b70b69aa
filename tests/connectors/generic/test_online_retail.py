"""The real retailer's files give customers whose figures equal a recomputation from the file."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from cdp.database import Database
from cdp.sources import add_source
from cdp.tables import customer, refund, sales_order, source_profile
from cdp.workspace import Workspace
from connectors.generic.file import FileSource
from connectors.generic.map_file import read_map
from connectors.runner import sync

pytestmark = pytest.mark.anyio

MAPS = Path(__file__).resolve().parents[3] / "docs" / "examples" / "online_retail"
WORKSPACE = Workspace(currency="GBP", timezone="Europe/London")
SLICE_ROWS = 30_000  # of the line files in the ordinary suite; make prove takes them whole


@dataclass(slots=True)
class Spend:
    """What one customer bought and got back."""

    gross: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    orders: int = field(default=0)

    def add(self, total: Decimal) -> None:
        """Count one invoice: below zero it is a credit."""
        self.gross += max(total, Decimal(0))
        self.refunded += max(-total, Decimal(0))
        self.orders += total > 0


async def load(database: Database, path: Path, map_name: str) -> None:
    settings = {"path": str(path), "map": str(MAPS / map_name)}
    async with database.transaction() as connection:
        row = await add_source(connection, "retailer", "file", settings)
    source = FileSource(path, file_map=read_map(MAPS / map_name))
    await source.check()
    report = await sync(database, row, source, WORKSPACE)
    assert (report.status, report.counts["refused"]) == ("ok", 0)


async def stored(database: Database) -> Mapping[str, Spend]:
    """Per customer of the retailer, as the platform tells it."""
    async with database.read_only() as connection:
        rows = await connection.execute(
            select(
                source_profile.c.key,
                customer.c.gross_spend,
                customer.c.refunded,
                customer.c.order_count,
                customer.c.net_spend,
            ).join_from(source_profile, customer, source_profile.c.customer_id == customer.c.id)
        )
        found = {key: (Spend(gross, back, count), net) for key, gross, back, count, net in rows}
    assert all(spend.gross - spend.refunded == net for spend, net in found.values())
    return {key: spend for key, (spend, _) in found.items()}


def by_customer(invoices: Mapping[object, tuple[str, Decimal]]) -> Mapping[str, Spend]:
    expected: defaultdict[str, Spend] = defaultdict(Spend)
    for who, total in invoices.values():
        expected[who].add(total)
    return expected


@pytest.mark.prove  # a slice of the same file is told by `cdp` in tests/acceptance
async def test_every_customers_spend_equals_that_of_the_invoices(
    database: Database, shared_data: Path
) -> None:
    path = shared_data / "transactions" / "online_retail_ii" / "invoices_raw.csv.gz"
    await load(database, path, "invoices.toml")
    as_text = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in ("invoice_id", "customer_id", "total_price")}
    )
    table = pacsv.read_csv(path, convert_options=as_text)
    assert table.num_rows == 54_716
    # An invoice that is there twice is the same invoice: the file joins two overlapping years.
    invoices = {
        row["invoice_id"]: (row["customer_id"].removesuffix(".0"), exact(row["total_price"]))
        for row in table.to_pylist()
        if row["customer_id"]
    }
    assert await stored(database) == by_customer(invoices)
    async with database.read_only() as connection:
        nobodys = await connection.scalar(
            select(func.count()).where(
                sales_order.c.customer_id.is_(None), sales_order.c.source_profile_id.is_(None)
            )
        )
    assert nobodys == orders_of_nobody(table)


def exact(total: str) -> Decimal:
    """The amount without the noise of the floats it was added up in; prices have 3 decimals."""
    return Decimal(total).quantize(Decimal("0.001"))


def orders_of_nobody(table: pa.Table) -> int:
    rows = table.to_pylist()
    return len({row["invoice_id"] for row in rows if not row["customer_id"] and exact_nonzero(row)})


def exact_nonzero(row: Mapping[str, Any]) -> bool:
    return float(row["total_price"]) != 0


LINE_FILES = (
    ("lines_2009_2010", "Invoice", "Price", "Customer ID"),
    ("lines_2010_2011", "InvoiceNo", "UnitPrice", "CustomerID"),
)


@pytest.mark.parametrize(("name", "invoice", "price", "who"), LINE_FILES)
async def test_every_customers_spend_equals_that_of_the_lines(
    database: Database,
    shared_data: Path,
    tmp_path: Path,
    name: str,
    invoice: str,
    price: str,
    who: str,
) -> None:
    whole = shared_data / "transactions" / "online_retail_ii" / f"{name}.parquet"
    table = pq.read_table(whole).slice(0, SLICE_ROWS)
    pq.write_table(table, tmp_path / f"{name}.parquet")
    await check_lines(database, tmp_path / f"{name}.parquet", name, (invoice, price, who))


@pytest.mark.prove
@pytest.mark.parametrize(("name", "invoice", "price", "who"), LINE_FILES)
async def test_every_customers_spend_equals_that_of_all_lines(
    database: Database, shared_data: Path, name: str, invoice: str, price: str, who: str
) -> None:
    whole = shared_data / "transactions" / "online_retail_ii" / f"{name}.parquet"
    await check_lines(database, whole, name, (invoice, price, who))


async def check_lines(
    database: Database, path: Path, name: str, columns: tuple[str, str, str]
) -> None:
    invoice, price, who = columns
    await load(database, path, f"{name}.toml")
    totals: defaultdict[object, Decimal] = defaultdict(Decimal)
    owners: dict[object, str] = {}
    for row in pq.read_table(path).to_pylist():
        totals[row[invoice]] += row["Quantity"] * Decimal(str(row[price]))
        owner = row[who]
        if owner and owner == owner:
            owners[row[invoice]] = str(int(owner))
    invoices = {key: (owner, totals[key]) for key, owner in owners.items()}
    assert await stored(database) == by_customer(invoices)
    credit_count = sum(total < 0 for total in totals.values())
    async with database.read_only() as connection:
        assert await connection.scalar(select(func.count()).select_from(refund)) == credit_count
