"""Recommendations: pairs counted as a plain recomputation counts them, and what one is shown."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any, Final

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import recommendations, tables
from cdp.delivery import Deleted
from cdp.recommendations import LEAST_CUSTOMERS, MAX_PAIRS, recommended, refresh
from tests.cdp.ingesting import WORKSPACE, Row, drop, take_mixed

pytestmark = pytest.mark.anyio

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def an_order(
    key: str, who: str, articles: Sequence[str], day: int = 0, **columns: object
) -> tuple[str, Row]:
    lines = [
        {"sku": sku, "title": f"The {sku}", "quantity": 1, "unit_price": "5"} for sku in articles
    ]
    return "orders", {
        "id": key,
        "customer_id": who,
        "placed_at": (START + timedelta(days=day)).isoformat(),
        "currency": "EUR",
        "total": "5",
        "lines": lines,
        **columns,
    }


def people(*names: str) -> list[tuple[str, Row]]:
    return [("customers", {"id": name, "email": f"{name}@example.com"}) for name in names]


async def pairs(connection: AsyncConnection) -> dict[str, list[tuple[str, int, float, float]]]:
    """Of each article its pairs, in their order: the other, customers, lift, score."""
    p = tables.article_pair.c
    found: dict[str, list[tuple[str, int, float, float]]] = defaultdict(list)
    rows = await connection.execute(
        select(p.code, p.rank, p.other_code, p.customers, p.lift, p.score).order_by(p.code, p.rank)
    )
    for code, rank, *rest in rows:
        found[code].append(tuple(rest))
        assert len(found[code]) == rank
    return dict(found)


async def shown(connection: AsyncConnection, who: str, count: int = 10) -> list[Any]:
    """What a customer is shown: code, because of which code."""
    profile = tables.source_profile
    profiles = select(profile.c.id).where(profile.c.key == who)
    rows = await connection.execute(recommended(profiles, WORKSPACE, func.now(), count))
    return [(row.other_code, row.code) for row in rows]


def recomputed(
    baskets: Mapping[str, set[str]],
) -> dict[str, list[tuple[str, int, float, float]]]:
    everybody = len(baskets)
    found: dict[str, list[tuple[str, int, float, float]]] = {}
    articles = {code for basket in baskets.values() for code in basket}
    buyers = {code: sum(code in basket for basket in baskets.values()) for code in articles}
    for one, other in permutations(articles, 2):
        both = sum({one, other} <= basket for basket in baskets.values())
        if both < LEAST_CUSTOMERS:
            continue
        lift = both * everybody / (buyers[one] * buyers[other])
        score = lift * (1 - 1 / math.sqrt(both))
        if score > 1 + 1e-9:
            found.setdefault(one, []).append((other, both, lift, score))
    return {
        one: sorted(others, key=lambda each: (-round(each[3], 9), each[0]))[:MAX_PAIRS]
        for one, others in found.items()
    }


async def test_pairs_are_those_of_a_recomputation_from_the_baskets(
    connection: AsyncConnection,
) -> None:
    chance = random.Random(3)
    tastes = [[f"a{n}" for n in range(start, start + 9)] for start in (0, 6, 20)]
    names = [f"c{n}" for n in range(60)]
    rows = people(*names)
    baskets: dict[str, set[str]] = defaultdict(set)
    for number in range(200):
        who = chance.choice(names)
        articles = chance.sample(tastes[int(who[1:]) % 3], chance.randrange(1, 4))
        rows.append(an_order(f"o{number}", who, articles, day=number % 90))
        baskets[who] |= {f"sku:{sku}" for sku in articles}
    await take_mixed(connection, rows)
    counted = await refresh(connection, WORKSPACE)
    told, wanted = await pairs(connection), recomputed(baskets)
    assert len(wanted) > 10
    assert told.keys() == wanted.keys()
    for code, others in wanted.items():
        assert [one[:2] for one in told[code]] == [one[:2] for one in others]
        for (_, _, *measured), (_, _, *expected) in zip(told[code], others, strict=True):
            assert measured == pytest.approx(expected)
    assert (counted.articles, counted.pairs) == (len(wanted), sum(map(len, wanted.values())))
    assert await refresh(connection, WORKSPACE) == counted
    assert await pairs(connection) == told


async def tea_and_milk(connection: AsyncConnection, *more: tuple[str, Row]) -> None:
    """Six buy tea, five of them milk too; ten buy something else; Zoe has tea alone."""
    rows = people(*(f"p{n}" for n in range(16)), "zoe")
    rows += [an_order(f"t{n}", f"p{n}", ["tea"]) for n in range(6)]
    rows += [an_order(f"m{n}", f"p{n}", ["milk"], day=30) for n in range(5)]
    rows += [an_order(f"n{n}", f"p{n}", [f"nail{n % 2}"]) for n in range(6, 16)]
    await take_mixed(connection, [*rows, an_order("z", "zoe", ["tea"]), *more])
    await refresh(connection, WORKSPACE)


async def test_customer_is_shown_what_goes_with_what_was_bought_and_not_that_itself(
    connection: AsyncConnection,
) -> None:
    await tea_and_milk(connection)
    assert await shown(connection, "zoe") == [("sku:milk", "sku:tea")]
    assert await shown(connection, "p0") == []  # has both
    assert await shown(connection, "p7") == []  # nothing goes with nails
    (pair,) = (await pairs(connection))["sku:tea"]
    assert pair[:2] == ("sku:milk", 5)
    assert pair[2:] == pytest.approx((17 / 7, 17 / 7 * (1 - 5**-0.5)))
    title = select(tables.article.c.title).where(tables.article.c.code == "sku:milk")
    assert await connection.scalar(title) == "The milk"


async def test_only_qualifying_orders_count(connection: AsyncConnection) -> None:
    refund = {"id": "r", "order_id": "full", "amount": "5", "currency": "EUR"}
    await tea_and_milk(
        connection,
        an_order("void", "zoe", ["milk"], status="cancelled"),
        an_order("full", "zoe", ["milk"]),
        ("refunds", {**refund, "refunded_at": START.isoformat()}),
        *(an_order(f"x{n}", f"p{n}", ["nail0"], status="failed") for n in range(6)),
    )
    assert await shown(connection, "zoe") == [("sku:milk", "sku:tea")]
    assert list(await pairs(connection)) == ["sku:milk", "sku:tea"]


async def test_what_is_sold_no_more_is_not_recommended_and_leads_to_what_is(
    connection: AsyncConnection,
) -> None:
    baskets = [an_order(f"o{n}", f"p{n}", ["cup", "tea"]) for n in range(LEAST_CUSTOMERS)]
    only = [an_order("a", "cups", ["cup"]), an_order("b", "teas", ["tea"])]
    names = [f"p{n}" for n in range(LEAST_CUSTOMERS)]
    crowd = [an_order(f"x{n}", f"q{n}", ["jam"]) for n in range(9)]
    others = people("cups", "teas", *(f"q{n}" for n in range(9)), *names)
    cup = ("products", {"id": "1", "sku": "cup", "title": "Cup"})
    await take_mixed(connection, [cup, *others, *baskets, *only, *crowd])
    await refresh(connection, WORKSPACE)
    assert await shown(connection, "teas") == [("sku:cup", "sku:tea")]
    await drop(connection, Deleted("products", "1", START))
    await refresh(connection, WORKSPACE)
    assert await shown(connection, "teas") == []
    assert await shown(connection, "cups") == [("sku:tea", "sku:cup")]


async def test_an_article_is_one_in_every_source_by_its_sku(connection: AsyncConnection) -> None:
    rows = people(*(f"p{n}" for n in range(16)), "zoe")
    product = {"id": "77", "sku": "milk", "title": "Fresh milk", "category": "Dairy"}
    bare: Row = {"lines": [{"product_id": "77", "quantity": 1, "unit_price": "5"}]}
    rows += [("products", {**product, "price": "1.20", "currency": "EUR"})]
    rows += [an_order(f"t{n}", f"p{n}", ["tea"]) for n in range(4)]
    rows += [an_order(f"m{n}", f"p{n}", ["milk"]) for n in range(2)]
    rows += [("orders", {**an_order(f"b{n}", f"p{n}", [])[1], **bare}) for n in range(2, 4)]
    rows += [an_order(f"n{n}", f"p{n}", ["nail"]) for n in range(4, 16)]
    await take_mixed(connection, [*rows, an_order("z", "zoe", ["tea"])])
    await refresh(connection, WORKSPACE)
    assert await shown(connection, "zoe") == [("sku:milk", "sku:tea")]
    query = select(tables.article).where(tables.article.c.sku == "milk")
    row = (await connection.execute(query)).one()
    assert (row.title, row.category, row.price) == ("Fresh milk", "Dairy", Decimal("1.20"))
    assert row.customers == 4


async def test_a_walk_in_account_counts_by_its_latest_articles_alone(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommendations, "MAX_ARTICLES", 2)
    others = [f"p{n}" for n in range(12)]
    rows = people("a", "b", "c", *others)
    for who in ("a", "b", "c"):
        rows += [an_order(f"{who}{n}", who, [sku], day=n) for n, sku in enumerate("xyz")]
    await take_mixed(connection, [*rows, *(an_order(f"w{who}", who, ["w"]) for who in others)])
    await refresh(connection, WORKSPACE)
    told = await pairs(connection)
    assert {code: [one[0] for one in theirs] for code, theirs in told.items()} == {
        "sku:y": ["sku:z"],
        "sku:z": ["sku:y"],
    }


async def test_of_equal_recommendations_the_first_in_the_alphabet_comes_first(
    connection: AsyncConnection,
) -> None:
    rows = people(*(f"p{n}" for n in range(20)), "zoe")
    rows += [an_order(f"t{n}", f"p{n}", ["tea", "cup", "bun"]) for n in range(8)]
    rows += [an_order(f"n{n}", f"p{n}", ["nail"]) for n in range(8, 20)]
    await take_mixed(connection, [*rows, an_order("z", "zoe", ["tea"])])
    await refresh(connection, WORKSPACE)
    assert await shown(connection, "zoe") == [("sku:bun", "sku:tea"), ("sku:cup", "sku:tea")]
    assert await shown(connection, "zoe", count=1) == [("sku:bun", "sku:tea")]
