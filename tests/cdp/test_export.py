"""Exports: the rows, each format, and the file that is whole or not there."""

import csv
import io
import json
import resource
import signal
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.attributes import ATTRIBUTES
from cdp.errors import BadInput
from cdp.export import Export, plan_export, write_export
from cdp.traits.catalog import CATALOG
from cdp.writers import FORMATS, OutputColumn, open_output
from tests.cdp.builders import NOW, WORKSPACE, a_customer, a_profile, days_ago

pytestmark = pytest.mark.anyio

COLUMNS = (
    OutputColumn("text", str, "Words."),
    OutputColumn("key", str, "Words that must come back.", is_exact=True),
    OutputColumn("count", int, "A number.", "count"),
    OutputColumn("ratio", float, "A share.", "ratio"),
    OutputColumn("money", Decimal, "An amount.", "currency"),
    OutputColumn("on", date, "A day."),
    OutputColumn("at", datetime, "A moment."),
)
FULL = ('Zoë, "the\nfirst"', "=k", 3, 0.5, Decimal("12.50"), date(2026, 1, 31), NOW)
EMPTY = (None,) * 7


def written(path: Path, form: str, rows: Sequence[Sequence[object]]) -> Path:
    with open_output(path, form, COLUMNS, {"export": "test"}) as writer:
        for row in rows:
            writer.write([row])
    return path


def break_off(path: Path, form: str) -> None:
    with open_output(path, form, COLUMNS, {}) as writer:
        writer.write([FULL])
        raise ZeroDivisionError


def test_csv_reads_back(tmp_path: Path) -> None:
    text = written(tmp_path / "a.csv", "csv", [FULL, EMPTY]).read_bytes().decode()
    header, full, empty = csv.reader(io.StringIO(text, newline=""))
    assert header == [column.name for column in COLUMNS]
    assert full == [FULL[0], "=k", "3", "0.5", "12.50", "2026-01-31", "2026-06-15T12:00:00+00:00"]
    assert empty == [""] * 7


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_decimal_is_told_without_exponent(tmp_path: Path, form: str) -> None:
    row = (*EMPTY[:4], Decimal("0E-20"), *EMPTY[5:])
    assert f"0.{'0' * 20}" in written(tmp_path / "a", form, [row]).read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("+447700900001", "+447700900001"),
        ("-12.5", "-12.5"),
        ("a=b", "a=b"),
        ("'quoted", "'quoted"),
    ],
)
def test_csv_hands_no_formula_to_a_spreadsheet(tmp_path: Path, text: str, shown: str) -> None:
    lines = written(tmp_path / "a.csv", "csv", [(text, text, *EMPTY[2:])]).read_bytes().decode()
    row = list(csv.reader(io.StringIO(lines, newline="")))[1]
    assert row[:2] == [shown, text]


def test_json_lines_keep_money_exact_and_nulls_null(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", "jsonl", [FULL, EMPTY]).read_text().splitlines()
    full, empty = map(json.loads, lines)
    assert full["money"] == "12.50"
    assert full["at"] == "2026-06-15T12:00:00Z"
    assert full["text"] == FULL[0]
    assert list(empty) == [column.name for column in COLUMNS]
    assert set(empty.values()) == {None}


def test_parquet_tells_types_units_and_documentation(tmp_path: Path) -> None:
    rows = [FULL, EMPTY, (*EMPTY[:4], Decimal(1) / 3, *EMPTY[5:])]
    path = written(tmp_path / "a.parquet", "parquet", rows)
    table = parquet.read_table(path)
    assert [tuple(row.values()) for row in table.to_pylist()[:2]] == [FULL, EMPTY]
    assert table["money"][2].as_py() == Decimal("0.333333333")
    assert pa.types.is_decimal(table.schema.field("money").type)
    assert table.schema.field("money").metadata == {
        b"doc": b"An amount.",
        b"type": b"Decimal",
        b"unit": b"currency",
    }
    assert table.schema.metadata[b"export"] == b"test"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_without_rows_is_still_a_file(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "a", form, [])
    if form == "parquet":
        assert parquet.read_table(path).num_rows == 0
    else:
        assert path.read_text().count("\n") == (1 if form == "csv" else 0)


@pytest.mark.parametrize("form", FORMATS)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        break_off(path, form)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(BadInput, match="File too large"):
            written(path, form, [FULL])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match="No such file"),
        open_output(tmp_path / "no" / "a", "csv", COLUMNS, {}),
    ):
        pass


def test_parquet_needs_a_file() -> None:
    with (
        pytest.raises(BadInput, match="standard output"),
        open_output(None, "parquet", COLUMNS, {}),
    ):
        pass


async def rows_of(connection: AsyncConnection, export: Export) -> list[dict[str, Any]]:
    """What an export writes, by column."""

    class Kept:
        """A writer that keeps."""

        rows: list[dict[str, Any]]

        def __init__(self) -> None:
            self.rows = []

        def write(self, rows: Sequence[Sequence[object]]) -> None:
            names = [column.name for column in export.columns]
            self.rows += [dict(zip(names, row, strict=True)) for row in rows]

        def close(self) -> None: ...

    kept = Kept()
    assert await write_export(connection, export, kept) == len(kept.rows)
    return kept.rows


async def test_identity_has_a_row_per_live_profile(connection: AsyncConnection) -> None:
    ann = await a_customer(connection)
    await a_profile(connection, ann, source="till", stream="contact", key="email:ann@example.com")
    await a_profile(connection, ann, source="till", key="gone", deleted_at=NOW)
    rows = await rows_of(connection, plan_export("identity", as_of=NOW, workspace=WORKSPACE))
    assert [(row["source"], row["stream"], row["customer_id"]) for row in rows] == [
        ("shop", "customers", ann),
        ("till", "contact", ann),
    ]
    assert rows[1]["key"] == "email:ann@example.com"


async def test_customers_have_every_attribute_and_trait(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    await a_customer(
        connection,
        first_name="Ann",
        birth_date=date(1990, 1, 31),
        attributes={"shoe_size": 38},
        order_count=2,
        order_day_count=2,
        gross_spend=Decimal("0.10"),
        first_order_at=days_ago(40),
        first_order_on=days_ago(40).date(),
        last_order_at=days_ago(3),
    )
    await a_customer(connection)
    export = plan_export("customers", as_of=NOW, workspace=WORKSPACE)
    ann, nobody = await rows_of(connection, export)
    traits = [f"{group.name}_{trait.name}" for group in CATALOG for trait in group.traits]
    assert list(ann) == [
        "id",
        *(each.name for each in ATTRIBUTES),
        "attributes",
        "created_at",
        "updated_at",
        *traits,
    ]
    assert ann["first_name"] == "Ann"
    assert ann["attributes"] == '{"shoe_size": 38}'
    assert ann["purchases_net_spend"] == Decimal("0.10")
    assert ann["rfm_recency_days"] == 3
    assert ann["purchases_average_days_between_orders"] == 37.0
    assert ann["lifecycle_stage"] == "ACTIVE"
    assert nobody["rfm_recency_days"] is None

    path = tmp_path / "customers.parquet"
    with open_output(path, "parquet", export.columns, export.about) as writer:
        await write_export(connection, export, writer)
    (row, _) = parquet.read_table(path).to_pylist()
    assert row["purchases_net_spend"] == Decimal("0.10")
    assert row["purchases_last_order_at"] == days_ago(3).astimezone(UTC)


async def test_parquet_is_copied_to_the_letter(connection: AsyncConnection, tmp_path: Path) -> None:
    """What PostgreSQL copies out is what it answers: quotes, breaks, nothing and null."""
    said = ("", 'a "b"\n, \\c', "\\N", "NaN", " ", "$1", "Zoë 🛒")
    for place, text in enumerate(said):
        await a_customer(
            connection,
            first_name=text,
            birth_date=date(1900 + place, 1, 31),
            created_at=days_ago(place + 1 / 7),
            gross_spend=Decimal(10) / 3 if place else Decimal("12345678901234567.89"),
            order_count=place,
        )
    await connection.exec_driver_sql("SET LOCAL TimeZone = 'Asia/Kolkata'")
    await connection.exec_driver_sql("SET LOCAL DateStyle = 'German'")
    nothing = '{"not": {"firstName": {"eq": "$2 \'x\' :y"}}}'
    export = plan_export("customers", as_of=NOW, workspace=WORKSPACE, filter_text=nothing)
    rows = await rows_of(connection, export)
    path = tmp_path / "a.parquet"
    with open_output(path, "parquet", export.columns, export.about) as writer:
        assert await write_export(connection, export, writer) == len(said)
    smallest = Decimal("0.000000001")
    assert parquet.read_table(path).to_pylist() == [
        {
            name: value.quantize(smallest) if isinstance(value, Decimal) else value
            for name, value in row.items()
        }
        for row in rows
    ]


async def test_a_filter_chooses_customers(connection: AsyncConnection) -> None:
    await a_customer(connection, first_name="Ann", gross_spend=Decimal("10.01"))
    await a_customer(connection, first_name="Bob", gross_spend=10)
    export = plan_export(
        "customers",
        as_of=NOW,
        workspace=WORKSPACE,
        filter_text='{"purchases": {"netSpend": {"gt": 10.00}}}',
    )
    assert [row["first_name"] for row in await rows_of(connection, export)] == ["Ann"]


@pytest.mark.parametrize(
    ("what", "filter_text"),
    [
        ("audience:vip", None),
        ("mart", None),
        ("mart", "{}"),
        ("shoes", None),
        ("identity", "{}"),
        ("customers", "{"),
        ("customers", "[" * 100_000),
        ("customers", '{"shoes": {}}'),
        ("customers", "null and void"),
    ],
)
def test_what_cannot_be_exported_is_refused(what: str, filter_text: str | None) -> None:
    with pytest.raises(BadInput):
        plan_export(what, as_of=NOW, workspace=WORKSPACE, filter_text=filter_text)
