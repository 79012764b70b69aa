"""A model comes in force at once and the map follows in steps, which a crash cannot lose."""

import asyncio
from collections.abc import Collection

import duckdb
import pytest
from sqlalchemy import func, select

from cdp import tables
from cdp.database import Database, driver, open_database
from cdp.errors import CdpError, DatabaseUnavailable
from cdp.identity import due
from cdp.identity.census.survey import who_changes
from cdp.identity.linkage.vectors import Vectors, compare_here
from cdp.identity.rules import DEFAULT_DOCUMENT
from cdp.resolving import ACTOR, resolve_batch
from cdp.rulechange import apply_rules
from cdp.stepping import take_step
from tests.cdp.alike import ALIKE, deliver
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.soundness import require_folded, require_sound

pytestmark = pytest.mark.anyio

FEW = 40  # of one step, so that there are several


async def test_steps_that_a_crash_has_left_are_taken_by_the_next_run(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "STEP", FEW)
    await _crash_in_the_second_step(shop)
    left = await _due(shop)
    assert left > 2
    step = await take_step(shop, WORKSPACE)
    assert step is not None
    assert step.joined
    assert await _due(shop) == left - 1
    async with shop.transaction() as connection:  # writers go by the model in force meanwhile
        double = {"id": "x", "first_name": "Ann", "last_name": "Doe", "email": "ann@example.com"}
        await take(connection, "customers", [double, {**double, "id": "y"}])

    resolved = await resolve_batch(shop, WORKSPACE, full=False)
    assert (resolved.is_full, resolved.compared) == (False, 2)
    assert await _due(shop) == 0
    async with shop.transaction() as connection:
        await require_sound(connection)
        await require_folded(connection)


async def test_those_who_hang_together_are_resolved_in_one_step(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "STEP", FEW)
    resolved = await resolve_batch(shop, WORKSPACE, full=True)
    assert resolved.asking
    async with shop.transaction() as connection:
        # As if nothing had been resolved yet but by ingest.
        await connection.exec_driver_sql("UPDATE source_profile SET customer_id = id")
    async with shop.read_only() as connection:
        steps = await who_changes(await driver(connection))
        weight, pair = tables.match_pair.c.weight, tables.match_pair.c
        asking = await connection.execute(
            select(pair.left_id, pair.right_id).where(weight >= resolved.review_weight)
        )
    step_of = {one: number for number, step in enumerate(steps) for one in step}
    assert len(step_of) == sum(map(len, steps)), "somebody is in two steps"
    ends = [(step_of.get(left), step_of.get(right)) for left, right in asking]
    assert len([one for one in ends if None not in one]) > FEW
    assert all(left == right for left, right in ends if None not in (left, right))
    assert all(len(step) >= FEW for step in steps[:-1])
    assert len(steps) > 2


async def test_rules_that_are_applied_leave_no_step_due(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "STEP", FEW)
    await deliver(database, ALIKE // 2)
    await _crash_in_the_second_step(database)
    assert await _due(database)
    async with database.transaction() as connection:
        await apply_rules(connection, DEFAULT_DOCUMENT, WORKSPACE, actor="ann", reason="As usual.")
        await require_sound(connection)
    assert await _due(database) == 0
    assert await take_step(database, WORKSPACE) is None


async def test_a_run_that_compared_by_a_model_of_the_past_is_refused(database: Database) -> None:
    await deliver(database, ALIKE // 2)
    first = await resolve_batch(database, WORKSPACE, full=True)
    async with database.transaction() as connection:
        await take(connection, "customers", [{"id": "x", "first_name": "Ann", "last_name": "Doe"}])

    def overtaken(connection: duckdb.DuckDBPyConnection, among: Collection[int] | None) -> Vectors:
        asyncio.run(_train_elsewhere(database.url))
        return compare_here(connection, among)

    with pytest.raises(CdpError) as refused:
        await resolve_batch(database, WORKSPACE, full=False, engine=overtaken)
    assert refused.value.code == "CHANGED"
    async with database.read_only() as connection:
        versions = await connection.scalars(select(tables.match_pair.c.model_version).distinct())
        assert versions.all() == [first.model_version + 1]


async def _crash_in_the_second_step(database: Database) -> None:
    """The first is committed; the database fails as the second writes the ledger."""
    async with database.transaction() as connection:
        for statement in (_FAIL, _FAILING):
            await connection.exec_driver_sql(statement)
    with pytest.raises(DatabaseUnavailable):
        await resolve_batch(database, WORKSPACE, full=True)
    async with database.transaction() as connection:
        await connection.exec_driver_sql("DROP TRIGGER failing ON merge_event")
        steps = select(tables.merge_event.c.at).where(tables.merge_event.c.actor == ACTOR)
        assert len((await connection.scalars(steps.distinct())).all()) == 1


_FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.actor = 'linkage' AND EXISTS (
        SELECT FROM merge_event WHERE actor = NEW.actor AND at <> NEW.at
    ) THEN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END IF;
    RETURN NEW;
END $$
"""
_FAILING = """
CREATE TRIGGER failing BEFORE INSERT ON merge_event FOR EACH ROW EXECUTE FUNCTION fail()
"""


async def _train_elsewhere(url: str) -> None:
    async with open_database(url) as other:
        await resolve_batch(other, WORKSPACE, full=True)


async def _due(database: Database) -> int:
    async with database.read_only() as connection:
        found = await connection.scalar(select(func.count()).select_from(tables.resolution_due))
    assert found is not None
    return found
