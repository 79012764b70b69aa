"""RFM scores: quintiles by value, ties together, every pair of scores in one group."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.forecasting import score_as_of
from cdp.traits.rfm import GROUPS, SHOPIFY_NAMES
from cdp.workspace import Workspace
from tests.cdp.scoring.shop import NOW, TODAY, traits_of

pytestmark = pytest.mark.anyio

WORKSPACE = Workspace(timezone="UTC")


async def scores(
    connection: AsyncConnection, values: Sequence[int], others: Sequence[int] = ()
) -> list[dict[str, object]]:
    """Score customers of so many days since the last order, so many orders, so much net spend.

    The traits of them, and then of the others, who take no part in finding the cut points.
    """
    await _add(connection, values, 1)
    await score_as_of(connection, WORKSPACE, NOW, None)
    await _add(connection, others, 1 + len(values))
    told = await traits_of(connection, "rfm", NOW, WORKSPACE)
    return [told[one] for one in sorted(told)]


async def _add(connection: AsyncConnection, values: Sequence[int], first: int) -> None:
    rows = [
        {
            "id": number,
            "attributes": {},
            "profile_count": 1,
            "created_at": NOW,
            "updated_at": NOW,
            "search": "",
            "order_count": value,
            "gross_spend": value * 10,
            "last_order_on": TODAY - timedelta(days=value),
        }
        for number, value in enumerate(values, first)
    ]
    if rows:
        await connection.execute(insert(tables.customer), rows)


@pytest.mark.parametrize("values", [[1], [3, 3, 3], [1, 2, 2, 2, 5, 9, 9], [7, 1, 4] * 9 + [12]])
async def test_equal_values_share_a_score_and_at_most_a_fifth_is_above_each_cut(
    connection: AsyncConnection, values: list[int]
) -> None:
    told = await scores(connection, values)
    for name, falls in (("frequency", False), ("monetary", False), ("recency", True)):
        of_value: dict[int, set[int]] = {}
        for value, row in zip(values, told, strict=True):
            of_value.setdefault(value, set()).add(int(str(row[f"{name}_score"])))
        assert all(len(found) == 1 for found in of_value.values())
        rising = [min(of_value[value]) for value in sorted(of_value, reverse=falls)]
        assert rising == sorted(rising)
        for score, share in ((5, 0.2), (4, 0.4), (3, 0.6), (2, 0.8)):
            above = sum(int(str(row[f"{name}_score"])) >= score for row in told)
            assert above <= share * len(values) + 1e-9


async def test_hundred_different_customers_are_twenty_of_each_score(
    connection: AsyncConnection,
) -> None:
    told = await scores(connection, range(1, 101))
    for name in ("recency_score", "frequency_score", "monetary_score"):
        assert Counter(row[name] for row in told) == dict.fromkeys(range(1, 6), 20)
    # The fewest days since the last order are the best, the most orders are.
    assert (told[0]["code"], told[-1]["code"]) == ("511", "155")
    assert told[0]["group"] is tables.RfmGroup.NEW
    assert told[-1]["group"] is tables.RfmGroup.CANNOT_LOSE
    assert told[-1]["shopify_group"] is tables.ShopifyRfmGroup.PREVIOUSLY_LOYAL


async def test_where_most_buy_once_they_all_have_the_lowest_frequency(
    connection: AsyncConnection,
) -> None:
    values = [1] * 65 + [2] * 20 + [3] * 8 + [9] * 7
    told = await scores(connection, values)
    by_value = {value: row["frequency_score"] for value, row in zip(values, told, strict=True)}
    assert by_value == {1: 1, 2: 4, 3: 5, 9: 5}


async def test_who_comes_later_is_held_to_the_stored_cuts(connection: AsyncConnection) -> None:
    told = await scores(connection, range(1, 101), [20, 21, 500])
    assert [row["frequency_score"] for row in told[-3:]] == [1, 2, 5]
    assert [row["monetary_score"] for row in told[-3:]] == [1, 2, 5]
    assert [row["recency_score"] for row in told[-3:]] == [5, 4, 1]


def test_every_pair_of_scores_is_in_one_group_and_every_group_is_reached() -> None:
    assert set(GROUPS) == {(r, f) for r in range(1, 6) for f in range(1, 6)}
    assert set(GROUPS.values()) == set(tables.RfmGroup) - {tables.RfmGroup.PROSPECT}
    assert GROUPS[5, 5] is tables.RfmGroup.CHAMPIONS
    assert GROUPS[5, 1] is tables.RfmGroup.NEW
    assert GROUPS[2, 5] is tables.RfmGroup.CANNOT_LOSE


def test_shopifys_eleven_names_are_one_for_each_group() -> None:
    assert set(SHOPIFY_NAMES) == set(tables.RfmGroup)
    assert set(SHOPIFY_NAMES.values()) == set(tables.ShopifyRfmGroup)
    assert len(tables.ShopifyRfmGroup) == 11
