"""What evidence has joined is parted where the evidence ends: lapsed, too much, too shared."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.identity.rules import parse_rules
from cdp.rulechange import apply_rules, try_rules
from tests.cdp.at_once import rows_of
from tests.cdp.histories import add_pair
from tests.cdp.ingesting import WORKSPACE, Row, partition, take
from tests.cdp.soundness import require_sound

pytestmark = pytest.mark.anyio

ALONE = {frozenset({"shop/customers/1"}), frozenset({"shop/customers/2"})}


async def _two_who_are_alike(connection: AsyncConnection, weight: float = 12.0) -> list[Row]:
    """Records 1 and 2, which share no identifier, and their scored pair."""
    rows: list[Row] = [
        {"id": "1", "first_name": "Ann", "last_name": "Doe", "email": "a@example.com"},
        {"id": "2", "first_name": "Ann", "last_name": "Doe", "email": "b@example.com"},
    ]
    await take(connection, "customers", rows)
    left, right = await rows_of(connection, tables.source_profile)
    digests = left["compared_digest"], right["compared_digest"]
    await add_pair(connection, left["id"], right["id"], weight, digests)
    return rows


async def test_a_heavy_pair_joins_and_a_middling_one_asks(connection: AsyncConnection) -> None:
    await _two_who_are_alike(connection)
    assert len(await partition(connection)) == 1
    await connection.rollback()
    await _two_who_are_alike(connection, weight=2.0)
    assert await partition(connection) == ALONE
    assert await connection.scalar(select(tables.match_review.c.kind)) == "similarity"


@pytest.mark.parametrize("changed", ["1", "2"])
async def test_a_pair_lapses_for_both_whichever_record_changes(
    connection: AsyncConnection, changed: str
) -> None:
    rows = await _two_who_are_alike(connection)
    other = next(row for row in rows if row["id"] == changed)
    await take(connection, "customers", [{**other, "last_name": "Smith"}])
    assert await partition(connection) == ALONE
    split = (await rows_of(connection, tables.merge_event))[-1]
    assert (split["kind"], len(split["profile_ids"]), len(split["other_ids"])) == ("split", 1, 1)
    await require_sound(connection)
    await take(connection, "customers", [other])
    assert len(await partition(connection)) == 1


async def test_a_pair_too_light_to_ask_is_no_tie_of_others(connection: AsyncConnection) -> None:
    await _two_who_are_alike(connection, weight=-5.0)
    rows: list[Row] = [{"id": "3", "first_name": "Bob", "email": "a@example.com"}]
    await take(connection, "customers", rows)
    await require_sound(connection)


@pytest.mark.parametrize("first", ["contact", "customers"])
async def test_a_contact_that_comes_to_carry_too_much_lets_go_of_whom_it_joined(
    connection: AsyncConnection, first: str
) -> None:
    await apply_rules(
        connection, parse_rules("most_identifiers = 4"), WORKSPACE, actor="a", reason="b"
    )
    order = {"email": "a@example.com", "placed_at": "2024-01-01T00:00:00Z", "currency": "EUR"}
    orders: list[Row] = [{**order, "id": "o1", "total": "5", "phone": "+12015550101"}]
    customers: list[Row] = [{"id": "1", "email": "a@example.com"}]
    both = [("orders", orders), ("customers", customers)]
    for stream, rows in both if first == "contact" else reversed(both):
        await take(connection, stream, rows)
    assert len(await partition(connection)) == 1
    for phone in range(102, 106):
        more = {**order, "id": f"o{phone}", "total": "5", "phone": f"+12015550{phone}"}
        await take(connection, "orders", [more])
    assert len(await partition(connection)) == 2
    await require_sound(connection)


async def test_what_a_profile_with_too_many_identifiers_carries_is_not_read_again(
    connection: AsyncConnection,
) -> None:
    await apply_rules(
        connection, parse_rules("most_identifiers = 3"), WORKSPACE, actor="a", reason="b"
    )
    many = [f"a{n}@example.com" for n in range(10)]
    await take(connection, "customers", [{"id": "1", "emails": many}])
    # The record says less now: what it said once is history, however much it was.
    await take(connection, "customers", [{"id": "1", "email": "a3@example.com"}])
    said = await rows_of(connection, tables.identifier)
    current = {row["value"] for row in said if row["is_current"]}
    assert current == {"1", "a3@example.com"}
    assert len(said) == 11


async def test_a_value_shared_by_too_many_is_told_and_asks_nothing(
    connection: AsyncConnection,
) -> None:
    people: list[Row] = [
        {"id": str(n), "first_name": f"{chr(97 + n) * 5}", "email": "desk@example.com"}
        for n in range(11)
    ]
    await take(connection, "customers", people)
    (review,) = await rows_of(connection, tables.match_review)
    assert (review["value"], review["right_ids"]) == ("desk@example.com", [])
    assert len(review["left_ids"]) == 11
    # Also where a person says that some of them are one.
    await require_sound(connection)


async def test_a_blocked_value_is_still_told_after_one_of_its_bearers_comes_to_carry_too_much(
    connection: AsyncConnection,
) -> None:
    rules = parse_rules("""
        most_identifiers = 3
        [kinds.email]
        strength = "common"
        most_per_customer = 8
        most_persons = 1
    """)
    await apply_rules(connection, rules, WORKSPACE, actor="a", reason="b")
    names = ("Doe", "Doe", "Smith")
    people: list[Row] = [
        {"id": str(n), "first_name": "Ann", "last_name": name, "email": "desk@example.com"}
        for n, name in enumerate(names)
    ]
    await take(connection, "customers", people)
    handles = {"x": "ann", "y": "ann"}
    await take(connection, "customers", [{**people[0], "handles": handles}])
    queue = await rows_of(connection, tables.match_review)
    (review,) = (row for row in queue if row["kind"] == "email")
    assert review["right_ids"] == []
    await require_sound(connection)


@pytest.mark.parametrize(
    "more", [{}, {"loyalty_card": "A1"}, {"loyalty_card": "A1", "handles": {"x": "both"}}]
)
async def test_what_is_asked_of_those_beyond_what_is_read_stands(
    connection: AsyncConnection, more: Row
) -> None:
    rules = parse_rules("most_profiles_per_component = 2")
    await apply_rules(connection, rules, WORKSPACE, actor="a", reason="b")
    ann = {"first_name": "Ann", "email": "a@example.com", "loyalty_card": "A1"}
    bob = {"first_name": "Bob", "loyalty_card": "B1"}
    people: list[Row] = [
        {**said, "id": f"{said['first_name']}{n}", "handles": {"x": "both"}}
        for said in (ann, bob)
        for n in range(3)
    ]
    await take(connection, "customers", people)
    (asked,) = (r for r in await rows_of(connection, tables.match_review) if r["value"] == "both")
    one = {"id": "1", "first_name": "Ann", "email": "a@example.com", **more}
    await take(connection, "customers", [one])
    (still,) = (r for r in await rows_of(connection, tables.match_review) if r["value"] == "both")
    assert still["id"] == asked["id"]
    await require_sound(connection)
    await take(connection, "customers", [{"id": "2", "external_ids": {"a": "1", "b": "1"}},
                                         {**people[0], "external_ids": {"a": "1"}},
                                         {**people[3], "external_ids": {"b": "1"}}])  # fmt: skip
    await require_sound(connection)


async def test_a_blocked_value_makes_nothing_too_large_for_those_whom_another_joins_again(
    connection: AsyncConnection,
) -> None:
    rules = parse_rules("most_identifiers = 3\nmost_holders = 2\nmost_profiles_per_component = 2")
    await apply_rules(connection, rules, WORKSPACE, actor="a", reason="b")
    carried = {"1": "xz", "2": "x", "3": "xy", "4": "yz", "5": "y"}
    people: list[Row] = [
        {"id": key, "emails": [f"{name}@example.com" for name in names]}
        for key, names in carried.items()
    ]
    await take(connection, "customers", people)
    assert len(await partition(connection)) == 4  # x and y are carried by three each
    await take(connection, "customers", [{**people[0], "handles": {"x": "ann", "y": "ann"}}])
    assert frozenset({"shop/customers/2", "shop/customers/3"}) in await partition(connection)
    await require_sound(connection)


async def test_a_change_of_rules_counts_everybody_once_however_far_apart_they_were_stored(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row] = [
        {"id": str(n), "first_name": "Ann", "phone": f"+1201555010{n % 3}"} for n in range(6)
    ]
    await take(connection, "customers", rows)
    assert len(await partition(connection)) == 3
    for module in ("cdp.remap", "cdp.rulechange"):
        monkeypatch.setattr(f"{module}.REMAP_BATCH", 1)
    alone = parse_rules("""
        [kinds.phone]
        strength = "common"
        most_per_customer = 8
        most_persons = 10
        blocked = [".*"]""")
    tried = await try_rules(connection, alone)
    assert (tried.customers_before, tried.customers_after) == (3, 6)
    assert (tried.joined, tried.parted) == (0, 3)
    done = await apply_rules(connection, alone, WORKSPACE, actor="a", reason="b", token=tried.token)
    assert done == tried
    await require_sound(connection)
