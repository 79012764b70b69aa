"""Customers who are new and alone are stored at once, as folding their profile would store them."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import RowMapping, delete
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.customers import refresh_attributes, refresh_facts
from cdp.survivorship_rules import DEFAULT
from cdp.tables import customer
from tests.cdp.ingesting import WORKSPACE, Row, customers, partition, take, take_mixed

pytestmark = pytest.mark.anyio


def _rows() -> st.SearchStrategy[list[Row]]:
    said: dict[str, list[object]] = {
        "email": ["ann@example.com", "Bob@Example.com", "nobody", None],
        "phone": ["+12015550101", "0", None],
        "first_name": ["Ann", "Bob", "Åsa", None],
        "last_name": ["Doe", "O'Neill", None],
        "full_name": ["Ann Doe", None],
        "birth_date": ["1980-02-29", None],
        "gender": ["f", None],
        "language": ["de", None],
        "street": ["1 Station Road", None],
        "city": ["Milton", None],
        "region": ["Kent", None],
        "postal_code": ["AB1", None],
        "country": ["gb", None],
        "loyalty_card": ["A 1", "B-2", None],
        "tags": [["vip"], None],
        "favourite_colour": ["green", {"name": "blue"}, None],
        "shoe_size": [42, None],
        "created_at": ["2024-01-02T00:00:00Z", None],
        "updated_at": ["2024-02-02T00:00:00Z", None],
        "deleted_at": ["2024-03-02T00:00:00Z", None, None, None],
    }
    row = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in said.items()})
    numbered = st.lists(row, min_size=1, max_size=6)
    return numbered.map(lambda rows: [{**one, "id": str(n)} for n, one in enumerate(rows)])


async def _folded(connection: AsyncConnection) -> tuple[Sequence[object], Sequence[object]]:
    """The customers as they are stored, and as they are when they are folded from nothing."""
    stored = await customers(connection)
    ids = [row["id"] for row in stored]
    await connection.execute(delete(customer))
    await refresh_attributes(connection, ids, DEFAULT)
    await refresh_facts(connection, ids, WORKSPACE)
    return _comparable(stored), _comparable(await customers(connection))


def _comparable(rows: Sequence[RowMapping]) -> Sequence[object]:
    return [{name: value for name, value in row.items() if name != "updated_at"} for row in rows]


@settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=_rows())
async def test_who_is_new_is_stored_as_folding_would_store_them(
    connection: AsyncConnection, rows: list[Row]
) -> None:
    savepoint = await connection.begin_nested()
    await take(connection, "customers", rows)
    stored, folded = await _folded(connection)
    await savepoint.rollback()
    assert stored == folded


async def test_a_batch_of_new_and_known_of_alone_and_joined_is_stored_as_folding_would(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{"id": "1", "email": "ann@example.com", "city": "Milton"}])
    await take_mixed(
        connection,
        [
            ("customers", {"id": "1", "email": "ann@example.com", "first_name": "Ann"}),
            ("customers", {"id": "2", "email": "ann@example.com", "last_name": "Doe"}),
            ("customers", {"id": "3", "email": "bob@example.com", "first_name": "Bob"}),
            ("customers", {"id": "4", "phone": "+12015550101", "last_name": "Roe"}),
            ("customers", {"id": "5", "phone": "+12015550101", "last_name": "Roe"}),
            ("customers", {"id": "6", "first_name": "Carla", "deleted_at": "2024-03-02T00:00:00Z"}),
            (
                "orders",
                {
                    "id": "o1",
                    "customer_id": "3",
                    "placed_at": "2024-03-02T00:00:00Z",
                    "currency": "EUR",
                    "total": "10",
                },
            ),
            (
                "orders",
                {
                    "id": "o2",
                    "email": "dora@example.com",
                    "placed_at": "2024-03-02T00:00:00Z",
                    "currency": "EUR",
                    "total": "20",
                },
            ),
        ],
    )
    assert len(await partition(connection)) == 5
    stored, folded = await _folded(connection)
    assert stored == folded
    spent = [row["net_spend"] for row in await customers(connection)]
    assert sorted(spent) == [0, 0, 0, 10, 20]
