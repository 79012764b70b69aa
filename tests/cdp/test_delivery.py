"""The edge: what cannot be stored is refused with its reason, and what is meant is understood."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.delivery import Batch, Deleted, Received, Refused, receive
from cdp.identity.normalise import MAX_WORD
from cdp.ingest import apply
from cdp.records import CustomerRecord, OrderRecord, line_key, split_line_key
from cdp.tables import customer, dead_letter
from tests.cdp.ingesting import WORKSPACE, a_source, drop

pytestmark = pytest.mark.anyio

Row = Mapping[str, object]

ORDER = {"id": "o", "placed_at": "2024-06-01T10:00:00Z", "currency": "EUR", "total": "50"}
LINE = {"quantity": 1, "unit_price": "5"}
ENTRY = {"id": "e", "kind": "earn", "points": 5, "occurred_at": "2024-06-01T10:00:00Z"}
REFUND = {
    "id": "r", "order_id": "o", "refunded_at": "2024-06-01T10:00:00Z", "amount": "5",
    "currency": "EUR",
}  # fmt: skip
RATE = {"on": "2024-06-01", "currency": "USD", "base": "EUR", "rate": "0.9"}


def letters(count: int, *, first: int) -> str:
    """Letters that no compression makes short: of an index entry PostgreSQL compresses the text."""
    some = random.Random(count)
    return "".join(chr(first + some.randrange(5000)) for _ in range(count))


CJK, ASTRAL = 0x4E00, 0x20000
LIKE = {"id": "i", "kind": "like", "occurred_at": "2024-06-01T10:00:00Z"}
SENT = {"id": "m", "kind": "sent", "occurred_at": "2024-06-01T10:00:00Z"}

POISON: list[tuple[str, Row, str]] = [
    ("customers", {"id": "a\0b"}, "id"),
    ("customers", {"id": "a\ud800b"}, "id"),
    ("customers", {"id": "1", "emails": 5, "odd\0name": "a\udc00"}, "emails"),
    ("loyalty_entries", {**ENTRY, "points": 10**30}, "points"),
    ("loyalty_entries", {**ENTRY, "points": -(10**16)}, "points"),
    ("orders", {**ORDER, "total": "1E-20000"}, "total"),
    ("orders", {**ORDER, "total": "0E-20000"}, "total"),
    ("orders", {**ORDER, "total": "0E+20000"}, "total"),
    ("orders", {**ORDER, "total": "1." + "1" * 20_000}, "total"),
    ("orders", {**ORDER, "total": "1E+15"}, "total"),
    ("orders", {**ORDER, "total": "NaN"}, "total"),
    ("orders", {**ORDER, "total": "sNaN"}, "total"),
    ("orders", {**ORDER, "total": "-Infinity"}, "total"),
    ("orders", {**ORDER, "lines": [{**LINE, "quantity": "1E-99"}]}, "lines[0].quantity"),
    ("order_lines", {**LINE, "order_id": "\U0001f600" * 512, "line": "\U0001f680" * 512}, "line"),
    ("orders", {**ORDER, "id": ":" * 512, "lines": [{**LINE, "line": ":" * 512}]}, "lines[0].line"),
    ("customers", {"id": "1", "handles": {letters(1500, first=CJK): "ann"}}, "handles"),
    ("customers", {"id": "1", "external_ids": {letters(1500, first=CJK): "7"}}, "external_ids"),
    (
        "interactions",
        {**LIKE, "network": letters(512, first=ASTRAL), "handle": letters(320, first=ASTRAL)},
        "handle",
    ),
    (
        "messages",
        {**SENT, "channel": letters(512, first=ASTRAL), "handle": letters(320, first=ASTRAL)},
        "handle",
    ),
    ("refunds", {**REFUND, "amount": "-0.01"}, "amount"),
    ("orders", {**ORDER, "currency": "EUR\n"}, "currency"),
    ("customers", {"id": "1", "country": "GB\n"}, "country"),
    ("exchange_rates", {**RATE, "rate": "0"}, "rate"),
    ("exchange_rates", {**RATE, "rate": "-1"}, "rate"),
]


async def test_poison_is_refused_and_its_page_is_stored(connection: AsyncConnection) -> None:
    good = receive("orders", ORDER)
    deliveries = [receive(stream, row, place="a\udcff\0b") for stream, row, _ in POISON]
    assert [one.path for one in deliveries if isinstance(one, Refused)] == [
        path for _, _, path in POISON
    ]
    batch = Batch(await a_source(connection), [good, *deliveries])
    applied = await apply(connection, batch, WORKSPACE)
    assert (applied.new, applied.refused) == (1, len(POISON))
    letters = await connection.execute(
        select(dead_letter.c.key, dead_letter.c.place).order_by(dead_letter.c.id).limit(2)
    )
    assert letters.all() == [(r"a\x00b", r"a\udcff\x00b"), (r"a\ud800b", r"a\udcff\x00b")]


async def test_longest_names_and_keys_are_stored_with_their_page(
    connection: AsyncConnection,
) -> None:
    longest = letters(512, first=ASTRAL)
    name = "\u3300" * 512  # each letter is five when it is folded
    person = {"id": longest, "first_name": longest, "last_name": name, "loyalty_card": longest}
    rows: list[tuple[str, Row]] = [
        ("customers", person),
        (
            "customers",
            {"id": "1", "handles": {letters(300, first=CJK): letters(320, first=ASTRAL)}},
        ),
        ("customers", {"id": "2", "external_ids": {letters(300, first=CJK): longest[:320]}}),
        ("orders", {**ORDER, "id": longest, "customer_id": longest}),
        ("order_lines", {**LINE, "order_id": longest, "line": "1", "sku": longest}),
        ("refunds", {**REFUND, "order_id": longest}),
        ("loyalty_entries", {**ENTRY, "order_id": longest, "customer_id": longest}),
        ("messages", {**SENT, "id": longest, "channel": longest, "handle": "a" * 320}),
        ("interactions", {**LIKE, "network": longest, "anonymous_id": longest}),
    ]
    deliveries = [receive(stream, row) for stream, row in rows]
    applied = await apply(connection, Batch(await a_source(connection), deliveries), WORKSPACE)
    assert (applied.new, applied.refused) == (len(rows), 0)
    words = await connection.scalars(select(func.unnest(func.tsvector_to_array(customer.c.search))))
    assert set(words) >= {longest[:MAX_WORD], ("\u30a2\u30cf\u309a\u30fc\u30c8" * 512)[:MAX_WORD]}


def test_a_blank_says_as_little_as_an_empty_text() -> None:
    blank = receive("customers", {"id": "1", "full_name": "  ", "city": "\u00a0\t", "shoe": " "})
    empty = receive("customers", {"id": "1", "full_name": "", "city": None})
    assert isinstance(blank, Received)
    assert isinstance(empty, Received)
    assert (blank.record, blank.digest) == (empty.record, empty.digest)


@pytest.mark.parametrize(
    "payload", [b'{"id": "\xff"}', b"{'id': 1}", b"", b'{"id": NaN}', b'"\x00"', b"[" * 5000]
)
async def test_a_payload_that_is_no_json_is_refused_and_shown(
    connection: AsyncConnection, payload: bytes
) -> None:
    refused = receive("orders", ORDER, payload=payload)
    assert isinstance(refused, Refused)
    assert json.loads(refused.payload) == payload.decode("utf-8", "backslashreplace")
    deliveries = [refused, Refused("orders", None, "Too early.", "", payload, "elsewhere")]
    applied = await apply(connection, Batch(await a_source(connection), deliveries), WORKSPACE)
    assert applied.refused == 2


async def test_a_version_beyond_64_bits_is_refused() -> None:
    assert isinstance(receive("orders", ORDER, vendor_version=2**70), Refused)
    assert isinstance(receive("orders", ORDER, vendor_version=2**63 - 1), Received)


async def test_a_record_nested_too_deeply_is_refused() -> None:
    nested: object = "a\0b"
    for _ in range(900):
        nested = [nested]
    assert isinstance(receive("orders", {**ORDER, "deep": nested}), Refused)


async def test_the_most_exact_amounts_are_taken_as_they_are(connection: AsyncConnection) -> None:
    amounts = ["999999999999999." + "9" * 30, "-0.01", "1E+14", "0." + "0" * 29 + "1", "0"]
    rows = [{**ORDER, "id": amount, "total": amount} for amount in amounts]
    deliveries = [receive("orders", row) for row in rows]
    applied = await apply(connection, Batch(await a_source(connection), deliveries), WORKSPACE)
    assert applied.new == len(amounts)


async def test_whole_numbers_are_text_wherever_text_is_wanted() -> None:
    taken = receive("orders", {**ORDER, "id": 7, "lines": [{**LINE, "line": 1, "product_id": 55}]})
    assert isinstance(taken, Received)
    assert isinstance(taken.record, OrderRecord)
    [line] = taken.record.lines or []
    assert (taken.record.id, line.line, line.product_id) == ("7", "1", "55")
    assert line.quantity == Decimal(1)
    person = {
        "id": 1, "emails": [1], "phones": [447700900000], "tags": [3, "b"],
        "external_ids": {"crm": 5}, "handles": {"x": 6},
    }  # fmt: skip
    taken = receive("customers", person)
    assert isinstance(taken, Received)
    assert isinstance(taken.record, CustomerRecord)
    assert (taken.record.phones, taken.record.tags) == (["447700900000"], ["3", "b"])
    assert (taken.record.external_ids, taken.record.handles) == ({"crm": "5"}, {"x": "6"})
    for row in ({"id": True}, {"id": 10**2000}, {"id": "1", "tags": [False]}):
        assert isinstance(receive("customers", row), Refused)


@pytest.mark.parametrize("names", [("1", "1"), ("2", None), (2, "2")])
async def test_an_order_with_two_lines_of_one_name_is_refused(names: tuple[object, object]) -> None:
    lines = [{**LINE, **({} if name is None else {"line": name})} for name in names]
    refused = receive("orders", {**ORDER, "lines": lines})
    assert isinstance(refused, Refused)
    assert repr(str(names[0])) in refused.reason
    assert refused.path == "lines[1]"


@pytest.mark.parametrize(
    ("order_id", "line"), [("a:1", "2"), ("a", "1:2"), ("%3A", ":"), ("%253A", "%"), ("a", "b")]
)
async def test_the_key_of_a_line_tells_its_order_and_its_name(order_id: str, line: str) -> None:
    assert split_line_key(line_key(order_id, line)) == (order_id, line)
    assert line_key("a:1", "2") != line_key("a", "1:2")


async def test_a_line_deleted_before_it_was_seen_is_known_by_its_keys(
    connection: AsyncConnection,
) -> None:
    key = line_key("gid:a", "gid:7")
    gone = Deleted("order_lines", key, datetime(2024, 7, 1, tzinfo=UTC))
    assert (await drop(connection, gone)).new == 1


@pytest.mark.parametrize(
    ("kind", "score", "scale", "path"),
    [
        ("nps", "87", None, "score"),
        ("nps", "-4", None, "score"),
        ("nps", "101", "100", "score"),
        ("csat", "9", None, "score"),
        ("csat", "0", "5", "score"),
        ("review", "0", None, "score"),
        ("ces", "8", None, "score"),
        ("csat", "1", "0", "scale"),
    ],
)
def test_a_score_off_its_scale_is_refused(
    kind: str, score: str, scale: str | None, path: str
) -> None:
    row = {"id": "1", "kind": kind, "given_at": "2024-03-01T10:00:00Z", "score": score}
    refused = receive("feedback", {**row, "scale": scale})
    assert isinstance(refused, Refused)
    assert refused.path == path
    assert (score if path == "score" else "0") in refused.reason
    assert isinstance(receive("feedback", {**row, "score": "3", "scale": "100"}), Received)
    assert isinstance(receive("feedback", {**row, "score": "0", "scale": "100"}), Received)
