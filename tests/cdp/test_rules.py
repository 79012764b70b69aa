"""The rules of identity: read, refused, tried, applied as shown; and what they bound."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import driver
from cdp.errors import BadInput, CdpError
from cdp.identity.rules import (
    DEFAULT_DOCUMENT,
    DEFAULT_RULES,
    Document,
    parse_rules,
    read_rules,
    rules_of,
    rules_text,
)
from cdp.rulechange import apply_rules, try_rules
from tests.cdp.ingesting import WORKSPACE, Row, partition, take

pytestmark = pytest.mark.anyio

PHONES_JOIN_NOBODY = parse_rules("""
[kinds.phone]
strength = "common"
most_per_customer = 8
most_persons = 10
blocked = [".*"]
""")


def test_the_rules_as_text_read_back_as_themselves() -> None:
    assert parse_rules(rules_text(DEFAULT_DOCUMENT)) == DEFAULT_DOCUMENT
    assert parse_rules(rules_text(PHONES_JOIN_NOBODY)) == PHONES_JOIN_NOBODY
    assert rules_of(1, parse_rules("")) == DEFAULT_RULES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("most_holders = 0", "most_holders"),
        ("most_holder = 5", "most_holder"),
        ("kinds = 3", "kinds"),
        ("[kinds.fax]\nstrength='common'\nmost_per_customer=1\nmost_persons=1", "fax"),
        ("[kinds.email]\nstrength='strong'\nmost_per_customer=1\nmost_persons=1", "strength"),
        (
            "[kinds.email]\nstrength='weak'\nmost_per_customer=1\nmost_persons=1\nblocked=['(']",
            "regular expression",
        ),
        ("[linkage]\njoin_weight = 1\nreview_weight = 2", "review_weight"),
        ("= 5", "TOML"),
    ],
)
def test_a_document_that_says_nothing_sensible_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told.replace("(", "\\(")):
        parse_rules(text)


async def _two_by_phone_two_by_email(connection: AsyncConnection) -> None:
    await take(
        connection,
        "customers",
        [
            {"id": "1", "first_name": "Ann", "phone": "+12015550101"},
            {"id": "2", "first_name": "Ann", "phone": "+12015550101"},
            {"id": "3", "first_name": "Bob", "email": "b@example.com"},
            {"id": "4", "first_name": "Bob", "email": "b@example.com"},
        ],
    )


async def test_rules_are_tried_and_then_applied_exactly_as_shown(
    connection: AsyncConnection,
) -> None:
    await _two_by_phone_two_by_email(connection)
    before = await partition(connection)
    shown = await try_rules(connection, PHONES_JOIN_NOBODY)
    assert await partition(connection) == before
    assert (shown.customers_before, shown.customers_after, shown.parted) == (2, 3, 1)
    assert set(shown.names.values()) == {"Ann"}
    done = await apply_rules(
        connection,
        PHONES_JOIN_NOBODY,
        WORKSPACE,
        actor="ann",
        reason="A switchboard.",
        token=shown.token,
    )
    assert done == shown
    assert len(await partition(connection)) == 3
    assert (await read_rules(await driver(connection))).version == 2
    again = await try_rules(connection, DEFAULT_DOCUMENT)
    assert (again.customers_after, again.joined) == (2, 1)


async def test_rules_of_survivorship_are_counted_first_and_then_choose_for_everybody(
    connection: AsyncConnection,
) -> None:
    ann = {"first_name": "Ann", "last_name": "Doe", "email": "ann@example.com"}
    rows = [
        {**ann, "id": "1", "city": "Milton Keynes", "updated_at": "2024-01-01T00:00:00Z"},
        {**ann, "id": "2", "city": "Leeds", "updated_at": "2024-02-01T00:00:00Z"},
        {"id": "3", "first_name": "Bob", "city": "York"},
    ]
    await take(connection, "customers", rows)
    longest = parse_rules("[survivorship.rules]\naddress = 'longest'")
    shown = await try_rules(connection, longest)
    assert (shown.described_otherwise, shown.joined, shown.parted) == (1, 0, 0)
    assert (shown.by_attribute, shown.unknown_sources) == ({"city": 1}, [])
    assert await _cities(connection) == ["Leeds", "York"]
    done = await apply_rules(
        connection, longest, WORKSPACE, actor="ann", reason="Whole names.", token=shown.token
    )
    assert done == shown
    assert await _cities(connection) == ["Milton Keynes", "York"]
    assert (await try_rules(connection, longest)).described_otherwise == 0
    await take(connection, "customers", [{**rows[1], "city": "Bath", "updated_at": None}])
    assert await _cities(connection) == ["Milton Keynes", "York"]


async def test_sources_that_rules_name_and_there_are_not_are_told(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{"id": "1", "first_name": "Ann"}], source="shop")
    named = "[survivorship]\nsources = ['till', 'shop']\nrules = {email = 'source_priority'}"
    shown = await try_rules(connection, parse_rules(named))
    assert shown.unknown_sources == ["till"]


async def _cities(connection: AsyncConnection) -> list[str | None]:
    rows = await connection.scalars(select(tables.customer.c.city))
    return sorted(rows, key=str)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[survivorship.rules]\ncolour = 'latest'", "no 'colour' here"),
        ("[survivorship.rules]\naddress = 'source_priority'", "sources names none"),
        ("[survivorship]\nsource = ['shop']", "source"),
    ],
)
def test_rules_of_survivorship_that_say_nothing_are_refused(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_rules(text)


async def test_rules_are_not_applied_where_they_would_now_do_something_else(
    connection: AsyncConnection,
) -> None:
    await _two_by_phone_two_by_email(connection)
    shown = await try_rules(connection, PHONES_JOIN_NOBODY)
    await take(connection, "customers", [{"id": "5", "first_name": "Ann", "phone": "+12015550101"}])
    with pytest.raises(CdpError, match="Try them again"):
        async with connection.begin_nested():
            await apply_rules(
                connection,
                PHONES_JOIN_NOBODY,
                WORKSPACE,
                actor="ann",
                reason="x",
                token=shown.token,
            )
    assert (await read_rules(await driver(connection))).version == 1
    assert len(await partition(connection)) == 2


async def test_a_bound_that_is_raised_unblocks_what_it_had_blocked(
    connection: AsyncConnection,
) -> None:
    tight = parse_rules("most_holders = 2")
    await apply_rules(connection, tight, WORKSPACE, actor="ann", reason="Tight.")
    await take(
        connection,
        "customers",
        [{"id": str(n), "first_name": "Ann", "email": "a@example.com"} for n in range(3)],
    )
    assert len(await partition(connection)) == 3
    assert await connection.scalar(select(tables.blocked_value.c.reason)) == "holders"
    (review,) = (await connection.execute(select(tables.match_review))).mappings()
    assert "More than 2 source profiles share it" in review["reason"]
    await apply_rules(connection, DEFAULT_DOCUMENT, WORKSPACE, actor="ann", reason="Loose.")
    assert len(await partition(connection)) == 1
    assert await connection.scalar(select(tables.blocked_value.c.value)) is None
    assert await connection.scalar(select(tables.match_review.c.id)) is None


async def test_a_profile_with_more_identifiers_than_a_person_has_is_tied_by_its_key_alone(
    connection: AsyncConnection,
) -> None:
    await apply_rules(
        connection, parse_rules("most_identifiers = 5"), WORKSPACE, actor="a", reason="b"
    )
    many = [f"a{n}@example.com" for n in range(10)]
    rows: list[Row] = [{"id": "1", "emails": many}, {"id": "2", "email": "a3@example.com"}]
    await take(connection, "customers", rows)
    await take(connection, "customers", [{"id": "3", "external_ids": {"shop": "1"}}], source="crm")
    assert await partition(connection) == {
        frozenset({"shop/customers/1", "crm/customers/3"}),
        frozenset({"shop/customers/2"}),
    }
    (review,) = (await connection.execute(select(tables.match_review))).mappings()
    assert review["kind"] == "identifiers"
    # It keeps its place in the queue, and stays tied by its key, when it comes again.
    await take(connection, "customers", [{"id": "1", "emails": many, "city": "Rome"}])
    assert len(await partition(connection)) == 2


def _chain(length: int) -> list[dict[str, object]]:
    """Nameless records, each of which shares an address with the next."""
    return [
        {"id": f"{n:03}", "emails": [f"e{n}@example.com", f"e{n + 1}@example.com"]}
        for n in range(length)
    ]


@pytest.mark.parametrize("batch", [1, 4, 12])
async def test_a_chain_longer_than_the_bound_joins_nobody_however_it_arrives(
    connection: AsyncConnection, batch: int
) -> None:
    rules = parse_rules("""
        most_profiles_per_component = 8
        kinds.email = {strength = "common", most_per_customer = 50, most_persons = 10}""")
    await apply_rules(connection, rules, WORKSPACE, actor="a", reason="b")
    chain = _chain(12)
    for start in range(0, 12, batch):
        await take(connection, "customers", chain[start : start + batch])
        if start + batch <= 8:
            assert len(await partition(connection)) == 1
    assert len(await partition(connection)) == 12
    assert await connection.scalar(select(tables.match_review.c.id)) is not None


def test_defaults_are_documented_in_the_document_itself() -> None:
    assert isinstance(DEFAULT_DOCUMENT, Document)
    assert set(DEFAULT_DOCUMENT.kinds) == set(DEFAULT_RULES.kinds)
