"""Pages of customers: one total order whatever the page, cursors, search, and the indexes."""

import base64
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import ColumnElement, Text, cast, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import open_database
from cdp.errors import BadInput, Forbidden
from cdp.filters import predicate
from cdp.keyset import (
    DEFAULT_SIZE,
    MAX_ORDERS,
    SORT_FIELDS,
    Direction,
    Order,
    Ordering,
    Page,
    read_cursor,
    read_ordering,
    read_page,
    write_cursor,
)
from cdp.query import (
    MAX_SEARCH,
    MAX_SEARCH_WORDS,
    count_customers,
    present,
    search,
    select_customers,
)
from tests.cdp.builders import NOW, WORKSPACE, a_customer, a_profile, an_identifier, days_ago
from tests.server import Server

pytestmark = pytest.mark.anyio

SCOPE = present(NOW, WORKSPACE)


def ordering(*orders: tuple[str, str], about: object = None) -> Ordering:
    return read_ordering(
        [Order(field, Direction(direction)) for field, direction in orders],
        about=about,
        may_see_personal=True,
    )


async def fetch(connection: AsyncConnection, order: Ordering, page: Page) -> list[tuple[int, str]]:
    """Id and cursor of each customer of a page, in the order in which they are shown."""
    columns = [SCOPE.customer.c.id, write_cursor(order, SCOPE)]
    query = select_customers(columns, SCOPE, where=[], ordering=order, page=page)
    rows = [(row[0], row[1]) for row in await connection.execute(query)]
    return rows[::-1] if page.is_backward else rows


def _hours_earlier(moment: datetime | None, hours: int) -> datetime | None:
    return None if moment is None else moment - timedelta(hours=hours)


async def many_people(connection: AsyncConnection) -> None:
    """Sixteen customers, so alike that every sort has equals and nulls."""
    moments = [None, days_ago(3), days_ago(200)]
    for number in range(16):
        await a_customer(
            connection,
            first_name=[None, "Ann", "ann", "Zoë \\'\"", "Ünal"][number % 5],
            birth_date=[None, date(1990, 1, 31)][number % 2],
            country=["DE", None, "GB"][number % 3],
            order_count=number % 4,
            order_day_count=number % 3,
            gross_spend=Decimal(number % 4) / 3,
            first_order_at=moments[number % 3],
            last_order_at=_hours_earlier(moments[number % 3], number % 5),
            first_order_on=moments[number % 3],
            last_order_on=moments[number % 3],
            created_at=days_ago(number % 3),
            favourite_category=[None, "shoes"][number % 2],
        )


@pytest.fixture(scope="module")
def peoples_url(server: Server, template: str) -> Iterator[str]:
    """The URL of a database of theirs alone."""
    with server.copy(template) as url:
        yield url


@pytest.fixture(scope="module")
async def people(peoples_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that sees them, for tests that only read: telling them takes long."""
    async with open_database(peoples_url) as database, database.engine.connect() as connection:
        await many_people(connection)
        yield connection


PAIRS = [
    *([field] for field in SORT_FIELDS),
    ["COUNTRY", "PURCHASES_NET_SPEND"],
    ["RFM_RECENCY_DAYS", "FIRST_NAME", "CREATED_AT"],
    ["PURCHASES_ORDER_COUNT", "RFM_RECENCY_DAYS"],
    ["PURCHASES_ORDER_COUNT", "PURCHASES_LAST_ORDER_AT"],
]


@pytest.mark.parametrize("fields", PAIRS, ids=" ".join)
async def test_pages_in_either_direction_make_up_the_whole_order(
    people: AsyncConnection, fields: Sequence[str]
) -> None:
    for directions in itertools.product(("ASC", "DESC"), repeat=len(fields)):
        order = ordering(*zip(fields, directions, strict=True))
        whole = await fetch(people, order, Page(100))
        assert len(whole) == 16

        forward: list[tuple[int, str]] = []
        while part := await fetch(
            people, order, read_page(order, first=6, after=_end(forward, -1), most=100)
        ):
            forward += part
        assert forward == whole

        backward: list[tuple[int, str]] = []
        while part := await fetch(
            people, order, read_page(order, last=7, before=_end(backward, 0), most=100)
        ):
            backward = part + backward
        assert backward == whole


def _end(rows: Sequence[tuple[int, str]], position: int) -> str | None:
    return rows[position][1] if rows else None


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", ["RFM_RECENCY_DAYS", "PURCHASES_LAST_ORDER_AT", "COUNTRY"])
async def test_nulls_stand_last_in_both_directions(
    connection: AsyncConnection, field: str, direction: str
) -> None:
    nobody = await a_customer(connection)
    for days in (1, 50):
        await a_customer(connection, country=f"D{days}", last_order_at=days_ago(days))
    rows = await fetch(connection, ordering((field, direction)), Page(10))
    assert rows[-1][0] == nobody


async def test_recency_rises_as_the_last_order_falls_back(connection: AsyncConnection) -> None:
    old = await a_customer(connection, last_order_at=days_ago(50))
    new = await a_customer(connection, last_order_at=days_ago(1))
    ids = [
        row[0] for row in await fetch(connection, ordering(("RFM_RECENCY_DAYS", "ASC")), Page(9))
    ]
    assert ids == [new, old]


async def test_those_of_one_recency_are_sorted_by_the_next_field(
    connection: AsyncConnection,
) -> None:
    today = NOW.date()
    spend = {hours: Decimal(amount) for hours, amount in ((1, 20), (2, 30), (3, 10))}
    by_spend = {
        amount: await a_customer(
            connection,
            gross_spend=amount,
            last_order_at=NOW - timedelta(hours=hours),
            last_order_on=today,
        )
        for hours, amount in spend.items()
    }
    old = await a_customer(
        connection, gross_spend=99, last_order_at=days_ago(3), last_order_on=days_ago(3).date()
    )
    nobody = await a_customer(connection)
    falling = [by_spend[amount] for amount in sorted(by_spend, reverse=True)]
    for direction, expected in (
        ("ASC", [*falling, old, nobody]),
        ("DESC", [old, *falling, nobody]),
    ):
        order = ordering(("RFM_RECENCY_DAYS", direction), ("PURCHASES_NET_SPEND", "DESC"))
        rows = await fetch(connection, order, Page(9))
        assert [row[0] for row in rows] == expected
        after = read_page(order, first=9, after=rows[1][1], most=9)
        assert [row[0] for row in await fetch(connection, order, after)] == expected[2:]


async def test_equals_are_told_apart_by_id_in_the_direction_of_the_sort(
    connection: AsyncConnection,
) -> None:
    ids = [await a_customer(connection) for _ in range(3)]
    for direction, expected in (("ASC", ids), ("DESC", ids[::-1])):
        rows = await fetch(connection, ordering(("PURCHASES_NET_SPEND", direction)), Page(9))
        assert [row[0] for row in rows] == expected


async def test_a_cursor_of_another_order_or_filter_is_refused(connection: AsyncConnection) -> None:
    await a_customer(connection)
    mine = ordering(("CREATED_AT", "ASC"), about={"filter": {"country": {"eq": "DE"}}})
    ((_, cursor),) = await fetch(connection, mine, Page(1))
    assert read_cursor(cursor, mine).id > 0
    for other in (
        ordering(("CREATED_AT", "DESC"), about={"filter": {"country": {"eq": "DE"}}}),
        ordering(("CREATED_AT", "ASC"), about={"filter": {"country": {"eq": "GB"}}}),
        ordering(about={"filter": {"country": {"eq": "DE"}}}),
    ):
        with pytest.raises(BadInput, match="belongs to another"):
            read_cursor(cursor, other)


def test_what_is_no_cursor_is_refused() -> None:
    order = ordering(("CREATED_AT", "ASC"), ("PURCHASES_NET_SPEND", "ASC"), ("NAME", "ASC"))
    mark = order.fingerprint
    forged: tuple[object, ...] = (
        [],
        [mark],
        [mark, "1", "1", "x"],
        [mark, "x", "1", "x", "1"],
        [mark, "9" * 30, "1", "x", "1"],
        [mark, str(2**62), "1", "x", "1"],
        [mark, "1", "NaN", "x", "1"],
        [mark, "1", "1e999999999", "x", "1"],
        [mark, "1", "1", "x\0", "1"],
        [mark, "1", "1", "x\ud800", "1"],
        [mark, "1", "1", "x", None],
        [mark, "1", "1", "x", str(2**63)],
        [mark, 1, 1, "x", 1],
        {"a": 1},
    )
    texts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in forged]
    for cursor in ("", "?", "a", "ü", "a" * 30_000, *texts):
        with pytest.raises(BadInput):
            read_cursor(cursor, order)


@pytest.mark.parametrize(
    "asked",
    [
        {"first": -1},
        {"first": 101},
        {"last": 101},
        {"first": 1, "last": 1},
        {"first": 1, "before": "x"},
        {"last": 1, "after": "x"},
    ],
)
def test_a_page_out_of_bounds_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        read_page(ordering(), most=100, **asked)  # type: ignore[arg-type]  # as a caller may


def test_a_page_has_a_size_of_its_own() -> None:
    assert read_page(ordering(), most=100) == Page(DEFAULT_SIZE)
    assert read_page(ordering(), most=10) == Page(10)
    assert read_page(ordering(), first=0, most=10) == Page(0)


def test_a_masked_reader_may_not_sort_by_what_is_personal() -> None:
    orders = [Order("EMAIL", Direction.ASC)]
    with pytest.raises(Forbidden):
        read_ordering(orders, about=None, may_see_personal=False)
    read_ordering([Order("COUNTRY", Direction.ASC)], about=None, may_see_personal=False)


def test_unknown_and_too_many_sort_fields_are_refused() -> None:
    for names in (["SHOE_SIZE"], ["COUNTRY"] * (MAX_ORDERS + 1)):
        with pytest.raises(BadInput):
            ordering(*((name, "ASC") for name in names))


async def searched(connection: AsyncConnection, words: str) -> set[int]:
    condition = search(words, SCOPE, workspace=WORKSPACE, may_see_personal=True)
    query = select_customers(
        [SCOPE.customer.c.id], SCOPE, where=[condition], ordering=ordering(), page=Page(100)
    )
    return set(await connection.scalars(query))


async def test_search_finds_by_the_start_of_every_word(connection: AsyncConnection) -> None:
    ann = await a_customer(connection, search="ann o brien smith ann.b@example.com +447700900001")
    bob = await a_customer(connection, search="bob smith ann.example.org")
    for words, ids in (
        ("ann", {ann, bob}),
        ("Smith", {ann, bob}),
        ("SMI an", {ann, bob}),
        ("smith ann.bx", set()),
        ("O'Brien-Smith", {ann}),
        ("ann.b@exam", {ann}),
        ("@ann.example", {bob}),
        ("+4477009", {ann}),
        ("mith", set()),
        ("ann carl", set()),
        ("", set()),
        (" - & ", set()),
    ):
        assert await searched(connection, words) == ids, words


async def test_search_finds_by_an_identifier_however_it_is_written(
    connection: AsyncConnection,
) -> None:
    ann = await a_customer(connection)
    till = await a_profile(connection, ann, source="till")
    await an_identifier(connection, ann, "email", "ann@example.com", is_current=False)
    await an_identifier(connection, till, "phone", "+447700900001")
    await an_identifier(connection, till, "loyalty_card", "AB12")
    for words in (" Ann@Example.COM", "07700 900 001", "ab-12"):
        assert await searched(connection, words) == {ann}, words


@pytest.mark.parametrize(
    "words",
    [
        "'",
        "\\",
        "a' | 'b",
        "ann:*",
        "!ann",
        "a & | !",
        "(((",
        "'a\\':*",
        "ﷺ" * 100,
        "é" * MAX_SEARCH,
    ],
)
async def test_operators_in_a_search_are_only_text(connection: AsyncConnection, words: str) -> None:
    await a_customer(connection, search="bob")
    assert await searched(connection, words) == set()


@pytest.mark.parametrize(
    "words", ["a" * (MAX_SEARCH + 1), "a " * (MAX_SEARCH_WORDS + 1), "a\0", "\udc00"]
)
def test_a_search_that_no_text_can_be_is_refused(words: str) -> None:
    with pytest.raises(BadInput):
        search(words, SCOPE, workspace=WORKSPACE, may_see_personal=True)


def test_a_masked_reader_may_not_search() -> None:
    with pytest.raises(Forbidden):
        search("ann", SCOPE, workspace=WORKSPACE, may_see_personal=False)


async def test_the_count_is_of_all_pages(people: AsyncConnection) -> None:
    condition: ColumnElement[bool] = predicate(
        {"country": {"eq": "DE"}}, SCOPE, workspace=WORKSPACE, may_see_personal=True
    )
    assert await people.scalar(count_customers(SCOPE, where=[condition])) == 6


INDEXED = [
    "CREATED_AT",
    "PURCHASES_NET_SPEND",
    "PURCHASES_ORDER_COUNT",
    "PURCHASES_LAST_ORDER_AT",
    "RFM_RECENCY_DAYS",
    "RFM_FREQUENCY",
    "RFM_MONETARY",
]


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", INDEXED)
async def test_first_and_deep_pages_of_an_indexed_sort_come_from_the_index(
    connection: AsyncConnection, field: str, direction: str
) -> None:
    await a_customer(connection, last_order_at=days_ago(1))
    order = ordering((field, direction))
    ((_, cursor),) = await fetch(connection, order, Page(1))
    await connection.execute(text("SET LOCAL enable_seqscan = off"))
    await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
    for page in (
        Page(5),
        read_page(order, first=5, after=cursor, most=5),
        read_page(order, last=5, most=5),
        read_page(order, last=5, before=cursor, most=5),
    ):
        query = select_customers(
            [cast(SCOPE.customer.c.id, Text)], SCOPE, where=[], ordering=order, page=page
        )
        sql = query.compile(connection.engine.sync_engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join(await connection.scalars(text(f"EXPLAIN (COSTS OFF) {sql}")))
        assert "Sort" not in plan, plan
        if page.cursor:
            assert "Index Cond: (ROW(" in plan, plan
            assert "Filter" not in plan, plan
