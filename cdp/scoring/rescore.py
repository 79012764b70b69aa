"""Scores of customers who have changed, from the model and the cut points that are in force."""

from datetime import datetime

from sqlalchemy import Select, Update, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.scoring.basis import read_basis
from cdp.tables import score
from cdp.workspace import Workspace


async def rescore(
    connection: AsyncConnection,
    workspace: Workspace,
    as_of: datetime,
    whom: Select[tuple[int]] | None,
) -> None:
    """Score these customers anew, None: everybody; does nothing before the first scoring.

    Who was merged away loses the score with the orders. A customer's score is the same whoever is
    scored with them; bounds, which are interpolated in shared tables, to a thousandth. For the
    caller who has the turn to refresh.
    """
    basis = await read_basis(connection)
    if basis is None:
        return
    # Imported here: whoever never scores does not wait for the libraries that it takes.
    from cdp.scoring.again import rows_again, write_again

    rows = await rows_again(connection, workspace, basis, as_of, whom)
    forget = score.delete()
    if whom is not None:
        forget = forget.where(score.c.customer_id.in_(whom))
    await connection.execute(forget)
    await write_again(connection, rows)
    if whom is not None:
        await connection.execute(_rank(whom))


def _rank(whom: Select[tuple[int]]) -> Update:
    """The place of the first who is not above them; nobody else's changes until all are scored."""
    below, everybody = score.alias("below"), score.alias("everybody")
    place = (
        select(below.c.rank)
        .where(below.c.predicted <= score.c.predicted, below.c.rank.is_not(None))
        .order_by(below.c.predicted.desc())
        .limit(1)
        .correlate(score)
        .scalar_subquery()
    )
    last = select(func.max(everybody.c.rank) + 1).scalar_subquery()
    return (
        score.update()
        .where(score.c.customer_id.in_(whom), score.c.predicted.is_not(None))
        .values(rank=func.coalesce(place, last, 1))
    )
