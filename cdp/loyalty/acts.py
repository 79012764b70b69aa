"""Acts on points: earn, redeem, adjust, take back; each once by its key.

They run in the caller's transaction. The customer is locked first, so that two who spend the same
points take turns.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.loyalty.accounts import Lot
from cdp.loyalty.desk import (
    Act,
    Desk,
    Receipt,
    find_act,
    is_closed,
    open_desk,
    profiles_of_act,
)
from cdp.loyalty.ledger import issue
from cdp.loyalty.refusals import HoldClosed
from cdp.values import CustomerId, ProfileId

MOST_POINTS: Final = 10**9  # of one act; a slip of the finger above all


async def earn_points(
    connection: AsyncConnection,
    customer_id: CustomerId,
    points: int,
    act: Act,
    *,
    profile_id: ProfileId | None = None,
) -> Receipt:
    """Give points that no order earns; they expire like others, and count towards a tier.

    They land on the source profile, else on the customer's earliest. Raises NotFound, BadInput.
    """
    _check_points(points)
    desk = await open_desk(connection, customer_id, act, "earn", [points, profile_id])
    if desk.repeated is None:
        desk.refuse_suspended()
        _give(desk, points, profile_id, "earn")
    return await desk.close()


async def redeem_points(
    connection: AsyncConnection,
    customer_id: CustomerId,
    act: Act,
    *,
    points: int | None = None,
    reward: str | None = None,
) -> Receipt:
    """Spend points, or take a reward for the points that it costs: soonest to expire first.

    Raises NotFound, BadInput, and PointsRefused where there are too few points, no such reward, a
    tier too low, or the customer is suspended.
    """
    if (points is None) == (reward is None):
        raise BadInput("A redemption takes either points or a reward.")
    if points is not None:
        _check_points(points)
    desk = await open_desk(connection, customer_id, act, "redeem", [points, reward])
    if desk.repeated is None:
        desk.refuse_suspended()
        cost = points if points is not None else (await desk.reward(reward or "")).points
        for lot, part in desk.take(cost, "points" if reward is None else "reward"):
            desk.journal.move(lot, "redeem", desk.journal.at, redeemed=part)
    return await desk.close(reward=reward)


async def adjust_points(
    connection: AsyncConnection,
    customer_id: CustomerId,
    points: int,
    act: Act,
    *,
    profile_id: ProfileId | None = None,
) -> Receipt:
    """Add points by hand, or take them (negative); counts neither as earned nor for a tier.

    A reason is asked for. Raises NotFound, BadInput, and InsufficientPoints.
    """
    _check_points(abs(points))
    if not act.reason.strip():
        raise BadInput("An adjustment needs a reason.", todo="Say why.", path="reason")
    desk = await open_desk(connection, customer_id, act, "adjust", [points, profile_id])
    if desk.repeated is None:
        if points > 0:
            _give(desk, points, profile_id, "adjust")
        else:
            for lot, part in desk.take(-points):
                desk.journal.move(lot, "adjust", desk.journal.at, adjusted=part)
    return await desk.close()


async def reverse(connection: AsyncConnection, key: str, act: Act) -> Receipt:
    """Take an act back: its points return to the very lots, with the expiry that they had.

    Points whose day has passed meanwhile expire at once; points that were given and are spent
    already are owed. Raises NotFound for an unknown key, and HoldClosed where it was taken back.
    """
    driver = await driver_of(connection)
    row = await find_act(driver, key)
    if row["cause"] not in ("earn", "redeem", "adjust", "capture"):
        raise BadInput(f"{key!r} is a {row['cause']}, which is not taken back.", path="key")
    also = await profiles_of_act(driver, row["id"])
    desk = await open_desk(connection, row["customer_id"], act, "reverse", [key], also)
    if desk.repeated is None:
        if await is_closed(driver, row["id"]):
            raise HoldClosed(key, "was taken back before")
        rows = await driver.fetch(
            "SELECT lot_id, sum(issued)::bigint AS issued, sum(redeemed)::bigint AS redeemed,"
            " sum(adjusted)::bigint AS adjusted FROM points_entry"
            " WHERE transaction_id = $1 GROUP BY lot_id ORDER BY lot_id",
            row["id"],
        )
        lots = await desk.lots([one["lot_id"] for one in rows])
        for one in rows:
            back = {name: -one[name] for name in ("issued", "redeemed", "adjusted")}
            desk.journal.move(lots[one["lot_id"]], "reverse", desk.journal.at, None, **back)
    return await desk.close(about_id=row["id"])


def _check_points(points: int) -> None:
    if not 0 < points <= MOST_POINTS:
        raise BadInput(
            f"{points} points cannot be moved.", todo=f"Give 1 to {MOST_POINTS:,}.", path="points"
        )


def _give(desk: Desk, points: int, profile_id: ProfileId | None, origin: str) -> None:
    is_earned = origin == "earn"
    at = desk.journal.at
    lot = Lot(
        id=None,
        profile_id=desk.landing(profile_id),
        origin=origin,
        source_id=None,
        key=desk.act.key,
        is_earned=is_earned,
        is_qualifying=is_earned,
        is_forgiving=False,
        earned_at=at,
        available_at=at,
        expires_at=desk.terms.expires_at(at),
    )
    desk.journal.lots.append(lot)
    issue(desk.journal, lot, points, origin, {})
