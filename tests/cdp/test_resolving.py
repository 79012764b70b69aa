"""Batch resolution goes on with whoever is new, and a pair lapses with what it compared."""

import pytest
from sqlalchemy import select

from cdp import tables
from cdp.database import Database, driver
from cdp.identity.rules import Cuts, cuts_of, parse_rules, read_document, who_set_cuts
from cdp.resolving import resolve_batch
from cdp.rulechange import apply_rules
from tests.cdp.alike import ALIKE
from tests.cdp.ingesting import WORKSPACE, partition, take

pytestmark = pytest.mark.anyio

HOME = {"street": "17 Unusual Row", "city": "Springton", "postal_code": "10001"}


async def test_a_double_is_joined_until_it_says_something_else(shop: Database) -> None:
    first = await resolve_batch(shop, WORKSPACE, full=False)
    assert (first.is_full, first.compared) == (True, ALIKE)

    await _add(shop)
    later = await resolve_batch(shop, WORKSPACE, full=False)
    assert later.is_full or later.compared == 3
    async with shop.read_only() as connection:
        groups = await partition(connection)
        versions = await connection.scalars(select(tables.match_pair.c.model_version).distinct())
        assert versions.all() == [later.model_version]
    assert {"shop/customers/x1", "desk/customers/x2"} in groups
    assert {"desk/customers/x3"} in groups

    async with shop.transaction() as connection:  # what was compared is not what it says now
        changed = {"id": "x2", "first_name": "Bartholomew", "last_name": "Quux"}
        await take(connection, "customers", [changed], source="desk")
    async with shop.read_only() as connection:
        assert {"desk/customers/x2"} in await partition(connection)


async def test_cuts_that_a_person_set_stay_until_they_are_given_up(shop: Database) -> None:
    async with shop.transaction() as connection:
        document = parse_rules("[linkage]\njoin_weight = 20.0\nreview_weight = -1.5")
        await apply_rules(connection, document, WORKSPACE, actor="cli:ann", reason="Careful.")
    kept = await resolve_batch(shop, WORKSPACE, full=True)
    assert (kept.join_weight, kept.review_weight, kept.held_by) == (20.0, -1.5, "cli:ann")
    assert kept.calibrated != Cuts(20.0, -1.5)
    again = await resolve_batch(shop, WORKSPACE, full=False)
    assert (again.is_full, again.join_weight, again.held_by) == (False, 20.0, "cli:ann")

    given_up = await resolve_batch(shop, WORKSPACE, full=False, calibrate=True)
    assert (given_up.is_full, given_up.former, given_up.held_by) == (True, Cuts(20.0, -1.5), None)
    async with shop.read_only() as connection:
        _, document, _ = await read_document(await driver(connection))
        assert await who_set_cuts(await driver(connection)) == "linkage"
    assert cuts_of(document) == given_up.calibrated
    assert given_up.joined > 0
    assert given_up.joining > kept.joining


async def _add(shop: Database) -> None:
    """One person told twice without anything in common but likeness, and a relative."""
    born = {"birth_date": "1971-05-23"}
    async with shop.transaction() as connection:
        first = {"id": "x1", "first_name": "Philippa", "last_name": "Zabrinski", **HOME, **born}
        await take(connection, "customers", [first])
        others = [
            {"id": "x2", "first_name": "Pippa", "last_name": "Zabrinsky", **HOME, **born},
            {"id": "x3", "first_name": "Gregory", "last_name": "Zabrinski", **HOME},
        ]
        await take(connection, "customers", others, source="desk")
