"""Scores follow whatever happens to customers, as if everybody had been scored again."""

from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.deciding import Author
from cdp.scoring.basis import BASIS_ID
from cdp.scoring.estimate import Estimate
from cdp.scoring.forecast import Terms
from cdp.scoring.gamma_gamma import GammaGamma
from cdp.scoring.intervals import NOMINAL
from cdp.scoring.model import ModelName
from cdp.scoring.rescore import rescore
from cdp.segments.refresh import take_turn
from cdp.stewardship import merge_customers, undo
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.scoring.shop import NOW
from tests.cdp.segmenting import (
    Stage,
    a_segment,
    customer_ids,
    members,
    refreshed,
    without_starters,
)

pytestmark = pytest.mark.anyio

AUTHOR: Final = Author("ann", "They wrote to us.")

ESTIMATE: Final = Estimate(
    kind=ModelName.MBG_NBD,
    orders=(0.525, 43.3, 0.891, 1.614),
    spend=GammaGamma(6.25, 3.74, 15.44),
    levels=NOMINAL,
    terms=Terms(),
)


async def put_in_force(connection: AsyncConnection) -> None:
    """A model that another shop's customers were fitted to: no shop of a test has enough."""
    await connection.execute(
        tables.score_model.insert().values(
            version=1,
            computed_at=NOW,
            as_of=NOW,
            horizon_days=365,
            discount_rate=0,
            margin=1,
            currency="EUR",
            kind=ESTIMATE.kind,
            estimate=msgspec.to_builtins(ESTIMATE),
            shortfalls=[],
            plans={},
        )
    )
    basis = {"id": BASIS_ID, "version": 1, "kind": ESTIMATE.kind}
    await connection.execute(tables.score_basis.insert().values(basis))


async def scores(connection: AsyncConnection) -> dict[int, dict[str, Any]]:
    """All but when, and the rank, which is that of the last scoring of all."""
    rows = (await connection.execute(select(tables.score))).mappings()
    left_out = ("computed_at", "rank", "predicted_low", "predicted_high")
    return {
        row["customer_id"]: {name: row[name] for name in row if name not in left_out}
        for row in rows
    }


async def followed(connection: AsyncConnection) -> dict[int, dict[str, Any]]:
    """The scores once what happened was followed, the same as those of everybody scored anew."""
    await refreshed(Stage(connection))
    found = await scores(connection)
    await rescore(connection, WORKSPACE, await take_turn(connection), None)
    assert found == await scores(connection)
    return found


async def test_orders_refunds_merges_and_what_undoes_them_leave_the_scores_of_a_whole_scoring(
    connection: AsyncConnection,
) -> None:
    await without_starters(connection)
    await put_in_force(connection)
    people = [{"id": key, "first_name": key} for key in ("ann", "bob", "cid")]
    await take(connection, "customers", people)
    orders = [
        {"id": f"{key}{day}", "customer_id": key, "placed_at": f"2026-0{day}-03T10:00:00Z",
         "currency": "EUR", "total": 20 * day}
        for key, days in (("ann", (1, 2, 4)), ("bob", (3,)))
        for day in days
    ]  # fmt: skip
    await take(connection, "orders", orders)
    who = await customer_ids(connection)
    ann, bob = CustomerId(who["ann"]), CustomerId(who["bob"])
    first = await followed(connection)
    assert first.keys() == {ann, bob}

    given_back = {"id": "r", "order_id": "ann4", "refunded_at": "2026-05-01T10:00:00Z",
                  "amount": 80, "currency": "EUR"}  # fmt: skip
    await take(connection, "refunds", [given_back])
    refunded = await followed(connection)
    assert refunded[ann]["alive"] < first[ann]["alive"]
    assert refunded[bob] == first[bob]

    effect = await merge_customers(connection, [ann, bob], AUTHOR, WORKSPACE)
    merged = await followed(connection)
    assert merged.keys() == {ann}
    assert merged[ann]["expected_orders"] > refunded[ann]["expected_orders"]

    events = [one.event_id for one in effect.changes if one.event_id is not None]
    await undo(connection, events[0], AUTHOR, WORKSPACE)
    assert await followed(connection) == refunded


async def test_a_merge_tells_at_once_which_forecast_and_which_segments_become_others(
    connection: AsyncConnection,
) -> None:
    await without_starters(connection)
    await put_in_force(connection)
    await a_segment(connection, "regulars", {"purchases": {"orderCount": {"gte": 3}}})
    await a_segment(connection, "newcomers", {"purchases": {"orderCount": {"eq": 1}}})
    people = [{"id": key, "first_name": key} for key in ("ann", "bob")]
    await take(connection, "customers", people)
    orders = [
        {"id": f"{key}{day}", "customer_id": key, "placed_at": f"2026-0{day}-03T10:00:00Z",
         "currency": "EUR", "total": 20}
        for key, days in (("ann", (1, 2)), ("bob", (3,)))
        for day in days
    ]  # fmt: skip
    await take(connection, "orders", orders)
    await refreshed(Stage(connection))
    who = await customer_ids(connection)
    both = [CustomerId(who["ann"]), CustomerId(who["bob"])]
    tried = await merge_customers(connection, both, AUTHOR, WORKSPACE, dry_run=True)
    assert await members(connection) == {"regulars": set(), "newcomers": {both[1]}}
    done = await merge_customers(connection, both, AUTHOR, WORKSPACE)
    told = {one.name: (one.before, one.after) for one in done.traits}
    assert told == {one.name: (one.before, one.after) for one in tried.traits}
    assert told["segments"] == (None, ["regulars"])
    before, after = told["cltv.expectedOrders"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert after > before
    assert await members(connection) == {"regulars": {both[0]}, "newcomers": set()}
    scored = await scores(connection)
    await followed(connection)
    assert await scores(connection) == scored
