"""Rows come out of a file whatever its kind, and what is no row is told with its line."""

import csv
import gzip
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp.errors import BadInput
from connectors.generic.items import Broken, Item, Meter, Row
from connectors.generic.readers import format_of, header_of, read_rows


def rows_of(path: Path, stream: str | None = None) -> list[Item]:
    return list(read_rows(path, Meter(), stream))


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def values_of(items: Sequence[Item]) -> list[object]:
    assert all(isinstance(item, Row) for item in items)
    return [dict(item.values) for item in items if isinstance(item, Row)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_of_any_delimiter_is_read(tmp_path: Path, delimiter: str) -> None:
    text = "id,email\n1,a@example.com\n".replace(",", delimiter)
    path = written(tmp_path, "customers.csv", text)
    assert values_of(rows_of(path)) == [{"id": "1", "email": "a@example.com"}]
    assert header_of(path) == ["id", "email"]


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "\ufeffid,name\r\n1,Zoë\r\n")
    assert values_of(rows_of(path)) == [{"id": "1", "name": "Zoë"}]


def test_quoted_newline_stays_in_its_cell_and_lines_are_counted_from_where_a_row_begins(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "a.csv", 'id,note\n1,"two\nlines"\n\n2,"a ""quote"""\n3\n')
    first, second, ragged = rows_of(path)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.number, first.values["note"]) == (2, "two\nlines")
    assert (second.number, second.values["note"]) == (5, 'a "quote"')
    assert ragged == Broken(6, "The line has 1 cells, the header has 2.", b'"3"')


def test_broken_quotes_cost_one_row_and_not_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'id,note\n1,"a"b\n2,fine\n')
    broken, fine = rows_of(path)
    assert isinstance(broken, Broken)
    assert broken.number == 2
    assert isinstance(fine, Row)
    assert fine.values["id"] == "2"


def test_line_that_is_not_utf8_is_told_with_its_byte_and_costs_no_other(tmp_path: Path) -> None:
    lines = b'id,name\n1,Ann\n2,Zo\xeb\n3,"Bo\n\xeb"\n4,"open \xff\n5,Zo\xc3\xab\n'
    ann, zoe, bo, unclosed, last = rows_of(written(tmp_path, "a.csv", lines))
    assert values_of([ann, last]) == [{"id": "1", "name": "Ann"}, {"id": "5", "name": "Zoë"}]
    told = [one for one in (zoe, bo, unclosed) if isinstance(one, Broken)]
    assert [one.number for one in told] == [3, 4, 6]
    assert told[0].reason.startswith("The line is not UTF-8: byte 0xEB. Convert the file")
    assert [one.payload for one in told] == [
        rb'"2,Zo\\xeb"',
        rb'"3,\"Bo\n\\xeb\""',
        rb'"4,\"open \\xff"',
    ]


def test_header_that_is_not_utf8_ends_the_file_with_its_byte(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"id,pr" + b"\xe9nom\n1,Zo\n")
    with pytest.raises(BadInput, match=r"a\.csv, line 1: byte 0xE9 at offset 5 is not UTF-8"):
        rows_of(path)
    path = written(tmp_path, "b.csv", "id,name\n1,Zoë\n".encode("utf-16"))
    with pytest.raises(BadInput, match="iconv -f UTF-16 -t UTF-8"):
        rows_of(path)


def test_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,email,email\n")
    with pytest.raises(BadInput, match="the column 'email' is there twice"):
        rows_of(path)


def test_header_of_any_length_is_read_in_a_moment(tmp_path: Path) -> None:
    csv.field_size_limit(128 * 1024)  # as every process begins
    long, names = "x" * 200_000, [f"column {number}" for number in range(50_000)]
    path = written(tmp_path, "a.csv", f"id,{long}\n1,2\n")
    assert header_of(path) == ["id", long]
    path = written(tmp_path, "b.csv", ",".join(names) + "\n" + "," * (len(names) - 1) + "\n")
    assert header_of(path) == names


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"PK\x03\x04" + bytes(100),
            "is a ZIP archive or a workbook. Unpack it, or save",
        ),
        (b"%PDF-1.7\nand text", "is no text. Export it as CSV"),
        (b"\x89PNG\r\n\x1a\n", "is no text"),
        (Random(0).randbytes(1_000), "is no text"),
        (gzip.compress(b"folder/customers.csv" + bytes(492), mtime=0), "is no text"),
        ("id\n1\n".encode("utf-16"), "iconv -f UTF-16"),
    ],
    ids=["zip", "pdf", "png", "random", "tar", "utf-16"],
)
def test_file_that_is_no_text_is_told_apart_whatever_its_name(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = written(tmp_path, "customers.csv", content)
    with pytest.raises(BadInput) as refusal:
        header_of(path)
    assert told in str(refusal.value)


def test_control_character_here_and_there_leaves_a_file_text(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,note\n1,\0\n2,fine\n")
    assert format_of(path) == "csv"
    assert len(rows_of(path)) == 2


def test_json_lines_keep_each_line_as_its_payload(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"id": "1",  "total": 1.10}\n\n[1]\n{"id": }\n{"id":"2"}')
    first, array, broken, last = rows_of(path)
    assert first == Row(1, {"id": "1", "total": 1.1}, b'{"id": "1",  "total": 1.10}')
    assert isinstance(array, Broken)
    assert (array.number, array.reason) == (3, "The line is JSON, but not an object.")
    assert isinstance(broken, Broken)
    assert broken.number == 4
    assert last == Row(5, {"id": "2"}, b'{"id":"2"}')


def test_lines_of_bytes_and_bottomless_nesting_are_broken_lines(tmp_path: Path) -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"\n"
    path = written(tmp_path, "a.jsonl", b'{"id": "\xff"}\n' + deep)
    assert [type(item) for item in rows_of(path)] == [Broken, Broken]


def test_one_json_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one JSON array"):
        format_of(written(tmp_path, "a.json", '[{"id": 1}]'))


def test_gzip_is_told_by_content_and_cut_short_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(b"id\n1\n2\n" * 1000)
    path = written(tmp_path, "no-ending", packed)
    assert len(rows_of(path)) == 2999
    with pytest.raises(BadInput, match="damaged or cut short"):
        rows_of(written(tmp_path, "cut.csv.gz", packed[:-12]))


def test_file_that_is_empty_has_no_rows(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", "")) == []


def test_parquet_gives_what_canonical_columns_expect(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8]),
            "customer_id": pa.array([13085.0, float("nan")]),
            "total": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
            "placed_at": pa.array([datetime(2024, 5, 1, 9, tzinfo=UTC)] * 2),
            "updated_at": pa.array([datetime(2024, 5, 1, 9)] * 2, pa.timestamp("ns")),  # noqa: DTZ001
            "lines": pa.array([[{"quantity": 1, "unit_price": 2.5}], []]),
            "channel": pa.array(["web", "web"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "orders.parquet")
    first, second = values_of(rows_of(tmp_path / "orders.parquet", "orders"))
    moment = datetime(2024, 5, 1, 9, tzinfo=UTC)
    assert first == {
        "id": "7",
        "customer_id": "13085",
        "total": Decimal("1.10"),
        "placed_at": moment,
        "updated_at": moment,
        "lines": [{"quantity": 1, "unit_price": 2.5}],
        "channel": "web",
    }
    assert isinstance(second, dict)
    assert (second["customer_id"], second["total"]) == (None, None)


def test_parquet_dates_that_a_data_frame_wrote_as_moments_are_dates(tmp_path: Path) -> None:
    born = pa.array([datetime(1980, 1, 2)], pa.timestamp("us"))  # noqa: DTZ001
    pq.write_table(pa.table({"id": ["1"], "birth_date": born}), tmp_path / "c.parquet")
    (row,) = values_of(rows_of(tmp_path / "c.parquet", "customers"))
    assert row == {"id": "1", "birth_date": date(1980, 1, 2)}


def test_parquet_moment_that_no_calendar_has_is_not_a_crash(tmp_path: Path) -> None:
    far = pa.array([2**62], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"id": ["1"], "placed_at": far}), tmp_path / "o.parquet")
    (row,) = values_of(rows_of(tmp_path / "o.parquet", "orders"))
    assert row == {"id": "1", "placed_at": f"{2**62} microseconds since 1970"}


def test_parquet_day_that_no_calendar_has_is_not_a_crash(tmp_path: Path) -> None:
    far = pa.array([10**7, 1], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"id": ["1", "2"], "birth_date": far}), tmp_path / "c.parquet")
    first, second = values_of(rows_of(tmp_path / "c.parquet", "customers"))
    assert first == {"id": "1", "birth_date": f"{10**7} days since 1970"}
    assert second == {"id": "2", "birth_date": date(1970, 1, 2)}


def test_parquet_times_finer_than_a_microsecond_are_cut_off_however_deep(tmp_path: Path) -> None:
    fine, clock = pa.timestamp("ns"), pa.time64("ns")
    inner = pa.struct([("at", fine), ("all", pa.list_(fine)), ("by", pa.map_(pa.int32(), clock))])
    given = [{"at": 1001, "all": [2002, None], "by": [(7, 3003)]}, None]
    table = pa.table({"nested": pa.array(given, inner), "time": pa.array([4004, None], clock)})
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = values_of(rows_of(tmp_path / "a.parquet"))
    moments = [datetime(1970, 1, 1, microsecond=n) for n in (1, 2)]  # noqa: DTZ001  # as written
    nested = {"at": moments[0], "all": [moments[1], None], "by": {"7": time(microsecond=3)}}
    assert first == {"nested": nested, "time": time(microsecond=4)}
    assert second == {"nested": None, "time": None}


def test_parquet_value_that_cannot_be_read_costs_its_row_alone(tmp_path: Path) -> None:
    day = pa.struct([("on", pa.date32())])
    days = pa.array([{"on": 1}, {"on": 10**7}], pa.struct([("on", pa.int32())])).cast(day)
    pq.write_table(pa.table({"id": ["1", "2"], "nested": days}), tmp_path / "a.parquet")
    good, bad = rows_of(tmp_path / "a.parquet")
    assert good == Row(1, {"id": "1", "nested": {"on": date(1970, 1, 2)}})
    assert isinstance(bad, Broken)
    assert (bad.number, bad.payload) == (2, b'{"id":"2","nested":null}')
    assert "struct<on: date32[day]> cannot be read" in bad.reason


def test_parquet_inside_gzip_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "a.parquet")
    packed = gzip.compress((tmp_path / "a.parquet").read_bytes())
    path = written(tmp_path, "a.parquet.gz", packed)
    # A packed file is told by what it holds, whatever packed it.
    assert format_of(path) == "parquet"
    assert values_of(rows_of(path)) == [{"id": "1"}]


def test_damaged_parquet_is_told_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [str(number) for number in range(1_000)]}), whole)
    content = whole.read_bytes()
    pages = content[:4] + b"\xff" * 200 + content[204:]
    for damaged in (content[:-100], content[:-60] + bytes(52) + content[-8:], pages):
        path = written(tmp_path, "b.parquet", damaged)
        with pytest.raises(BadInput) as refusal:
            rows_of(path)
        assert "cannot be read as Parquet" in refusal.value.message
        assert ".." not in refusal.value.message
        assert "\n" not in refusal.value.message


def test_moments_of_another_zone_stay_the_same_moment(tmp_path: Path) -> None:
    local = datetime(2024, 5, 1, 11, tzinfo=timezone(timedelta(hours=2)))
    column = pa.array([local], pa.timestamp("us", "Europe/Berlin"))
    pq.write_table(pa.table({"id": ["1"], "placed_at": column}), tmp_path / "o.parquet")
    (row,) = values_of(rows_of(tmp_path / "o.parquet", "orders"))
    assert row == {"id": "1", "placed_at": local}


def test_quote_that_is_never_closed_costs_its_own_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text('id,email\n1,"a@example.com\n2,b@example.com\n3,c@example.com\n4,"d"\n5,e\n')
    items = list(read_rows(file, Meter()))
    assert [(one.number, type(one).__name__) for one in items] == [
        (2, "Broken"),
        (3, "Row"),
        (4, "Row"),
        (5, "Row"),
        (6, "Row"),
    ]
