"""A JSON line read in one step is the record that its row gives, or is left to the row."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.delivery import Received, Refused, receive, receive_line

PLAIN: dict[str, dict[str, object]] = {
    "customers": {
        "id": "c1",
        "email": "ann@example.com",
        "emails": ["ann@example.org"],
        "first_name": "Änne",
        "birth_date": "1990-02-28",
        "country": "de",
        "email_verified": True,
        "handles": {"bluesky": "ann.example.com"},
        "updated_at": "2026-01-02T03:04:05-05:00",
    },
    "orders": {
        "id": "o1",
        "placed_at": "2026-01-02T03:04:05Z",
        "currency": "EUR",
        "total": 59.8,
        "tax": "9.50",
        "lines": [{"quantity": 2, "unit_price": 29.9, "title": "Beans"}],
    },
    "messages": {
        "id": "m1",
        "channel": "email",
        "kind": "opened",
        "occurred_at": "2026-01-02T03:04:05Z",
        "email": "ann@example.com",
    },
    "loyalty_entries": {
        "id": "l1",
        "kind": "earn",
        "points": 20,
        "occurred_at": "2026-01-02T03:04:05Z",
    },
    "interactions": {
        "id": "i1",
        "kind": "page_view",
        "occurred_at": "2026-01-02T03:04:05Z",
        "properties": {"seconds": 1.5, "tabs": ["x"]},
    },
}  # fmt: skip

NUMBERS = (
    "0 -0 7 -7 12.5 12.50 5.0 5.00 0.1 1e3 1E-7 0.00001 0.30000000000000004 12345678901234567.8"
    " 123456789012345678901 1e400 true false null"
).split()
TEXTS = (
    '"" " " "  x" "\\t" "\\u00a0" "\u2003" "\u2003x" "x" "\\u0000" "\\ud800" "12.50" "1e3" "-0" "7"'
    ' "2026-01-02" "2026-01-02T03:04:05" "2026-01-02T03:04:05Z" "0001-01-01T00:00:00Z" "EUR" "true"'
    ' "null" "say \\"\\"" "\\"" "NaN" "1767323045" "é"'
).split(" ")
OTHERS = ['{}', '[]', '["x", ""]', '[null]', '{"a": ""}', '{"a": " "}', '{"a": null}']  # fmt: skip
VALUES = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS])


def by_row(stream: str, line: bytes) -> Received | Refused | None:
    """What is made of the line's row: a record, a refusal, or nothing where it is no JSON."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return receive(stream, row, payload=line, place="x, line 1")


@pytest.mark.parametrize("stream", sorted(PLAIN.keys() - {"orders"}))
def test_a_plain_line_is_read_in_one_step(stream: str) -> None:
    line = msgspec.json.encode(PLAIN[stream])
    assert receive_line(stream, line, "x, line 1") == by_row(stream, line)


def test_amounts_are_left_to_the_row() -> None:
    assert receive_line("orders", msgspec.json.encode(PLAIN["orders"]), "x, line 1") is None


@given(data=st.data(), stream=st.sampled_from(list(PLAIN)))
def test_whatever_stands_in_a_line_it_is_the_record_of_its_row(
    data: st.DataObject, stream: str
) -> None:
    cells = [(f'"{name}"', msgspec.json.encode(value).decode()) for name, value in
             PLAIN[stream].items()]  # fmt: skip
    names = st.sampled_from([name for name, _ in cells] + ['"size"', '"attributes"', '"email"'])
    for _ in range(data.draw(st.integers(1, 3))):
        name, value = data.draw(names), data.draw(VALUES)
        place = data.draw(st.integers(0, len(cells)))
        kept = [cell for cell in cells if cell[0] != name or data.draw(st.booleans())]
        cells = [*kept[:place], (name, value), *kept[place:]]
    gap = data.draw(st.sampled_from(["", " ", "  "]))
    body = f",{gap}".join(f"{name}{gap}:{gap}{value}" for name, value in cells)
    line = f"{{{body}}}".encode()
    known = by_row(stream, line)
    assert receive_line(stream, line, "x, line 1") in (None, known)


@pytest.mark.parametrize(
    "line", [b'{"id": "c1", "city": "\xff"}', b'{"id": 7}', b"[]", b"{", b'{"id": "c1"} x']
)
def test_what_is_no_plain_record_is_left_to_the_row(line: bytes) -> None:
    assert receive_line("customers", line, "x, line 1") is None


def test_a_line_that_is_no_utf_8_is_refused_by_its_row() -> None:
    line = b'{"id": "c1", "city": "\xff"}'
    assert not isinstance(by_row("customers", line), Received)
