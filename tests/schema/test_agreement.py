"""One definition, three readers: the graph, the mart and the files say the same of everybody."""

import csv
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest
from pyarrow import parquet

from cdp.database import Database
from cdp.export import plan_export, write_export
from cdp.fields import camel_case
from cdp.forecasting import score_as_of
from cdp.publish import publish
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Trait
from cdp.writers import open_output
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.segmenting import a_segment, refreshed, without_starters
from tests.schema.client import Graph, serving
from tests.schema.ids import gid

pytestmark = pytest.mark.anyio

PEOPLE: Final = 60
ORDERS: Final = 160
SEGMENTS: Final = 6

Row = dict[str, Any]
Values = Mapping[str, object]
"""The values of a customer's traits, by column."""


def generated(seed: int, now: datetime) -> Mapping[str, Sequence[Row]]:
    """People of a shop, some of them twice; orders in two currencies, some given back."""
    chance = random.Random(seed)

    def ago(days: float) -> str:
        return (now - timedelta(days=days)).isoformat()

    people = [
        {
            "id": f"p{n}",
            "first_name": f"Name{n % 45}",
            "email": f"p{n % 45}@example.com",  # the last fifteen are the first ones again
            "country": chance.choice(["DE", "GB", None]),
        }
        for n in range(PEOPLE)
    ]
    orders = [
        {
            "id": f"o{n}",
            "customer_id": f"p{int(PEOPLE * chance.random() ** 2)}",
            "placed_at": ago(1 + 700 * chance.random() ** 2),
            "currency": chance.choice(["EUR", "EUR", "USD", "SEK"]),
            "total": str(Decimal(chance.randrange(1, 50_000)) / 100),
            "status": chance.choice(["completed", "completed", "completed", "cancelled"]),
            "channel": chance.choice(["web", "store"]),
        }
        for n in range(ORDERS)
    ]
    refunds = [
        {
            "id": f"r{n}",
            "order_id": f"o{n}",
            "refunded_at": ago(chance.random()),
            "amount": chance.choice(["0.01", "3.33", orders[n]["total"]]),
            "currency": orders[n]["currency"],
        }
        for n in range(0, ORDERS, 4)
    ]
    rates = [
        {
            "id": f"usd{n}",
            "on": (now - timedelta(days=n)).date().isoformat(),
            "currency": "USD",
            "base": "EUR",
            "rate": str(Decimal("0.8") + Decimal(n % 97) / 1000),
        }
        for n in range(0, 710, 5)
    ]
    messages = [
        {
            "id": f"m{n}",
            "message_id": f"m{n}",
            "customer_id": f"p{chance.randrange(PEOPLE)}",
            "channel": "email",
            "kind": chance.choice(["sent", "opened", "clicked"]),
            "occurred_at": ago(300 * chance.random()),
        }
        for n in range(80)
    ]
    return {
        "exchange_rates": rates,
        "customers": people,
        "orders": orders,
        "refunds": refunds,
        "messages": messages,
    }


def a_filter(chance: random.Random) -> Row:
    """One of some kinds, with bounds of its own."""
    return chance.choice(
        [
            {"purchases": {"netSpend": {"gte": str(chance.randrange(1, 900))}}},
            {"rfm": {"recencyDays": {"lte": chance.randrange(1, 300)}}},
            {"lifecycle": {"stage": {"in": ["AT_RISK", "LAPSED", "NEW"]}}},
            {"rfm": {"monetaryScore": {"gte": chance.randrange(1, 5)}}},
            {"not": {"engagement": {"level": {"eq": "NONE"}}}},
            {"orders": {"count": {"where": {"total": {"gte": 50}}, "gte": chance.randrange(1, 4)}}},
        ]
    )


@asynccontextmanager
async def a_shop(database: Database, seed: int) -> AsyncIterator[tuple[Graph, datetime]]:
    """The graph before a generated shop, at the moment at which its mart was published."""
    now = datetime.now(UTC)
    chance = random.Random(seed)
    async with database.transaction() as connection:
        await without_starters(connection)
        for stream, rows in generated(seed, now).items():
            await take(connection, stream, rows)
        await score_as_of(connection, WORKSPACE, now, None)
        for number in range(SEGMENTS):
            await a_segment(connection, f"Segment {number}", a_filter(chance))
    await refreshed(database)
    as_of = (await publish(database, WORKSPACE)).as_of
    async with serving(database, {}, now=as_of) as graph:
        yield graph, as_of


# What each of them says -----------------------------------------------------------------------

SELECTION: Final = " ".join(
    f"{camel_case(group.name)} {{ {' '.join(camel_case(one.name) for one in group.traits)} }}"
    for group in CATALOG
)
QUERY: Final = f"""query ($slug: String!, $after: String) {{ segment(slug: $slug) {{ memberCount
    customers(first: 25, after: $after) {{ nodes {{ id {SELECTION} }}
        pageInfo {{ hasNextPage endCursor }} }} }} }}"""


def columns() -> Sequence[tuple[str, str, Trait]]:
    """Group, column and trait of every trait."""
    return [
        (camel_case(group.name), f"{group.name}_{one.name}", one)
        for group in CATALOG
        for one in group.traits
    ]


def read(trait: Trait, text: object) -> object:
    """A value as JSON has it, in its own type."""
    if text is None or issubclass(trait.type, Enum):
        return text
    plain: Mapping[type, Callable[[Any], object]] = {
        Decimal: Decimal,
        datetime: datetime.fromisoformat,
        date: date.fromisoformat,
    }
    return plain.get(trait.type, trait.type)(text)


async def by_graph(graph: Graph, slug: str) -> Mapping[int, Values]:
    found: dict[int, Values] = {}
    after, count = None, None
    ids = {gid("Customer", n): n for n in range(1, PEOPLE + 1)}
    while True:
        segment = (await graph.read(QUERY, slug=slug, after=after))["segment"]
        count, page = segment["memberCount"], segment["customers"]
        for node in page["nodes"]:
            found[ids[node["id"]]] = {
                name: read(trait, node[group][camel_case(trait.name)])
                for group, name, trait in columns()
            }
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            assert count == len(found)
            return found


async def by_mart(database: Database, slug: str) -> Mapping[int, Values]:
    async with database.read_only() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT d.* FROM mart.dim_customer d JOIN mart.bridge_customer_segment b"
            " ON b.customer_id = d.id WHERE b.segment_slug = $1",
            (slug,),
        )
        return {row["id"]: {name: row[name] for _, name, _ in columns()} for row in rows.mappings()}


async def by_files(
    database: Database, folder: Path, slug: str, as_of: datetime
) -> Mapping[str, Mapping[int, Values]]:
    """By format."""
    plan = plan_export(f"segment:{slug}", as_of=as_of, workspace=WORKSPACE)
    async with database.read_only() as connection:
        for form in ("csv", "jsonl", "parquet"):
            with open_output(folder / form, form, plan.columns, plan.about) as writer:
                await write_export(connection, plan, writer)
    lines = (folder / "jsonl").read_text().splitlines()
    with (folder / "csv").open(newline="") as file:
        rows = [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]
    texts = {"csv": rows, "jsonl": [json.loads(line) for line in lines]}
    found: dict[str, Mapping[int, Values]] = {
        form: {
            int(str(row["id"])): {name: read(trait, row[name]) for _, name, trait in columns()}
            for row in rows
        }
        for form, rows in texts.items()
    }
    found["parquet"] = {
        row["id"]: {name: row[name] for _, name, _ in columns()}
        for row in parquet.read_table(folder / "parquet").to_pylist()
    }
    return found


def to_the_cent(values: Values) -> Values:
    """Money is the very same wherever it is told; ratios cross JSON as decimals."""
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in values.items()
    }


def is_to_the_cent(values: Values) -> bool:
    """Whether money is told with the two places of the workspace's currency."""
    money = [values[name] for _, name, trait in columns() if trait.unit == "currency"]
    return all(value.as_tuple().exponent == -2 for value in money if isinstance(value, Decimal))


def total(members: Mapping[int, Values], name: str) -> Decimal:
    """The sum of a column, to the cent."""
    return round(sum((Decimal(str(each[name])) for each in members.values()), Decimal()), 2)


async def agree(database: Database, folder: Path, seed: int) -> int:
    """Compare all of them; returns how many memberships there were."""
    memberships = 0
    async with a_shop(database, seed) as (graph, as_of):
        for number in range(SEGMENTS):
            slug = f"segment-{number}"
            mart = await by_mart(database, slug)
            readers = await by_files(database, folder, slug, as_of)
            readers = {**readers, "graph": await by_graph(graph, slug)}
            for reader, members in readers.items():
                assert members.keys() == mart.keys(), (slug, reader)
                for one, values in members.items():
                    assert to_the_cent(values) == to_the_cent(mart[one]), (slug, reader, one)
                    assert is_to_the_cent(values) or reader == "parquet", (slug, reader, one)
                for name in ("purchases_net_spend", "purchases_gross_spend", "purchases_refunded"):
                    assert total(members, name) == total(mart, name), (slug, reader)
            memberships += len(mart)
    return memberships


async def test_graph_mart_and_files_agree_on_everybody(database: Database, tmp_path: Path) -> None:
    assert await agree(database, tmp_path, seed=1) > PEOPLE


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 22))
async def test_they_agree_whatever_the_shop(database: Database, tmp_path: Path, seed: int) -> None:
    await agree(database, tmp_path, seed)
