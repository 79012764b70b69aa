"""What cannot be taken is told in our own words: where, what was given, what to write."""

from collections.abc import Mapping

import pytest

from cdp.delivery import Refused, receive
from cdp.errors import BadInput
from cdp.identity.rules import parse_rules
from cdp.loyalty.programme import parse_programme
from cdp.records import STREAMS

ORDER = {"id": "o", "placed_at": "2024-06-01T10:00:00Z", "currency": "EUR", "total": "50"}
ENTRY = {"id": "e", "kind": "earn", "points": 5, "occurred_at": "2024-06-01T10:00:00Z"}
MOMENT = "Write 2026-01-31T12:00:00Z, with Z or an offset."

REFUSED: list[tuple[str, Mapping[str, object], str, str]] = [
    ("orders", {**ORDER, "placed_at": "2024-06-01"}, "placed_at",
     f"'2024-06-01' is not a moment. {MOMENT}"),
    ("orders", {**ORDER, "placed_at": "2024-06-01T10:00:00"}, "placed_at",
     f"'2024-06-01T10:00:00' is not a moment. {MOMENT}"),
    ("orders", {**ORDER, "placed_at": 5}, "placed_at", f"5 is not a moment. {MOMENT}"),
    ("orders", {**ORDER, "updated_at": 1.5}, "updated_at", f"1.5 is not a moment. {MOMENT}"),
    ("orders", {**ORDER, "placed_at": "20240601"}, "placed_at",
     f"'20240601' is not a moment. {MOMENT}"),
    ("orders", {**ORDER, "total": "1.234,56"}, "total",
     "'1.234,56' is not a decimal number. Write 1234.56."),
    ("orders", {**ORDER, "total": ""}, "total", "There is no total. Give one: it is required."),
    ("orders", {**ORDER, "currency": "euro"}, "currency",
     "'euro' is not a currency. Write the three letters of ISO 4217, such as EUR."),
    ("orders", {**ORDER, "lines": "x"}, "lines",
     "'x' is not a list. In a cell, write it as JSON: [...]."),
    ("orders", {**ORDER, "lines": [{"quantity": 1}]}, "lines[0].unit_price",
     "There is no unit_price. Give one: it is required."),
    ("orders", {**ORDER, "lines": [{"quantity": "a", "unit_price": 1}]}, "lines[0].quantity",
     "'a' is not a decimal number. Write 1234.56."),
    ("customers", {"id": "1", "country": "Germany"}, "country",
     "'Germany' is not a country. Write the two letters of ISO 3166, such as DE."),
    ("customers", {"id": "1", "birth_date": "31.12.1980"}, "birth_date",
     "'31.12.1980' is not a date. Write 2026-01-31."),
    ("customers", {"id": "1", "email_verified": "maybe"}, "email_verified",
     "'maybe' is neither true nor false. Write one of the two."),
    ("customers", {"id": "1", "city": "x" * 600}, "city",
     f"'{'x' * 79}... has 600 characters. 512 are the most."),
    ("customers", {"id": "1", "handles": {"bluesky": []}}, "handles[...]",
     "What is given is not text. Write it in quotes."),
    ("customers", {"id": "1", "shoe": "a\0"}, "shoe", "Text holds a NUL character. Leave it out."),
    ("loyalty_entries", {**ENTRY, "kind": "gift"}, "kind",
     "'gift' is none of what there is. There are: adjust, earn, expire, redeem."),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "row", "path", "reason"), REFUSED)
def test_a_refusal_says_which_column_what_was_given_and_what_to_write(
    stream: str, row: Mapping[str, object], path: str, reason: str
) -> None:
    refused = receive(stream, row)
    assert isinstance(refused, Refused)
    assert (refused.path, refused.reason) == (path, reason)


@pytest.mark.parametrize("stream", STREAMS)
def test_no_column_of_any_stream_is_refused_in_the_words_of_the_library(stream: str) -> None:
    for column in STREAMS[stream].__struct_fields__:
        refused = receive(stream, {column: {"a": {"b": [()]}}})
        assert isinstance(refused, Refused)
        assert "`" not in refused.reason
        assert refused.reason.endswith(".")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("most_holders = 0", "most_holders: 0 is not a whole number from 1 to 1,000,000."),
        ("most_holder = 3", "There is no 'most_holder' here. There are: most_persons_per"),
        ("[linkage]\njoin_weight = 'x'", "linkage.join_weight: 'x' is not a number from -1,000"),
    ],
)
def test_rules_are_refused_in_the_same_words(text: str, told: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_rules(text)
    assert refusal.value.message.startswith(f"The rules cannot be taken: {told}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind = 'gift'", "earn[0].kind: 'gift' is none of what there is. There are: spend, cat"),
        ("kind = 'birthday'\npoints = 'x'", "earn[0].points: 'x' is not a whole number"),
        (
            "kind = 'birthday'\npoints = 1\nday = 3",
            "earn[0]: There is no 'day' here. There are: name, points.",
        ),
    ],
)
def test_a_programme_is_refused_in_the_words_of_the_rule_that_was_meant(
    text: str, told: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_programme(f"name = 'Club'\n[[earn]]\nname = 'one'\n{text}")
    assert refusal.value.message.startswith(f"The programme cannot be taken: {told}")
