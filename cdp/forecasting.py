"""`cdp score`: the models of value chosen, fitted and judged, and everybody's scores stored."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import Database
from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.order_days import day_of
from cdp.scoring.appraise import Appraisal, Report, learn, score_and_judge
from cdp.scoring.basis import BASIS_ID, read_basis
from cdp.scoring.churn import shop_gap_days
from cdp.scoring.cuts import CutPoints, read_cut_points
from cdp.scoring.estimate import estimate_of
from cdp.scoring.forecast import Terms
from cdp.scoring.gate import Shortfall
from cdp.scoring.intervals import NOMINAL
from cdp.scoring.plans import Curve, survival_by_plan
from cdp.scoring.reading import facts_of, read_subscriptions
from cdp.scoring.shop import read_calendar, read_shop
from cdp.scoring.storing import plan_ends, score_rows, write_rows
from cdp.segments.refresh import forget_backlog, mark_due, take_turn
from cdp.tables import score, score_basis, score_model
from cdp.workspace import Workspace
from cdp.workspace import take_turn as take_turn_of_money

CAUSE: Final = "scored"  # of whoever enters or leaves a segment by it


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scoring did: the version it put in force, and what was found.

    `report` is null, and `shortfalls` say why, where there is too little for a forecast.
    """

    version: int
    computed_at: datetime
    as_of: datetime
    scored: int
    cut_points: CutPoints | None
    report: Report | None
    shortfalls: tuple[Shortfall, ...]


async def score_everybody(
    database: Database, workspace: Workspace, *, as_of: datetime | None = None
) -> Scored:
    """Find cut points, choose and fit the models, and put everybody's scores in force at once.

    Until the one transaction commits, readers see the former version. `as_of`: scores stay as of
    that moment, also those made again later; None: as of now, and they go on with time.
    """
    async with database.transaction() as connection:
        await take_turn_of_money(connection, alone=False)  # nobody changes the currency meanwhile
        now = await take_turn(connection)
        return await score_as_of(connection, workspace, now, as_of)


async def score_as_of(
    connection: AsyncConnection, workspace: Workspace, now: datetime, pinned_at: datetime | None
) -> Scored:
    """The same in the transaction of a caller who has both turns; `now`: the moment after them."""
    moment = pinned_at or now
    today, digits = day_of(moment, workspace), workspace.money_digits
    terms = Terms(workspace.horizon_days, workspace.discount_rate, workspace.margin)
    await forget_backlog(connection, now)  # everybody is scored, and every segment due then
    shop = await read_shop(connection, workspace, today, pinned_at)
    gap_days = shop_gap_days(shop.sample)
    learning = asyncio.ensure_future(
        asyncio.to_thread(learn, shop.histories, shop.sample, today, terms)
    )
    # Meanwhile PostgreSQL has nothing else to do. Readers see the former scores to the end.
    await connection.execute(score.delete())
    cuts = await read_cut_points(connection, facts_of(workspace, pinned_at), today)
    subscriptions = await read_subscriptions(connection, moment)
    calendar = shop.calendar or await read_calendar(connection, shop.histories, today)
    appraisal = await asyncio.to_thread(score_and_judge, await learning, calendar, digits)
    if pinned_at is not None and appraisal.report is None:
        await _keep_forecasts(connection, pinned_at)
    curves = survival_by_plan(subscriptions.plan, subscriptions.days, subscriptions.has_ended)
    ends = plan_ends(subscriptions, curves, terms.horizon_days)
    rows = await asyncio.to_thread(score_rows, appraisal.scores, ends, moment, today, digits)
    version = await _store_model(connection, workspace, appraisal, terms, curves, cuts, now, moment)
    await _put_in_force(connection, version, appraisal, cuts, gap_days, pinned_at)
    await write_rows(await driver_of(connection), rows)
    await connection.exec_driver_sql("ANALYZE score")
    await mark_due(connection, CAUSE)
    return Scored(version, now, moment, len(rows), cuts, appraisal.report, appraisal.shortfalls)


async def put_out_of_force(connection: AsyncConnection) -> None:
    """Take everybody's scores back: they speak of money in a currency that is no longer ours.

    Every version stays, and none is in force until the next scoring. For the caller who has the
    turn of money.
    """
    await take_turn(connection)  # who scores anew at this moment would write what is taken back
    await connection.execute(score.delete())
    await connection.execute(score_basis.delete())


async def _keep_forecasts(connection: AsyncConnection, pinned_at: datetime) -> None:
    """A look at a past of which too little is known takes no forecast away."""
    basis = await read_basis(connection)
    if basis is not None and basis.estimate is not None:
        raise BadInput(
            f"Too little had been bought by {pinned_at.isoformat()} for a forecast, and version"
            f" {basis.version}, which is in force, has one.",
            todo="Choose a later moment, or leave --as-of out.",
        )


async def _store_model(
    connection: AsyncConnection,
    workspace: Workspace,
    appraisal: Appraisal,
    terms: Terms,
    curves: Mapping[str, Curve],
    cuts: CutPoints | None,
    computed_at: datetime,
    as_of: datetime,
) -> int:
    """Keep the next version."""
    report, estimate = appraisal.report, None
    if report is not None and appraisal.fitted is not None:
        levels = report.bounds.levels if report.bounds else NOMINAL
        estimate = estimate_of(appraisal.fitted, levels, terms)
    version = await connection.scalar(select(func.coalesce(func.max(score_model.c.version), 0) + 1))
    await connection.execute(
        score_model.insert().values(
            version=version,
            computed_at=computed_at,
            as_of=as_of,
            **asdict(terms),
            currency=workspace.currency,
            kind=report and report.model.value,
            verdict=report and report.verdict.value,
            estimate=msgspec.to_builtins(estimate),
            report=msgspec.to_builtins(report),
            shortfalls=msgspec.to_builtins(appraisal.shortfalls),
            plans=msgspec.to_builtins(curves),
            cut_points=msgspec.to_builtins(cuts),
        )
    )
    assert isinstance(version, int)
    return version


async def _put_in_force(
    connection: AsyncConnection,
    version: int,
    appraisal: Appraisal,
    cuts: CutPoints | None,
    gap_days: float | None,
    pinned_at: datetime | None,
) -> None:
    gap = None if appraisal.report else appraisal.shortfalls[0].code
    values = {
        "version": version,
        "kind": appraisal.report and appraisal.report.model.value,
        "gap": gap,
        "pinned_at": pinned_at,
        "recency_cuts": cuts and list(cuts.recency_days),
        "frequency_cuts": cuts and list(cuts.frequency),
        "monetary_cuts": cuts and list(cuts.monetary),
        "gap_days": gap_days,
    }
    insertion = insert(score_basis).values(id=BASIS_ID, **values)
    await connection.execute(insertion.on_conflict_do_update(index_elements=["id"], set_=values))
