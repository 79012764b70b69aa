"""The customers and their facts depend on what was said, not on when or how it arrived."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.delivery import Batch, Deleted, Delivery, Refused, receive
from cdp.ingest import apply
from cdp.tables import FACT_COLUMNS
from tests.cdp.ingesting import WORKSPACE, a_source, facts_by_members, partition

pytestmark = pytest.mark.anyio

START = datetime(2024, 1, 1, tzinfo=UTC)
SOURCES = ("shop", "till")
GIVEN = ("Ann", "Annie", "Bob", "Robert", "Carla", None)
FAMILY = ("Doe", "Smith", None)
EMAILS = ("ann@example.com", "bob@example.com", "home@example.com", "x@example.com", None)
PHONES = ("+12015550101", "+12015550102", None)
CARDS = ("A1", "B2", None, None, None)

Said = tuple[str, Delivery]


def _moments() -> st.SearchStrategy[str]:
    return st.integers(0, 5).map(lambda days: (START + timedelta(days=days)).isoformat())


def _customer() -> st.SearchStrategy[tuple[str, Mapping[str, object]]]:
    row = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["1", "2", "3", "4"]),
            "first_name": st.sampled_from(GIVEN),
            "last_name": st.sampled_from(FAMILY),
            "email": st.sampled_from(EMAILS),
            "phone": st.sampled_from(PHONES),
            "loyalty_card": st.sampled_from(CARDS),
            "updated_at": _moments(),
        }
    )
    return row.map(lambda one: ("customers", one))


def _order() -> st.SearchStrategy[tuple[str, Mapping[str, object]]]:
    row = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["o1", "o2", "o3"]),
            "customer_id": st.sampled_from(["1", "2", None]),
            "email": st.sampled_from(EMAILS),
            "placed_at": _moments(),
            "currency": st.sampled_from(["EUR", "USD"]),
            "total": st.sampled_from(["10.00", "25.50"]),
            "status": st.sampled_from(["paid", "cancelled", "refunded", None]),
            "channel": st.sampled_from(["web", "till", None]),
            "updated_at": _moments(),
            "lines": st.just([{"quantity": 1, "unit_price": "10", "product_id": "p1"}]),
        }
    )
    return row.map(lambda one: ("orders", one))


def _rest() -> st.SearchStrategy[tuple[str, Mapping[str, object]]]:
    refund = {"id": "r1", "order_id": "o1", "refunded_at": START.isoformat(), "currency": "EUR"}
    rate = {"on": "2024-01-01", "currency": "USD", "base": "EUR", "rate": "0.9"}
    line = {"order_id": "o3", "line": "9", "quantity": 2, "unit_price": "3", "category": "Food"}
    rows: list[tuple[str, Mapping[str, object]]] = [
        ("refunds", {**refund, "amount": "4"}),
        ("refunds", {**refund, "id": "r2", "order_id": "o2", "amount": "90"}),
        ("products", {"id": "p1", "title": "Tea", "category": "Drinks"}),
        ("exchange_rates", rate),
        ("order_lines", line),
    ]
    return st.sampled_from(rows)


def _said() -> st.SearchStrategy[list[Said]]:
    received = st.one_of(_customer(), _customer(), _order(), _rest()).map(
        lambda one: receive(one[0], one[1])
    )
    deleted = st.tuples(
        st.sampled_from([("customers", "1"), ("customers", "2"), ("orders", "o1")]),
        st.integers(0, 5),
    ).map(lambda one: Deleted(*one[0], START + timedelta(days=one[1])))
    delivery: st.SearchStrategy[Delivery] = st.one_of(received, received, received, deleted)
    return st.lists(st.tuples(st.sampled_from(SOURCES), delivery), min_size=2, max_size=14)


async def _tell(connection: AsyncConnection, said: Sequence[Said], *, batch_size: int) -> object:
    """Deliver in this order, in batches of one source each, and describe the result."""
    for name in SOURCES:
        await a_source(connection, name)
    for start in range(0, len(said), batch_size):
        for name in SOURCES:
            part = [
                delivery for source, delivery in said[start : start + batch_size] if source == name
            ]
            assert not [one for one in part if isinstance(one, Refused)]
            if part:
                batch = Batch(await a_source(connection, name), part)
                await apply(connection, batch, WORKSPACE)
    facts = {column.name for column in FACT_COLUMNS}
    return await partition(connection), {
        members: {name: value for name, value in row.items() if name in facts}
        for members, row in (await facts_by_members(connection)).items()
    }


@settings(
    max_examples=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    said=_said(), seed=st.integers(0, 1000), sizes=st.tuples(st.integers(1, 4), st.integers(2, 14))
)
async def test_any_order_batching_and_repetition_give_the_same_customers_and_facts(
    connection: AsyncConnection, said: list[Said], seed: int, sizes: tuple[int, int]
) -> None:
    results = []
    shuffled = said + said[: len(said) // 2]
    random.Random(seed).shuffle(shuffled)
    for history, size in ((said, sizes[0]), (shuffled, sizes[1])):
        savepoint = await connection.begin_nested()
        results.append(await _tell(connection, history, batch_size=size))
        await savepoint.rollback()
    assert results[0] == results[1]
