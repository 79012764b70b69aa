"""What the scores in force rest on, as the database holds it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.tables import score_basis, score_model

BASIS_ID: Final = 1


@dataclass(frozen=True, slots=True)
class Basis:
    """The version in force. `estimate` is its JSON, None where there is no forecast.

    `plans` is the JSON of the curves of subscriptions. `pinned_at`: scores stay as of then.
    """

    version: int
    pinned_at: datetime | None
    horizon_days: int
    estimate: object
    plans: object


async def read_basis(connection: AsyncConnection) -> Basis | None:
    """The version in force; None before the first scoring."""
    rows = await connection.execute(
        select(
            score_basis.c.version,
            score_basis.c.pinned_at,
            score_model.c.horizon_days,
            score_model.c.estimate,
            score_model.c.plans,
        ).join(score_model, score_model.c.version == score_basis.c.version)
    )
    row = rows.one_or_none()
    return None if row is None else Basis(*row)
