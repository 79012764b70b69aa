"""Ingest: replay, versions, deletes, contacts, waiting records, fences, what is refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.delivery import Batch, Checkpoint, Deleted, receive
from cdp.errors import Fenced, SettingsChanged
from cdp.ingest import apply
from cdp.workspace import read_workspace, write_setting
from tests.cdp.ingesting import (
    WORKSPACE,
    Row,
    a_source,
    customers,
    drop,
    partition,
    take,
    take_mixed,
)

pytestmark = pytest.mark.anyio

ANN = {
    "id": "1",
    "email": "Ann@Example.com ",
    "first_name": "Ann",
    "last_name": "Doe",
    "updated_at": "2024-05-01T10:00:00Z",
}
ORDER = {
    "id": "o1",
    "customer_id": "1",
    "placed_at": "2024-06-01T10:00:00Z",
    "currency": "EUR",
    "total": "50.00",
}


async def _count(connection: AsyncConnection, table: object) -> int:
    return await connection.scalar(select(func.count()).select_from(table)) or 0  # type: ignore[arg-type]


async def test_a_new_customer_record_becomes_a_customer_with_its_attributes(
    connection: AsyncConnection,
) -> None:
    applied = await take(connection, "customers", [ANN])
    assert applied.new == 1
    [row] = await customers(connection)
    assert (row["name"], row["email"], row["order_count"]) == ("Ann Doe", "ann@example.com", 0)


async def test_the_same_batch_again_changes_nothing(connection: AsyncConnection) -> None:
    rows = [ANN, {**ANN, "id": "2", "email": "bob@example.com", "first_name": "Bob"}]
    await take(connection, "customers", rows)
    await take(connection, "orders", [ORDER])
    before = await customers(connection)
    again = await take(connection, "customers", rows)
    orders_again = await take(connection, "orders", [ORDER])
    assert (again.new, again.changed, again.unchanged) == (0, 0, 2)
    assert orders_again.unchanged == 1
    assert await customers(connection) == before
    assert await _count(connection, tables.record_version) == 0


async def test_an_older_version_never_overwrites_a_newer_one(connection: AsyncConnection) -> None:
    await take(connection, "customers", [{**ANN, "city": "Bath"}])
    older = {**ANN, "city": "York", "updated_at": "2024-04-01T10:00:00Z"}
    applied = await take(connection, "customers", [older])
    assert applied.stale == 1
    [row] = await customers(connection)
    assert row["city"] == "Bath"
    assert await _count(connection, tables.record_version) == 1
    assert (await take(connection, "customers", [older])).unchanged == 1


async def test_a_newer_version_replaces_and_the_old_one_is_kept(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    newer = {**ANN, "email": "ann.doe@example.com", "updated_at": "2024-05-02T10:00:00Z"}
    assert (await take(connection, "customers", [newer])).changed == 1
    [row] = await customers(connection)
    assert row["email"] == "ann.doe@example.com"
    assert await _count(connection, tables.record_version) == 1
    rows = await connection.execute(
        select(tables.identifier.c.value, tables.identifier.c.is_current).where(
            tables.identifier.c.kind == "email"
        )
    )
    assert {(value, current) for value, current in rows} == {
        ("ann@example.com", False),
        ("ann.doe@example.com", True),
    }


async def test_of_two_versions_in_one_batch_the_newer_wins_whatever_their_order(
    connection: AsyncConnection,
) -> None:
    older = {**ANN, "city": "York", "updated_at": "2024-04-01T10:00:00Z"}
    newer = {**ANN, "city": "Bath"}
    applied = await take(connection, "customers", [newer, older])
    assert (applied.new, applied.stale) == (1, 1)
    [row] = await customers(connection)
    assert row["city"] == "Bath"


async def test_a_delete_hides_attributes_and_keeps_orders_and_a_newer_version_revives(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "orders", [ORDER])
    gone = Deleted("customers", "1", datetime(2024, 7, 1, tzinfo=UTC))
    assert (await drop(connection, gone)).deleted == 1
    assert (await drop(connection, gone)).unchanged == 1
    [row] = await customers(connection)
    assert (row["name"], row["email"], row["order_count"]) == (None, None, 1)
    assert (await take(connection, "customers", [ANN])).unchanged == 1
    back = {**ANN, "updated_at": "2024-08-01T10:00:00Z"}
    assert (await take(connection, "customers", [back])).changed == 1
    [row] = await customers(connection)
    assert (row["name"], row["order_count"]) == ("Ann Doe", 1)


async def test_a_delete_that_comes_before_its_record_still_deletes(
    connection: AsyncConnection,
) -> None:
    await drop(connection, Deleted("customers", "1", datetime(2024, 7, 1, tzinfo=UTC)))
    assert (await take(connection, "customers", [ANN])).changed == 1
    [row] = await customers(connection)
    assert row["name"] is None
    assert (await take(connection, "customers", [ANN])).unchanged == 1


async def test_a_record_without_moments_revives_when_it_is_told_again(
    connection: AsyncConnection,
) -> None:
    bare = {name: value for name, value in ANN.items() if name != "updated_at"}
    await take(connection, "customers", [bare])
    await drop(connection, Deleted("customers", "1", datetime(2024, 7, 1, tzinfo=UTC)))
    assert (await take(connection, "customers", [bare])).changed == 1
    [row] = await customers(connection)
    assert row["name"] == "Ann Doe"
    kept = await connection.execute(select(tables.record_version.c.deleted_at))
    assert datetime(2024, 7, 1, tzinfo=UTC) in {row[0] for row in kept}


async def test_a_version_between_two_of_the_same_content_does_not_win(
    connection: AsyncConnection,
) -> None:
    bare = {name: value for name, value in ANN.items() if name != "updated_at"}
    for number, city in ((1, "Bath"), (3, "Bath"), (2, "York")):
        delivery = receive("customers", {**bare, "city": city}, vendor_version=number)
        batch = Batch(await a_source(connection), [delivery])
        await apply(connection, batch, WORKSPACE)
    [row] = await customers(connection)
    assert row["city"] == "Bath"


async def test_a_deleted_order_leaves_the_sums(connection: AsyncConnection) -> None:
    await take_mixed(connection, [("customers", ANN), ("orders", ORDER)])
    await drop(connection, Deleted("orders", "o1", datetime(2024, 7, 1, tzinfo=UTC)))
    [row] = await customers(connection)
    assert (row["order_count"], row["net_spend"]) == (0, 0)


async def test_an_order_waits_for_a_customer_that_is_not_seen_yet(
    connection: AsyncConnection,
) -> None:
    await take(connection, "orders", [ORDER])
    assert await customers(connection) == []
    await take(connection, "customers", [ANN])
    [row] = await customers(connection)
    assert (row["order_count"], row["net_spend"]) == (1, Decimal("50.00"))


async def test_guests_of_one_address_are_one_contact_and_join_their_account(
    connection: AsyncConnection,
) -> None:
    guest = {**ORDER, "email": "ann@example.com"}
    del guest["customer_id"]
    await take(connection, "orders", [guest, {**guest, "id": "o2"}])
    assert await partition(connection) == {frozenset({"shop/contact/email:ann@example.com"})}
    await take(connection, "customers", [ANN], source="till")
    [row] = await customers(connection)
    assert (row["profile_count"], row["order_count"]) == (2, 2)


async def test_a_customer_keeps_the_id_of_its_earliest_profile(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN, {**ANN, "id": "2", "email": "a.doe@example.com"}])
    first = [row["id"] for row in await customers(connection)]
    bridge = {**ANN, "id": "3", "emails": ["a.doe@example.com"]}
    applied = await take(connection, "customers", [bridge])
    assert applied.merged == 2
    [row] = await customers(connection)
    assert row["id"] == min(first)
    events = (await connection.execute(select(tables.merge_event))).mappings().all()
    assert {event["customer_id"] for event in events} == {row["id"]}
    assert all(event["evidence"] for event in events)


async def test_many_records_of_one_person_in_one_source_are_one_customer(
    connection: AsyncConnection,
) -> None:
    same = {"email": "ann@example.com", "first_name": "Ann", "last_name": "Doe"}
    await take(connection, "customers", [{**same, "id": f"s{n}"} for n in range(40)])
    assert len(await partition(connection)) == 1


async def test_a_contact_shows_the_same_address_whatever_came_first(
    connection: AsyncConnection,
) -> None:
    guest = {**ORDER, "customer_id": None, "loyalty_card": "C9"}
    told = [{**guest, "email": "b@example.com"}, {**guest, "id": "o2", "email": "a@example.com"}]
    for one in told:
        await take(connection, "orders", [one])
    for one in reversed(told):
        await take(connection, "orders", [one], source="till")
    emails = await connection.execute(select(tables.source_profile.c.email))
    assert {row[0] for row in emails} == {"a@example.com"}


async def test_placeholders_join_nobody_and_make_no_contact(connection: AsyncConnection) -> None:
    people = [
        {"id": "1", "email": "noemail@example.com", "phone": "000-000-0000", "last_name": "Doe"},
        {"id": "2", "email": "noemail@example.com", "phone": "000-000-0000", "last_name": "Doe"},
    ]
    await take(connection, "customers", people)
    guest = {**ORDER, "customer_id": None, "email": "NoEmail@example.com"}
    await take(connection, "orders", [guest])
    assert len(await partition(connection)) == 2


@pytest.mark.parametrize("word", ["Nil", "Na", "Aa", "Xx2"])
async def test_people_of_short_names_have_an_address(
    connection: AsyncConnection, word: str
) -> None:
    await take(connection, "customers", [{"id": "1", "email": f"{word}@example.com"}])
    (row,) = await customers(connection)
    assert row["email"] == f"{word.lower()}@example.com"


@pytest.mark.parametrize(
    ("country", "number"), [("UK", "+442079460123"), ("XX", "+442079460123"), ("FR", None)]
)
async def test_a_country_without_numbers_of_its_own_does_not_drop_the_phone(
    connection: AsyncConnection, country: str, number: str | None
) -> None:
    person = {"id": "1", "phone": "020 7946 0123", "country": country}
    await take(connection, "customers", [person])
    (row,) = await customers(connection)
    assert row["phone"] == number


async def test_identifiers_that_tie_nobody_are_counted_and_told(
    connection: AsyncConnection,
) -> None:
    people: list[Row] = [
        {"id": "1", "email": "noemail@example.com", "phone": "12", "handles": {"bluesky": "@"}},
        {"id": "2", "email": "bo at example", "emails": ["bo@example.com"]},
    ]
    told = await take(connection, "customers", people)
    rest = "that cannot be read, or that says nothing is known"
    assert told.notes == {f"email {rest}": 2, f"phone {rest}": 1, f"handle {rest}": 1}
    guests: list[Row] = [
        {**ORDER, "customer_id": None, "email": "Bo <bo@example.com>"},
        {**ORDER, "id": "o2", "customer_id": None, "email": "bo at example"},
        {**ORDER, "id": "o3", "customer_id": "1", "email": "bo at example"},
    ]
    told = await take(connection, "orders", guests)
    assert told.notes == {f"email {rest}": 1}
    assert (await take(connection, "orders", guests)).notes == {}


async def test_names_that_differ_by_vowel_signs_alone_join_no_two_people(
    connection: AsyncConnection,
) -> None:
    people = [
        {"id": "1", "first_name": "मीना", "last_name": "कुमारी", "phone": "+91 98765 43210"},
        {"id": "2", "first_name": "मोहन", "last_name": "कुमार", "phone": "+91 98765 43210"},
    ]
    await take(connection, "customers", people)
    assert len(await partition(connection)) == 2


async def test_a_refused_record_lies_in_the_dead_letters_with_its_reason(
    connection: AsyncConnection,
) -> None:
    rows = [ANN, {"id": "2", "birth_date": "1990-02-30"}, {"id": "3", "first_name": "A\0b"}]
    applied = await take(connection, "customers", rows)
    assert (applied.new, applied.refused) == (1, 2)
    letters = (
        await connection.execute(select(tables.dead_letter).order_by(tables.dead_letter.c.id))
    ).mappings()
    assert [(one["place"], one["path"]) for one in letters] == [
        ("line 2", "birth_date"),
        ("line 3", "first_name"),
    ]
    await take(connection, "customers", rows)
    attempts = await connection.execute(select(tables.dead_letter.c.attempts))
    assert [row[0] for row in attempts] == [2, 2]


async def test_a_checkpoint_of_an_older_epoch_is_fenced_off(connection: AsyncConnection) -> None:
    source_id = await a_source(connection)
    await connection.execute(
        tables.checkpoint.insert().values(source_id=source_id, stream="customers", epoch=2)
    )
    await take(connection, "customers", [ANN], checkpoint=Checkpoint("customers", {"page": 1}, 2))
    cursor = await connection.scalar(select(tables.checkpoint.c.cursor))
    assert cursor == {"page": 1}
    with pytest.raises(Fenced):
        await take(connection, "customers", [ANN], checkpoint=Checkpoint("customers", None, 1))


async def test_an_unknown_order_status_counts_and_is_told(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN])
    applied = await take(connection, "orders", [{**ORDER, "status": "teleported"}])
    assert sum(applied.notes.values()) == 1
    [row] = await customers(connection)
    assert row["order_count"] == 1


async def test_a_batch_is_stored_whole_or_not_at_all(database: Database) -> None:
    async with database.transaction() as connection:
        source_id = await a_source(connection)
    batch = Batch(source_id, [receive("customers", ANN), receive("orders", ORDER)])

    async def fail_after_applying() -> None:
        async with database.transaction() as connection:
            await apply(connection, batch, WORKSPACE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_applying()
    async with database.transaction() as connection:
        assert await partition(connection) == set()
        assert await _count(connection, tables.sales_order) == 0
        assert await customers(connection) == []


async def test_batch_of_who_was_told_other_settings_is_refused_whole(
    connection: AsyncConnection,
) -> None:
    told = await read_workspace(connection)
    await write_setting(connection, "currency", "USD")
    with pytest.raises(SettingsChanged):
        await take(connection, "customers", [ANN], workspace=told)
    assert await customers(connection) == []
    await take(connection, "customers", [ANN], workspace=await read_workspace(connection))
    assert len(await customers(connection)) == 1
