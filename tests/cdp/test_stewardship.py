"""Decisions of people: merge, split, undo and answers to reviews, tried first or done at once."""

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.deciding import Author, Effect
from cdp.errors import AlreadyUndone, BadInput, NotFound
from cdp.stewardship import decide, merge_customers, split_customer, undo
from cdp.values import CustomerId, ProfileId
from tests.cdp.ingesting import WORKSPACE, facts_by_members, partition, take

pytestmark = pytest.mark.anyio

AUTHOR = Author("ann", "They wrote to us.")

ADDRESSED = [{"id": "1", "email": "a@example.com"}, {"id": "2", "email": "a@example.com"}]
"""Two records that share an address."""


async def _people(connection: AsyncConnection, *rows: Mapping[str, object]) -> list[CustomerId]:
    """One customers' record each, keys 1, 2, ...; returns their customers."""
    await take(connection, "customers", [{"id": str(n), **row} for n, row in enumerate(rows, 1)])
    return [await _customer_of(connection, str(n)) for n, _ in enumerate(rows, 1)]


async def _customer_of(connection: AsyncConnection, key: str) -> CustomerId:
    profile = tables.source_profile
    found = await connection.scalar(select(profile.c.customer_id).where(profile.c.key == key))
    assert found is not None
    return CustomerId(found)


async def _profile(connection: AsyncConnection, key: str) -> ProfileId:
    profile = tables.source_profile
    found = await connection.scalar(select(profile.c.id).where(profile.c.key == key))
    assert found is not None
    return ProfileId(found)


async def _orders(connection: AsyncConnection, *rows: tuple[str, str]) -> None:
    """Orders as (customer key, total)."""
    await take(
        connection,
        "orders",
        [
            {"id": f"o{n}", "customer_id": key, "placed_at": "2024-01-01T00:00:00Z",
             "currency": "EUR", "total": total}
            for n, (key, total) in enumerate(rows, 1)
        ],
    )  # fmt: skip


async def _merged_by_address(connection: AsyncConnection) -> int:
    """The entry of the ledger that joins those of ADDRESSED."""
    await take(connection, "customers", ADDRESSED)
    event_id: int | None = await connection.scalar(select(tables.merge_event.c.id))
    assert event_id is not None
    return event_id


async def _merge(connection: AsyncConnection, *customers: CustomerId, **more: bool) -> Effect:
    return await merge_customers(connection, customers, AUTHOR, WORKSPACE, **more)


def _events(effect: Effect) -> Sequence[int]:
    return [one.event_id for one in effect.changes if one.event_id is not None]


async def test_a_merge_joins_those_whom_no_evidence_ties_and_sums_their_orders(
    connection: AsyncConnection,
) -> None:
    ann, anna = await _people(connection, {"first_name": "Ann"}, {"first_name": "Bob"})
    await _orders(connection, ("1", "10"), ("2", "5"))
    effect = await _merge(connection, ann, anna)
    assert await partition(connection) == {frozenset({"shop/customers/1", "shop/customers/2"})}
    assert effect.customer_ids == [ann]
    (members,) = (await facts_by_members(connection)).values()
    assert members["net_spend"] == 15
    changed = {one.name: (one.before, one.after) for one in effect.traits}
    assert changed["purchases.netSpend"] == (10, 15)
    (event,) = (await connection.execute(select(tables.merge_event))).mappings()
    assert (event["actor"], event["reason"]) == ("ann", "They wrote to us.")
    assert event["decision_id"] == effect.decision_id


async def test_a_dry_run_tells_the_same_and_changes_nothing(connection: AsyncConnection) -> None:
    customers = await _people(connection, {"first_name": "Ann"}, {"first_name": "Bob"})
    await _orders(connection, ("1", "10"), ("2", "5"))
    before = await facts_by_members(connection)
    tried = await _merge(connection, *customers, dry_run=True)
    assert await facts_by_members(connection) == before
    assert await connection.scalar(select(tables.identity_decision.c.id)) is None
    done = await _merge(connection, *customers)
    assert tried.traits == done.traits
    assert tried.customer_ids == done.customer_ids
    assert [one.event_id for one in tried.changes] == [None]


async def test_a_merge_that_is_undone_was_never(connection: AsyncConnection) -> None:
    customers = await _people(connection, {"first_name": "Ann"}, {"first_name": "Bob"})
    before = await facts_by_members(connection)
    (event_id,) = _events(await _merge(connection, *customers))
    # What comes after the merge stays with whose it is.
    await _orders(connection, ("1", "10"), ("2", "5"))
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    after = await facts_by_members(connection)
    assert after.keys() == before.keys()
    spend = {min(members): row["net_spend"] for members, row in after.items()}
    assert spend == {"shop/customers/1": 10, "shop/customers/2": 5}


async def test_nested_merges_are_undone_in_any_order(connection: AsyncConnection) -> None:
    a, b, c = await _people(connection, *({"first_name": n} for n in ("Ann", "Bob", "Cat")))
    (inner,) = _events(await _merge(connection, a, b))
    (outer,) = _events(await _merge(connection, a, c))
    await undo(connection, inner, AUTHOR, WORKSPACE)
    # The outer decision named all three, so they are one until it is taken back too.
    assert len(await partition(connection)) == 1
    await undo(connection, outer, AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 3


async def test_an_automatic_merge_that_is_undone_stays_undone_when_the_record_comes_again(
    connection: AsyncConnection,
) -> None:
    event_id = await _merged_by_address(connection)
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 2
    await take(connection, "customers", [{**ADDRESSED[0], "city": "Rome"}])
    assert len(await partition(connection)) == 2
    again = await connection.scalar(
        select(tables.merge_event.c.id).where(tables.merge_event.c.undoes_event_id == event_id)
    )
    assert again is not None
    await undo(connection, again, AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 1


async def test_an_automatic_merge_whose_sides_are_parted_already_is_not_undone(
    connection: AsyncConnection,
) -> None:
    event_id = await _merged_by_address(connection)
    customer_id, second = await _customer_of(connection, "1"), await _profile(connection, "2")
    effect = await split_customer(connection, customer_id, [second], AUTHOR, WORKSPACE)
    for dry_run in (True, False):
        with pytest.raises(AlreadyUndone, match="parted already"):
            await undo(connection, event_id, AUTHOR, WORKSPACE, dry_run=dry_run)
    decisions = await connection.scalars(select(tables.identity_decision.c.id))
    assert list(decisions) == [effect.decision_id]
    # Once they are one again there is something to take back.
    await undo(connection, _events(effect)[0], AUTHOR, WORKSPACE)
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 2


async def test_a_split_keeps_each_side_whole_though_the_middle_of_the_chain_leaves(
    connection: AsyncConnection,
) -> None:
    await take(
        connection,
        "customers",
        [
            {"id": "1", "email": "a@example.com"},
            {"id": "2", "email": "a@example.com", "phone": "+12015550101"},
            {"id": "3", "phone": "+12015550101"},
        ],
    )
    customer_id, middle = await _customer_of(connection, "1"), await _profile(connection, "2")
    effect = await split_customer(connection, customer_id, [middle], AUTHOR, WORKSPACE)
    assert await partition(connection) == {
        frozenset({"shop/customers/1", "shop/customers/3"}),
        frozenset({"shop/customers/2"}),
    }
    assert await _customer_of(connection, "2") == CustomerId(middle)
    (event_id,) = _events(effect)
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 1


async def test_the_later_of_two_contradicting_decisions_holds(connection: AsyncConnection) -> None:
    a, b = await _people(connection, {"first_name": "Ann"}, {"first_name": "Bob"})
    await _merge(connection, a, b)
    second = await _profile(connection, "2")
    await split_customer(connection, a, [second], AUTHOR, WORKSPACE)
    assert len(await partition(connection)) == 2
    await _merge(connection, a, CustomerId(second))
    assert len(await partition(connection)) == 1


async def test_a_review_that_is_answered_leaves_the_queue_and_decides(
    connection: AsyncConnection,
) -> None:
    await take(
        connection,
        "customers",
        [
            {"id": "1", "first_name": "Ann", "last_name": "Doe", "email": "a@example.com"},
            {"id": "2", "first_name": "Bob", "last_name": "Doe", "email": "a@example.com"},
        ],
    )
    review_id = await connection.scalar(select(tables.match_review.c.id))
    assert review_id is not None
    await decide(connection, review_id, AUTHOR, WORKSPACE, same=True)
    assert len(await partition(connection)) == 1
    assert await connection.scalar(select(tables.match_review.c.id)) is None
    with pytest.raises(NotFound):
        await decide(connection, review_id, AUTHOR, WORKSPACE, same=False)


async def test_a_contact_that_would_fit_two_joins_the_one_whom_a_person_names(
    connection: AsyncConnection,
) -> None:
    await take(
        connection,
        "customers",
        [
            {"id": "1", "first_name": "Ann", "last_name": "Doe", "email": "a@example.com"},
            {"id": "2", "first_name": "Bob", "last_name": "Doe", "email": "a@example.com"},
        ],
    )
    order = {"id": "o1", "email": "a@example.com", "placed_at": "2024-01-01T00:00:00Z"}
    await take(connection, "orders", [{**order, "currency": "EUR", "total": "7"}])
    review = tables.match_review
    contact = await _profile(connection, "email:a@example.com")
    ann = await _profile(connection, "1")
    review_id = await connection.scalar(
        select(review.c.id).where(
            review.c.left_ids.op("||")(review.c.right_ids).contains([ann, contact])
        )
    )
    assert review_id is not None
    await decide(connection, review_id, AUTHOR, WORKSPACE, same=True)
    assert await partition(connection) == {
        frozenset({"shop/customers/1", "shop/contact/email:a@example.com"}),
        frozenset({"shop/customers/2"}),
    }


async def test_a_merged_id_still_names_the_survivor(connection: AsyncConnection) -> None:
    a, b, c = await _people(connection, *({"first_name": n} for n in ("Ann", "Bob", "Cat")))
    await _merge(connection, a, b)
    effect = await _merge(connection, b, c)
    assert effect.customer_ids == [a]


async def test_what_cannot_be_decided_is_refused(connection: AsyncConnection) -> None:
    a, b = await _people(connection, {"first_name": "Ann"}, {"first_name": "Bob"})
    mine = await _profile(connection, "1")
    with pytest.raises(NotFound):
        await _merge(connection, a, CustomerId(10**12))
    with pytest.raises(BadInput, match="one customer already"):
        await _merge(connection, a, a)
    with pytest.raises(BadInput, match="both sides"):
        await split_customer(connection, a, [mine], AUTHOR, WORKSPACE)
    with pytest.raises(BadInput, match="not of customer"):
        await split_customer(connection, b, [mine], AUTHOR, WORKSPACE)
    (event_id,) = _events(await _merge(connection, a, b))
    await undo(connection, event_id, AUTHOR, WORKSPACE)
    with pytest.raises(AlreadyUndone, match="undone already"):
        await undo(connection, event_id, AUTHOR, WORKSPACE)
    with pytest.raises(BadInput, match="reason"):
        Author("ann", "  ")
