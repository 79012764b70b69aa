"""What campaigns cost, as people state it where a source tells none: kept beside its record."""

from decimal import Decimal

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import BadInput, NotFound
from cdp.tables import campaign, campaign_cost, source
from cdp.values import SourceId
from cdp.workspace import check_value


async def state_cost(
    connection: AsyncConnection,
    source_name: str,
    key: str,
    *,
    amount: Decimal,
    currency: str,
    actor: str,
) -> None:
    """Keep what a campaign cost; a later statement takes the place of the former.

    What the source itself tells, now or later, goes first. Raises NotFound, and BadInput for what
    is no amount or no currency.
    """
    if not amount.is_finite() or amount < 0:
        raise BadInput(f"{amount} cannot be a cost.", todo="Give an amount such as 1250.00.")
    row = {
        "source_id": await _source_of(connection, source_name, key),
        "key": key,
        "amount": amount,
        "currency": check_value("currency", currency),
        "stated_at": func.now(),
        "stated_by": actor,
    }
    statement = insert(campaign_cost).values(row)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["source_id", "key"], set_=row)
    )


async def withdraw_cost(connection: AsyncConnection, source_name: str, key: str) -> None:
    """Take back what was stated of a campaign. Raises NotFound, also where nothing was."""
    source_id = await _source_of(connection, source_name, key)
    c = campaign_cost.c
    gone = await connection.execute(
        delete(campaign_cost).where(c.source_id == source_id, c.key == key)
    )
    if not gone.rowcount:
        raise NotFound(f"Nobody has stated what {key!r} of {source_name} cost.")


async def _source_of(connection: AsyncConnection, name: str, key: str) -> SourceId:
    is_there = exists().where(
        campaign.c.source_id == source.c.id, campaign.c.key == key, campaign.c.deleted_at.is_(None)
    )
    found = await connection.scalar(select(source.c.id).where(source.c.name == name, is_there))
    if found is None:
        raise NotFound(
            f"There is no campaign {key!r} of a source {name!r}.",
            todo="cdp campaign list shows the source and the key of each.",
        )
    return SourceId(found)
