"""Batch linkage through the product: people who share no identifier become one, or a question."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec
import pytest
from sqlalchemy import select

from benchmarks.shoppers import tell
from cdp import tables
from cdp.database import Database, driver, open_database
from cdp.deciding import Author
from cdp.errors import CdpError
from cdp.identity.rules import read_document
from cdp.resolving import resolve_batch
from cdp.rulechange import try_rules
from cdp.stewardship import undo
from tests.cdp.ingesting import WORKSPACE, take
from tests.server import Server

pytestmark = pytest.mark.anyio

SEED = 20_260
RECORDS = 2_000
NEW = 60
AUTHOR = Author("ann", "They are two.")


async def _ingest(database: Database, first: int, last: int) -> None:
    """Some of the made-up records."""
    rows: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for number, one in enumerate(tell(SEED, RECORDS)):
        if first <= number < last:
            rows[one.source].append(msgspec.to_builtins(one.record))
    async with database.transaction() as connection:
        for source, records in rows.items():
            await take(connection, "customers", records, source=source)


def _truth() -> dict[str, int]:
    """Who each record truly is of."""
    return {f"{one.source}/{one.record.id}": one.person for one in tell(SEED, RECORDS)}


@pytest.fixture(scope="session")
def shoppers(server: Server, template: str) -> str:
    """The name of a database with all but the newest records."""

    def fill(url: str) -> None:
        async def ingest() -> None:
            async with open_database(url) as database:
                await _ingest(database, 0, RECORDS - NEW)

        asyncio.run(ingest())

    return server.built("shoppers", fill, template)


@pytest.fixture
async def shop(server: Server, shoppers: str) -> AsyncIterator[Database]:
    """A copy of it, open."""
    name = server.draw()
    await server.create(name, shoppers)
    async with open_database(server.url_of(name)) as database:
        yield database
    await server.drop(name)


async def _customers(database: Database) -> Mapping[str, int]:
    profile, source = tables.source_profile, tables.source
    async with database.read_only() as connection:
        rows = await connection.execute(
            select(source.c.name, profile.c.key, profile.c.customer_id).join(
                source, source.c.id == profile.c.source_id
            )
        )
        return {f"{name}/{key}": customer_id for name, key, customer_id in rows}


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _judged(found: Mapping[str, int], truth: Mapping[str, int]) -> tuple[float, float]:
    """Pairwise precision and recall."""
    right = _pairs(Counter((found[one], truth[one]) for one in truth).values())
    said = _pairs(Counter(found[one] for one in truth).values())
    return right / said, right / _pairs(Counter(truth.values()).values())


async def test_likeness_joins_people_whom_no_identifier_ties_and_rarely_the_wrong_ones(
    shop: Database,
) -> None:
    database, truth = shop, _truth()
    await _ingest(database, RECORDS - NEW, RECORDS)
    precision, recall = _judged(await _customers(database), truth)
    run = await resolve_batch(database, WORKSPACE, full=True)
    assert run.is_full
    assert run.joining > 0
    linked_precision, linked_recall = _judged(await _customers(database), truth)
    assert linked_recall > recall
    assert linked_precision > max(precision - 0.01, 0.95)
    async with database.read_only() as connection:
        # Online equals offline: the rules in force see the same customers in what is stored.
        _, document, model_version = await read_document(await driver(connection))
        assert model_version == run.model_version
        same = await try_rules(connection, document)
    assert (same.joined, same.parted) == (0, 0)


async def test_a_later_run_compares_what_is_new_and_what_a_person_parted_stays_parted(
    shop: Database,
) -> None:
    database = shop
    await resolve_batch(database, WORKSPACE, full=True)
    event = tables.merge_event
    alike = event.c.evidence.contains([{"kind": "similarity"}])
    async with database.transaction() as connection:
        event_id = await connection.scalar(
            select(event.c.id).where(alike, event.c.kind == "merged").order_by(event.c.id).limit(1)
        )
        assert event_id is not None
        effect = await undo(connection, event_id, AUTHOR, WORKSPACE)
        assert [one.kind for one in effect.changes] == ["split"]
    before = await _customers(database)
    await _ingest(database, RECORDS - NEW, RECORDS)
    run = await resolve_batch(database, WORKSPACE, full=False)
    # Where one of them is alike in a way that training has not seen, it is trained anew.
    assert run.is_full or 0 < run.compared <= NEW
    again = await resolve_batch(database, WORKSPACE, full=False)
    assert (again.compared, again.joined, again.parted) == (0, 0, 0)
    parted = {one for change in effect.changes for one in change.profile_ids}
    async with database.read_only() as connection:
        profile = tables.source_profile
        rows = await connection.execute(select(profile.c.id, profile.c.customer_id))
        now = {row[0]: row[1] for row in rows}
    sides = {now[one] for one in parted}
    others = {change.from_customer_id for change in effect.changes}
    assert sides.isdisjoint(now[one] for one in others)
    assert before.keys() <= (await _customers(database)).keys()


async def test_too_little_to_learn_from_is_told_and_changes_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        await take(connection, "customers", [{"id": "1", "first_name": "Ann"}])
    with pytest.raises(CdpError, match="too few to learn from"):
        await resolve_batch(database, WORKSPACE, full=False)
    async with database.read_only() as connection:
        assert await connection.scalar(select(tables.linkage_model.c.version)) is None
