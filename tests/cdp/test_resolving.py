"""Batch resolution on a database: a model is trained, pairs become evidence, the map follows."""

import pytest
from sqlalchemy import func, select

from benchmarks.judging import judge
from benchmarks.shoppers import tell
from cdp import tables
from cdp.database import Database, driver
from cdp.delivery import Batch, Received
from cdp.errors import CdpError
from cdp.identity.rules import read_rules
from cdp.ingest import apply
from cdp.resolving import resolve_batch
from tests.cdp.ingesting import WORKSPACE, a_source, partition, take

pytestmark = pytest.mark.anyio

SEED, COUNT = 43, 2_500


async def _import(database: Database, seed: int, count: int) -> dict[str, int]:
    """Made-up shoppers from several sources; `source/stream/key` to the true person."""
    told = list(tell(seed, count))
    for source in sorted({one.source for one in told}):
        records = [Received(one.record) for one in told if one.source == source]
        async with database.transaction() as connection:
            batch = Batch(await a_source(connection, source), records)
            await apply(connection, batch, WORKSPACE)
    return {f"{one.source}/customers/{one.record.id}": one.person for one in told}


async def _judged(database: Database, truth: dict[str, int]) -> tuple[float, float, float]:
    async with database.read_only() as connection:
        groups = await partition(connection)
    cluster = {key: number for number, group in enumerate(groups) for key in group}
    found = judge([cluster[key] for key in truth], list(truth.values()))
    return found.precision, found.recall, found.f1


async def test_resolving_joins_whom_identifiers_alone_do_not_and_goes_on_with_who_is_new(
    database: Database,
) -> None:
    truth = await _import(database, SEED, COUNT)
    _, recall_before, f1_before = await _judged(database, truth)
    first = await resolve_batch(database, WORKSPACE, full=False)
    assert (first.is_full, first.profiles, first.compared) == (True, COUNT, COUNT)
    precision, recall, f1 = await _judged(database, truth)
    assert precision > 0.96
    assert recall > recall_before + 0.05
    assert f1 > f1_before + 0.05
    async with database.read_only() as connection:
        rules = await read_rules(await driver(connection))
        assert rules.model_version == first.model_version
        assert rules.cuts.join_weight == pytest.approx(first.join_weight)
        pair = tables.match_pair
        versions = (await connection.scalars(select(pair.c.model_version).distinct())).all()
        assert versions == [first.model_version]

    again = await resolve_batch(database, WORKSPACE, full=False)
    assert (again.is_full, again.compared, again.candidates) == (False, 0, 0)
    assert again.model_version == first.model_version

    await _add_a_stranger_and_a_double(database)
    later = await resolve_batch(database, WORKSPACE, full=False)
    assert (later.is_full, later.compared) == (False, 3)
    assert later.model_version == first.model_version
    async with database.read_only() as connection:
        groups = await partition(connection)
    assert {"shop/customers/x1", "desk/customers/x2"} in groups
    assert {"desk/customers/x3"} in groups

    async with database.transaction() as connection:  # what was compared is not what it says now
        changed = {"id": "x2", "first_name": "Bartholomew", "last_name": "Quux"}
        await take(connection, "customers", [changed], source="desk")
    async with database.read_only() as connection:
        assert {"desk/customers/x2"} in await partition(connection)


async def _add_a_stranger_and_a_double(database: Database) -> None:
    home = {"street": "17 Unusual Row", "city": "Springton", "postal_code": "10001"}
    born = {"birth_date": "1971-05-23"}
    async with database.transaction() as connection:
        first = {"id": "x1", "first_name": "Philippa", "last_name": "Zabrinski", **home, **born}
        await take(connection, "customers", [first])
        others = [
            {"id": "x2", "first_name": "Pippa", "last_name": "Zabrinsky", **home, **born},
            {"id": "x3", "first_name": "Gregory", "last_name": "Zabrinski", **home},
        ]
        await take(connection, "customers", others, source="desk")


async def test_there_is_nothing_to_learn_from_a_handful(database: Database) -> None:
    async with database.transaction() as connection:
        await take(connection, "customers", [{"id": "1", "first_name": "Ann"}])
    with pytest.raises(CdpError, match="too few to learn from"):
        await resolve_batch(database, WORKSPACE, full=False)
    async with database.read_only() as connection:
        models = await connection.scalar(select(func.count()).select_from(tables.linkage_model))
        assert models == 0
