"""Who carries too much, what too many share, chains without end: bounded work, and nothing lost.

Work is counted in rows that the server read or wrote for a batch, which no other load disturbs.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import Final

import pytest
from sqlalchemy import text

from cdp import tables
from cdp.database import Database
from cdp.identity.component import HOLDERS
from cdp.identity.rules import parse_rules
from cdp.rulechange import apply_rules
from tests.cdp.at_once import rows_of
from tests.cdp.ingesting import WORKSPACE, Row, partition, take
from tests.cdp.soundness import require_sound

pytestmark = pytest.mark.anyio

MORE: Final = 1.5  # times the rows of the second quarter of the batches, in the last: no growth
TIGHT: Final = parse_rules("""
    most_identifiers = 40
    most_holders = 30
    most_profiles_per_component = 40
    most_persons_per_component = 20""")

FIRST: Final = 2_012_345_001  # of as many phone numbers as are wanted: every third

_ROWS: Final = text("""
    SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
               + n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_xact_user_tables""")

_AS_IF_LARGE: Final = text("""DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
    EXECUTE format('ALTER DATABASE %I SET enable_hashjoin = off', current_database());
    EXECUTE format('ALTER DATABASE %I SET enable_mergejoin = off', current_database());
    END $$""")
"""Go by the indexes: the planner reads a table of a few pages whole, which is no work of ours."""

Pages = Sequence[Sequence[Row]]


def _phone(number: int) -> str:
    """None is a placeholder: of 150,000, all that have one digit six times fall between."""
    return f"+1{FIRST + 3 * number}"


def _pages(rows: Sequence[Row], size: int) -> Pages:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


async def _take_all(database: Database, stream: str, pages: Pages) -> list[int]:
    """Each page in its transaction; the rows that it cost."""
    async with database.transaction() as connection:
        await connection.execute(_AS_IF_LARGE)
    await database.engine.dispose()  # who connects from now on goes by it
    costs = []
    for number, page in enumerate(pages):
        if number == len(pages) // 8:
            await _analyze(database)
        async with database.transaction() as connection:
            before = await connection.scalar(_ROWS)
            await take(connection, stream, page)
            after = await connection.scalar(_ROWS)
            assert before is not None
            assert after is not None
            costs.append(after - before)
    return costs


async def _analyze(database: Database) -> None:
    """What the server does by itself after a while, and goes by the right index then."""
    async with database.transaction() as connection:
        await connection.execute(text("ANALYZE"))


def _require_no_growth(costs: Sequence[int]) -> None:
    quarter = len(costs) // 4
    early, late = costs[quarter : 2 * quarter], costs[-quarter:]
    assert mean(late) <= MORE * mean(early), (mean(early), mean(late))


async def _tighten(database: Database) -> None:
    async with database.transaction() as connection:
        await apply_rules(connection, TIGHT, WORKSPACE, actor="ann", reason="Small bounds.")


async def _require_sound(database: Database) -> None:
    async with database.transaction() as connection:
        await require_sound(connection)


# One profile ----------------------------------------------------------------------------------


def _statements(count: int) -> list[Row]:
    """By one address, each with another phone: their contact never ends to grow."""
    at = "2024-01-01T00:00:00Z"
    return [
        {"id": str(n), "channel": "sms", "purpose": "news", "status": "granted", "recorded_at": at,
         "email": "hub@example.com", "phone": _phone(n)}
        for n in range(count)
    ]  # fmt: skip


async def _grow_a_contact(database: Database, count: int, size: int) -> None:
    costs = await _take_all(database, "consents", _pages(_statements(count), size))
    _require_no_growth(costs)
    rows: list[Row] = [
        {"id": str(n), "email": "hub@example.com", "phone": _phone(n)} for n in range(5)
    ]
    async with database.transaction() as connection:
        await take(connection, "customers", rows)
        (contact, *_) = await rows_of(connection, tables.source_profile)
        assert contact["email"] == "hub@example.com"
        assert contact["phone"] == _phone(0)
        carried = await rows_of(connection, tables.identifier)
        mine = [row for row in carried if row["source_profile_id"] == contact["id"]]
        assert len(mine) == count + 1
        (review,) = [
            row for row in await rows_of(connection, tables.match_review)
            if row["kind"] == "identifiers"
        ]  # fmt: skip
        assert review["left_ids"] == [contact["id"]]
    await _require_sound(database)


async def test_a_contact_that_grows_for_ever_costs_no_more_for_it(database: Database) -> None:
    await _tighten(database)
    await _grow_a_contact(database, count=480, size=12)


@pytest.mark.prove
async def test_a_contact_of_150_000_identifiers_costs_no_more_for_it(database: Database) -> None:
    await _grow_a_contact(database, count=150_000, size=1_000)


async def _share_with_one_who_has_all(database: Database, count: int, others: int) -> None:
    """One record with very many addresses, and people who have one of them each."""
    many = [f"a{n}@example.com" for n in range(count)]
    whole: Row = {"id": "all", "first_name": "Ann", "emails": many}
    async with database.transaction() as connection:
        await take(connection, "customers", [whole])
    people: list[Row] = [
        {"id": str(n), "first_name": "Ann", "email": many[n * count // others]}
        for n in range(others)
    ]
    costs = await _take_all(database, "customers", _pages(people, 10))
    _require_no_growth(costs)
    assert max(costs) < count
    async with database.transaction() as connection:
        await take(connection, "customers", [{**whole, "city": "Rome"}])
        assert len(await partition(connection)) == others + 1
    await _require_sound(database)


async def test_a_record_with_very_many_identifiers_costs_others_nothing(database: Database) -> None:
    await _share_with_one_who_has_all(database, count=4_000, others=160)


@pytest.mark.prove
async def test_a_record_with_150_000_identifiers_costs_others_nothing(database: Database) -> None:
    await _share_with_one_who_has_all(database, count=150_000, others=2_000)


# One value ------------------------------------------------------------------------------------


def _named(number: int) -> str:
    """Names that are nobody else's, by no typo: letters of the number, thrice."""
    digits = [chr(97 + int(digit)) * 3 for digit in str(number)]
    return "".join(digits).ljust(6, "z")


async def _share_a_value(database: Database, people: Sequence[Row], size: int, reason: str) -> None:
    costs = await _take_all(database, "customers", _pages(people, size))
    _require_no_growth(costs)
    async with database.transaction() as connection:
        (blocked,) = await rows_of(connection, tables.blocked_value)
        assert blocked["reason"] == reason
        (review,) = await rows_of(connection, tables.match_review)
        assert (review["kind"], review["value"]) == (blocked["kind"], blocked["value"])
        assert len(await partition(connection)) == len(people)
    await _require_sound(database)


def _at_one_address(count: int) -> list[Row]:
    return [
        {"id": str(n), "first_name": _named(n), "email": "desk@example.com"} for n in range(count)
    ]


def _with_one_card(count: int) -> list[Row]:
    return [{"id": str(n), "first_name": "Ann", "loyalty_card": "STAFF1"} for n in range(count)]


async def test_an_address_that_everybody_gives_joins_nobody_and_costs_no_more_for_it(
    database: Database,
) -> None:
    await _tighten(database)
    await _share_a_value(database, _at_one_address(320), 8, HOLDERS)


@pytest.mark.prove
async def test_an_address_of_10_000_people_costs_no_more_for_it(database: Database) -> None:
    await _share_a_value(database, _at_one_address(10_000), 100, HOLDERS)


async def test_a_card_on_very_many_records_joins_nobody_and_costs_no_more_for_it(
    database: Database,
) -> None:
    await _tighten(database)
    await _share_a_value(database, _with_one_card(320), 8, HOLDERS)


@pytest.mark.prove
async def test_a_card_on_20_000_records_costs_no_more_for_it(database: Database) -> None:
    await _share_a_value(database, _with_one_card(20_000), 200, HOLDERS)


# One chain ------------------------------------------------------------------------------------


def _chain(count: int) -> list[Row]:
    """Guests of whom each shares a phone with the next, and nobody a name."""
    order, start = {"currency": "EUR", "total": "1"}, datetime(2024, 1, 1, tzinfo=UTC)
    return [
        {**order, "id": f"o{n}-{end}", "email": f"visitor{n}@example.com",
         "placed_at": (start + timedelta(minutes=n)).isoformat(),
         "phone": _phone(n + end)}
        for n in range(count)
        for end in (0, 1)
    ]  # fmt: skip


async def _tie_a_chain(database: Database, count: int, size: int) -> None:
    costs = await _take_all(database, "orders", _pages(_chain(count), 2 * size))
    _require_no_growth(costs)
    await _require_chain(database, count)


async def _require_chain(database: Database, count: int) -> None:
    async with database.transaction() as connection:
        assert len(await partition(connection)) == count
        reviews = await rows_of(connection, tables.match_review)
        assert len(reviews) == count - 1
    await _require_sound(database)


async def test_a_chain_without_end_joins_nobody_and_costs_no_more_for_it(
    database: Database,
) -> None:
    await _tighten(database)
    await _tie_a_chain(database, count=400, size=10)


async def test_a_chain_that_is_tied_together_in_any_order_joins_nobody(database: Database) -> None:
    await _tighten(database)
    rows = _chain(200)
    random.Random(1).shuffle(rows)
    await _take_all(database, "orders", _pages(rows, 10))
    await _require_chain(database, 200)


@pytest.mark.prove
async def test_a_chain_of_50_000_costs_no_more_for_it(database: Database) -> None:
    await _tie_a_chain(database, count=50_000, size=500)


@pytest.mark.prove
async def test_a_chain_of_50_000_in_any_order_joins_nobody(database: Database) -> None:
    rows = _chain(50_000)
    random.Random(1).shuffle(rows)
    await _take_all(database, "orders", _pages(rows, 1_000))
    await _require_chain(database, 50_000)
