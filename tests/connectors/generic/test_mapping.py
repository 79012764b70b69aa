"""A map makes canonical records of foreign rows, and says where it is wrong."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cdp.delivery import Delivery, Received, Refused
from cdp.errors import BadInput
from connectors.generic import mapping
from connectors.generic.items import Row
from connectors.generic.map_file import parse_map, read_map
from connectors.generic.mapping import Mapper, Tally, mapped_again

LINES = """
[[record]]
stream = "customers"
once = true
when = [{ column = "who", given = true }]
[record.columns]
id = "who"

[[record]]
stream = "orders"
group_by = ["invoice"]
when = [{ sum = ["n", "price"], above = 0 }]
[record.columns]
id = "invoice"
customer_id = "who"
placed_at = "at"
currency = { constant = "GBP" }
total = { sum = ["n", "price"] }
[record.lines]
product_id = "what"
quantity = "n"
unit_price = "price"
"""


def a_map(columns: str, stream: str = "customers") -> str:
    return f'[[record]]\nstream = "{stream}"\n[record.columns]\n{columns}'


def deliveries(
    text: str, *rows: Mapping[str, object], tally: Tally | None = None
) -> list[Delivery]:
    items = [Row(number, values) for number, values in enumerate(rows, 2)]
    mapper = Mapper(parse_map(text.encode()), "f.csv, line ", tally or Tally())
    return list(mapper.deliveries(items))


def record(text: str, row: Mapping[str, object]) -> Mapping[str, object]:
    (delivery,) = deliveries(text, row)
    assert isinstance(delivery, Received), delivery
    built: Mapping[str, object] = msgspec.structs.asdict(delivery.record)
    return {name: value for name, value in built.items() if value not in (None, [], {})}


def a_line(invoice: str, who: object = "c1", n: int = 1, price: float = 2.5) -> dict[str, object]:
    at = "2024-05-01T09:00:00+00:00"
    return {"invoice": invoice, "who": who, "n": n, "price": price, "what": "p1", "at": at}


@pytest.mark.parametrize(
    ("spec", "cell", "expected"),
    [
        ('"c"', " 7 ", "7"),
        ('"c"', 13085.0, "13085"),
        ('{ column = "c", decimals = 0 }', "13085.0", "13085"),
        ('{ column = "c", prefix = "till-" }', 7, "till-7"),
        ('{ column = "c", replace = { a = "b" } }', "a", "b"),
        ('{ column = "c", replace = { a = "b" } }', "x", "x"),
        ('{ constant = "k" }', "", "k"),
    ],
)
def test_text_is_taken_as_the_map_says(spec: str, cell: object, expected: str) -> None:
    assert record(a_map(f"id = {spec}"), {"c": cell})["id"] == expected


@pytest.mark.parametrize(
    ("options", "cell", "expected"),
    [
        ("", "19.90", Decimal("19.90")),
        (", decimals = 3", "145.79999999999998", Decimal("145.800")),
        (", decimals = 2", 2.675, Decimal("2.68")),
        (", negate = true", "-3.10", Decimal("3.10")),
    ],
)
def test_numbers_are_exact(options: str, cell: object, expected: Decimal) -> None:
    text = a_map(f'id = "i"\nprice = {{ column = "c"{options} }}', "products")
    assert record(text, {"i": "1", "c": cell})["price"] == expected


@pytest.mark.parametrize("cell", ["1.234,50", "1 234,5", "1'234,50", 1234.5])
def test_decimal_comma_is_read_wherever_there_is_a_number(cell: object) -> None:
    text = "decimal_comma = true\n" + a_map('id = "i"\nprice = { sum = ["c"] }', "products")
    for spec in ('{ sum = ["c"] }', '"c"', '{ column = "c", decimals = 2 }'):
        found = record(text.replace('{ sum = ["c"] }', spec), {"i": "1", "c": cell})
        assert found["price"] == Decimal("1234.5")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ann Smith", {"first_name": "Ann", "last_name": "Smith"}),
        ("Smith, Ann Mary", {"first_name": "Ann Mary", "last_name": "Smith"}),
        ("Ludwig van Beethoven", {"first_name": "Ludwig", "last_name": "van Beethoven"}),
        ("Ann", {"first_name": "Ann"}),
    ],
)
def test_name_is_split(name: str, parts: Mapping[str, str]) -> None:
    text = a_map(
        'id = "i"\nfirst_name = { column = "n", split = "first_name" }\n'
        'last_name = { column = "n", split = "last_name" }'
    )
    found = record(text, {"i": "1", "n": name})
    assert {key: found[key] for key in ("first_name", "last_name") if key in found} == parts


def test_time_is_read_in_its_format_and_zone() -> None:
    text = 'timezone = "Europe/London"\n' + a_map(
        'id = "i"\nbirth_date = { column = "b", format = "%d.%m.%Y" }\n'
        'created_at = { column = "t", format = "%m/%d/%y %H:%M" }\n'
        'updated_at = { column = "u", timezone = "America/New_York" }'
    )
    found = record(text, {"i": "1", "b": "02.01.1980", "t": "7/1/10 7:45", "u": "2010-07-01 07:45"})
    assert found["birth_date"] == date(1980, 1, 2)
    assert found["created_at"] == datetime(2010, 7, 1, 6, 45, tzinfo=UTC)
    assert found["updated_at"] == datetime(2010, 7, 1, 11, 45, tzinfo=UTC)


def test_time_of_another_format_is_refused_with_column_and_line() -> None:
    text = a_map('id = "i"\nbirth_date = { column = "b", format = "%d.%m.%Y" }')
    (refused,) = deliveries(text, {"i": "1", "b": "31.02.1980"})
    assert isinstance(refused, Refused)
    assert (refused.key, refused.path, refused.place) == ("1", "birth_date", "f.csv, line 2")
    assert "31.02.1980" in refused.reason


@pytest.mark.parametrize("cell", ['{"crm": "7"}', {"crm": "7"}])
def test_object_may_be_json_inside_a_cell(cell: object) -> None:
    text = a_map('id = "i"\nexternal_ids = "e"')
    assert record(text, {"i": "1", "e": cell})["external_ids"] == {"crm": "7"}
    assert "external_ids" not in record(text, {"i": "1", "e": ""})


def test_cell_that_should_be_json_and_is_not_is_refused_with_its_column() -> None:
    (refused,) = deliveries(a_map('id = "i"\nexternal_ids = "e"'), {"i": "1", "e": "{7"})
    assert isinstance(refused, Refused)
    assert (refused.key, refused.path) == ("1", "external_ids")
    assert "not JSON" in refused.reason


def test_attributes_are_named_apart() -> None:
    text = a_map('id = "i"') + '\n[record.attributes]\nshoe_size = "s"'
    assert record(text, {"i": "1", "s": 43})["attributes"] == {"shoe_size": "43"}


def test_lines_of_one_invoice_become_one_order_though_others_stand_between() -> None:
    tally = Tally()
    rows = [a_line("A", n=2), a_line("B", None), a_line("A", price=1.1), a_line("C", None, 5, 0)]
    customer, second, first = deliveries(LINES, *rows, tally=tally)
    assert isinstance(customer, Received)
    assert isinstance(first, Received)
    assert isinstance(second, Received)
    order: Mapping[str, object] = msgspec.structs.asdict(first.record)
    assert (order["id"], order["total"], order["customer_id"]) == ("A", Decimal("6.1"), "c1")
    assert msgspec.json.decode(first.payload) == [rows[0], rows[2]]
    assert first.place == "f.csv, line 2"
    assert len(getattr(first.record, "lines", [])) == 2
    assert second.record.key == "B"
    # The invoice over nothing gave no record; A's lines gave the customer once.
    assert (tally.rows, tally.untaken) == (4, 1)


def test_rows_of_an_invoice_too_far_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "GROUP_WINDOW_ROWS", 2)
    rows = [a_line(name, None) for name in "ABCDA"]
    found = deliveries(LINES, *rows)
    refused = [delivery for delivery in found if isinstance(delivery, Refused)]
    assert len(found) == 5
    assert [(one.stream, one.path, one.place) for one in refused] == [
        ("orders", "invoice", "f.csv, line 6")
    ]
    assert "sort the file by invoice" in refused[0].reason


def test_kept_payloads_are_mapped_again_alone() -> None:
    file_map = parse_map(LINES.encode())
    (order,) = mapped_again([a_line("A"), a_line("A")], "orders", file_map, "f.csv, line 2")
    assert isinstance(order, Received)
    assert getattr(order.record, "total", None) == Decimal("5.0")
    (customer,) = mapped_again(a_line("A"), "customers", file_map, "f.csv, line 2")
    assert isinstance(customer, Received)
    assert mapped_again("no row", "customers", file_map, "") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "record"),
        ("[[record]]\nstream = 'custmers'\ncolumns = {}", r"record\[0\].stream: there is no"),
        (a_map("email = 'e'"), r"record\[0\].columns: customers need id"),
        (a_map("id = 'i'\nemial = 'e'"), r"record\[0\].columns: there is no column 'emial'"),
        (a_map("id = { column = 'i', colum = 'j' }"), r"record\[0\].columns.id: .*'colum' here"),
        (a_map("id = { column = 'i', constant = 1 }"), r"columns.id: give exactly one of"),
        (
            a_map("id = { column = 'i', decimals = 'x' }"),
            r"columns.id.decimals: 'x' is not a whole",
        ),
        (a_map("id = { column = 'i', timezone = 'Mars/Base' }"), "'Mars/Base' is not a time zone"),
        ("when = 1\n" + a_map("id = 'i'"), "top level: .*'when' here"),
        (
            a_map("id = 'i'").replace("[record.c", "when = [{ column = 'a' }]\n[record.c"),
            r"record\[0\].when\[0\]: give column or sum",
        ),
        *(
            (a_map(f"id = {{ column = 'i', format = '{wrong}' }}"), f"id.format: '{wrong}' is no")
            for wrong in ("%Q%", "%d.%d.%Y", "%Y%")
        ),
        ("[[record", "is not TOML"),
        ("a = " + "9" * 5_000, "is not TOML"),
        ("a = " + "[" * 20_000 + "]" * 20_000, "nested too deep"),
        (".".join("a" * 20_000) + " = 1", "more than 1000 dots"),
        ("[" + ".".join("a" * 1_000) + "]", "top level"),
        (a_map("id = " + "[" * 300 + "]" * 300), "columns.id"),
        ("#" * 70_000, "longer than 65536 bytes"),
    ],
    ids=lambda given: given[:40],
)
def test_mistake_in_a_map_is_refused_at_its_place(text: str, place: str) -> None:
    with pytest.raises(BadInput, match=place):
        parse_map(text.encode())


@pytest.mark.parametrize(
    "pattern", ["%d.%m.%Y %H:%M", "%Y-%m-%dT%H:%M:%S.%f%z", "%x %X", "%G %V %u"]
)
def test_format_of_a_time_is_taken(pattern: str) -> None:
    parse_map(a_map(f"id = 'i'\ncreated_at = {{ column = 'c', format = '{pattern}' }}").encode())


def test_map_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)  # of which nothing takes a place on the disk
    with pytest.raises(BadInput, match=r"map\.toml is longer than"):
        read_map(path)
