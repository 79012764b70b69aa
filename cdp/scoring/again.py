"""Rows of scores made again, from a stored fit."""

import asyncio
from datetime import date, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.order_days import day_of
from cdp.scoring.basis import Basis
from cdp.scoring.estimate import Estimate, score_with
from cdp.scoring.histories import Histories
from cdp.scoring.plans import Curve
from cdp.scoring.reading import Subscriptions, Whom, read_subscriptions
from cdp.scoring.shop import read_histories
from cdp.scoring.storing import Rows, plan_ends, score_rows, write_rows
from cdp.workspace import Workspace


async def rows_again(
    connection: AsyncConnection, workspace: Workspace, basis: Basis, as_of: datetime, whom: Whom
) -> Rows:
    """The rows of `score` of some customers, or of everybody, as of now or as they are pinned."""
    moment = basis.pinned_at or as_of
    today = day_of(moment, workspace)
    histories = await read_histories(connection, workspace, today, basis.pinned_at, whom)
    subscriptions = await read_subscriptions(connection, moment, whom)
    # In a thread: a server goes on answering meanwhile.
    rows = await asyncio.to_thread(
        _rows, basis, histories, subscriptions, moment, today, workspace.money_digits
    )
    return rows if whom is None else rows.without("rank")  # a rank among some is none


async def write_again(connection: AsyncConnection, rows: Rows) -> None:
    """Store the rows."""
    await write_rows(await driver_of(connection), rows)


def _rows(
    basis: Basis,
    histories: Histories,
    subscriptions: Subscriptions,
    moment: datetime,
    today: date,
    money_digits: int,
) -> Rows:
    scores = None
    if basis.estimate is not None and len(histories):
        scores = score_with(msgspec.convert(basis.estimate, Estimate), histories)
    curves = msgspec.convert(basis.plans, dict[str, Curve])
    ends = plan_ends(subscriptions, curves, basis.horizon_days)
    return score_rows(scores, ends, moment, today, money_digits)
