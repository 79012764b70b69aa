"""Files as a source: streams by name, pages with cursors, refusals before anything is read."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp.delivery import Delivery, Received, Refused
from cdp.errors import BadInput
from cdp.values import Json
from connectors.base import Abort, Page
from connectors.generic import file
from connectors.generic.file import FileSource
from connectors.generic.map_file import parse_map

pytestmark = pytest.mark.anyio


def customers(folder: Path, count: int, name: str = "customers.csv") -> Path:
    path = folder / name
    path.write_text("id,first_name\n" + "".join(f"{i},Ann\n" for i in range(count)))
    return path


async def read(source: FileSource, stream: str, cursor: Json = None) -> list[Page]:
    return [page async for page in source.pages(stream, cursor)]


def keys(deliveries: list[Delivery]) -> list[str]:
    return [one.record.key for one in deliveries if isinstance(one, Received)]


def deliveries_of(pages: list[Page]) -> list[Delivery]:
    return [delivery for page in pages for delivery in page.deliveries]


async def test_folder_is_read_people_first_each_file_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "_SUCCESS").write_text("")
    for name in ("orders-2024.csv", "order_lines.csv", "customers.b.csv", "orders/part-0.csv"):
        (tmp_path / name).write_text("id\n")
    assert FileSource(tmp_path).streams == (
        "customers.b.csv",
        "orders-2024.csv",
        "orders/part-0.csv",
        "order_lines.csv",
    )


async def test_file_whose_name_tells_no_stream_is_refused(tmp_path: Path) -> None:
    path = customers(tmp_path, 1, "people.csv")
    with pytest.raises(BadInput, match=r"name of people\.csv does not tell its stream.*customers"):
        FileSource(path)
    assert FileSource(path, stream="customers").streams == ("people.csv",)


async def test_name_in_a_folder_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    customers(tmp_path, 1)
    customers(tmp_path, 1, os.fsdecode(b"customers-\xe9.txt"))  # which is not read
    assert FileSource(tmp_path).streams == ("customers.csv",)
    customers(tmp_path, 1, os.fsdecode(b"customers-\xe9.csv"))
    with pytest.raises(BadInput, match=r"The name customers-\\xe9\.csv is no UTF-8"):
        FileSource(tmp_path)


async def test_unknown_stream_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no stream 'custmers'.*customers, products, orders"):
        FileSource(customers(tmp_path, 1), stream="custmers")
    with pytest.raises(BadInput, match="There is no file"):
        FileSource(tmp_path / "absent.csv", stream="customers")


async def test_column_that_every_row_needs_is_missed_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,placed_at,currency,sum\n")
    with pytest.raises(Abort, match=r"orders\.csv, line 1: orders need total; the columns are"):
        await FileSource(path).check()


async def test_column_of_a_type_that_cannot_be_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    pq.write_table(pa.table({"id": ["1"], "price": pa.array([[1]])}), path)
    with pytest.raises(Abort, match=r"column 'price' is list.*products takes a number"):
        await FileSource(path).check()


async def test_value_of_a_type_that_cannot_be_is_refused_with_line_and_column(
    tmp_path: Path,
) -> None:
    path = tmp_path / "products.csv"
    path.write_text("id,price,colour\n1,9.99,red\n2,cheap,\n")
    taken, refused = deliveries_of(await read(FileSource(path), "products.csv"))
    assert isinstance(taken, Received)
    assert taken.record.attributes == {"colour": "red"}
    assert isinstance(refused, Refused)
    assert (refused.place, refused.path, refused.key) == ("products.csv, line 3", "price", "2")


async def test_lists_in_cells_are_json(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text('id;emails;handles\n1;"[""a@example.com""]";"{""bluesky"":""a""}"\n2;a,b;\n')
    taken, refused = deliveries_of(await read(FileSource(path), "customers.csv"))
    assert isinstance(taken, Received)
    assert getattr(taken.record, "emails", None) == ["a@example.com"]
    assert getattr(taken.record, "handles", None) == {"bluesky": "a"}
    assert isinstance(refused, Refused)
    assert refused.path == "emails"


async def test_reading_resumes_after_any_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "PAGE_RECORDS", 3)
    path = customers(tmp_path, 8)
    pages = await read(FileSource(path), path.name)
    assert [len(page.deliveries) for page in pages] == [3, 3, 2]
    for index, page in enumerate(pages[:-1]):
        rest = await read(FileSource(path), path.name, page.cursor)
        assert deliveries_of(rest) == deliveries_of(pages[index + 1 :])


@pytest.mark.parametrize("is_mapped", [False, True])
async def test_rows_of_a_file_that_is_read_anew_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_mapped: bool
) -> None:
    monkeypatch.setattr(file, "PAGE_RECORDS", 3)
    path = customers(tmp_path, 8)
    if is_mapped:
        held = "when = [{ column = 'id', one_of = ['1', '2', '3', '4', '5', '6'] }]"
        text = f"[[record]]\nstream = 'customers'\n{held}\n[record.columns]\nid = 'id'\n"
        source = FileSource(path, file_map=parse_map(text.encode()))
    else:
        source = FileSource(path)
    first = (await read(source, path.name))[0]
    for cursor in (first.cursor, None, first.cursor):
        await read(source, path.name, cursor)
        assert (source.tally.rows, source.tally.untaken) == (8, 2 * is_mapped)


async def test_run_that_takes_up_a_file_counts_the_rows_that_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "PAGE_RECORDS", 3)
    path = customers(tmp_path, 8)
    first = (await read(FileSource(path), path.name))[0]
    source = FileSource(path)
    for _ in range(2):
        await read(source, path.name, first.cursor)
        assert source.tally.rows == 5


async def test_finished_file_is_read_again_only_where_it_is_asked_or_has_changed(
    tmp_path: Path,
) -> None:
    path = customers(tmp_path, 2)
    (page,) = await read(FileSource(path), path.name)
    assert await read(FileSource(path), path.name, page.cursor) == []
    again = await read(FileSource(path, reads_again=True), path.name, page.cursor)
    assert keys(deliveries_of(again)) == ["0", "1"]
    customers(tmp_path, 3)
    assert len(deliveries_of(await read(FileSource(path), path.name, page.cursor))) == 3


async def test_changed_file_never_resumes_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "PAGE_RECORDS", 3)
    path = customers(tmp_path, 8)
    first, *_ = await read(FileSource(path), path.name)
    customers(tmp_path, 9)
    assert len(deliveries_of(await read(FileSource(path), path.name, first.cursor))) == 9


async def test_same_file_read_as_another_stream_starts_over(tmp_path: Path) -> None:
    path = customers(tmp_path, 2)
    (page,) = await read(FileSource(path), path.name)
    source = FileSource(path, stream="products")
    assert len(deliveries_of(await read(source, path.name, page.cursor))) == 2


async def test_file_of_bytes_fails_as_its_source(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(b"id\xff\n1\n")
    with pytest.raises(Abort, match="byte 0xFF at offset 2"):
        await read(FileSource(path), path.name)
