"""`earnPoints`, `redeemPoints`, `adjustPoints`: points of a customer are moved, each time once."""

from collections.abc import Mapping
from typing import Final

import strawberry
from sqlalchemy import BigInteger, Boolean, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.loyalty.acts import adjust_points, earn_points, redeem_points
from cdp.loyalty.desk import Act, Receipt
from cdp.values import CustomerId, ProfileId
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Arguments, Branch, Many, One, Row, Value, column, planned, row_of
from schema.ids import row_id
from schema.mutations.decision import Columns, customer_of
from schema.scalars import BigInt
from schema.types.customer import Customer
from schema.types.loyalty import LoyaltyEntry
from schema.types.payload import USER_ERRORS, UserError

_COLUMNS: Final[Columns] = {
    "transaction_id": BigInteger(),
    "customer_id": BigInteger(),
    "points": BigInteger(),
    "balance": BigInteger(),
    "is_repeat": Boolean(),
}

_KEY: Final = (
    "Your own name for this act, in up to 200 characters, such as the number of an order: done"
    " again with the same key it gives the same answer and moves nothing."
)
_PROFILE: Final = "Whose source profile of the customer's gets them; the earliest unless told."
_REASON: Final = "Why, in up to 500 characters: it is kept in the ledger."


@strawberry.input(description="Points that no order earns.")
class EarnPointsInput:
    """What `earn_points` takes."""

    customer_id: strawberry.ID = strawberry.field(description="Who gets them.")
    points: int = strawberry.field(description="How many, above 0.")
    key: str = strawberry.field(description=_KEY)
    source_profile_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description=_PROFILE
    )
    reason: str | None = strawberry.field(default=strawberry.UNSET, description=_REASON)


@strawberry.input(description="Points that are spent: give either points or a reward.")
class RedeemPointsInput:
    """What `redeem_points` takes."""

    customer_id: strawberry.ID = strawberry.field(description="Whose points.")
    points: int | None = strawberry.field(
        default=strawberry.UNSET, description="How many, above 0."
    )
    reward: str | None = strawberry.field(
        default=strawberry.UNSET, description="A reward of the programme, for what it costs."
    )
    key: str = strawberry.field(description=_KEY)
    reason: str | None = strawberry.field(default=strawberry.UNSET, description=_REASON)


@strawberry.input(description="Points that a person adds or takes by hand.")
class AdjustPointsInput:
    """What `adjust_points` takes."""

    customer_id: strawberry.ID = strawberry.field(description="Whose points.")
    points: int = strawberry.field(description="How many; below 0 they are taken.")
    key: str = strawberry.field(description=_KEY)
    reason: str = strawberry.field(description=_REASON)
    source_profile_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description=_PROFILE
    )


def _entries(payload: Row, _: Arguments) -> Branch:
    entry = tables.points_entry.alias()
    posted = entry.c.transaction_id == payload.table.c.transaction_id
    query = select().select_from(entry).where(posted).order_by(entry.c.id)
    return Branch("LoyaltyEntry", row_of(entry, payload.scene), query)


@strawberry.type(
    description="What an act on points did. Codes of its `errors` beside the common ones:"
    " `INSUFFICIENT_POINTS`, `UNKNOWN_REWARD`, `TIER_TOO_LOW`, `SUSPENDED`, `NO_PROGRAMME`, and"
    " `KEY_REUSED` for a key that belongs to another act."
)
class PointsPayload:
    """The payload of each."""

    customer: Customer | None = planned(
        One(customer_of), "The customer after it; null where nothing was done."
    )
    points: BigInt | None = column("points", "What came to what can be spent; below 0: what went.")
    balance: BigInt | None = column("balance", "What can be spent now.")
    is_repeat: bool | None = column(
        "is_repeat", "Whether it had been done before under this key, and nothing was moved now."
    )
    entries: list[LoyaltyEntry] = planned(
        Many(_entries), "What the ledger has of it, by lot; at most 250."
    )
    errors: list[UserError] = USER_ERRORS


async def _earn(connection: AsyncConnection, given: Mapping[str, Value], caller: Caller) -> Outcome:
    receipt = await earn_points(
        connection, _whose(given), given["points"], _act(given, caller), profile_id=_profile(given)
    )
    return _outcome(receipt)


async def _redeem(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    receipt = await redeem_points(
        connection,
        _whose(given),
        _act(given, caller),
        points=given.get("points"),
        reward=given.get("reward"),
    )
    return _outcome(receipt)


async def _adjust(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    receipt = await adjust_points(
        connection, _whose(given), given["points"], _act(given, caller), profile_id=_profile(given)
    )
    return _outcome(receipt)


def _whose(given: Mapping[str, Value]) -> CustomerId:
    return CustomerId(row_id(given["customerId"], "Customer", "customerId"))


def _profile(given: Mapping[str, Value]) -> ProfileId | None:
    text = given.get("sourceProfileId")
    return None if text is None else ProfileId(row_id(text, "SourceProfile", "sourceProfileId"))


def _act(given: Mapping[str, Value], caller: Caller) -> Act:
    return Act(given["key"], caller.viewer.name, given.get("reason") or "")


def _outcome(receipt: Receipt) -> Outcome:
    return Outcome({name: getattr(receipt, name) for name in _COLUMNS})


EARN: Final = deed(
    Deed(_earn, _COLUMNS),
    EarnPointsInput,
    "Give a customer points that no order earns. They expire like others and count for tiers.",
)
REDEEM: Final = deed(
    Deed(_redeem, _COLUMNS),
    RedeemPointsInput,
    "Spend a customer's points, or take a reward for them: what expires first goes first.",
)
ADJUST: Final = deed(
    Deed(_adjust, _COLUMNS),
    AdjustPointsInput,
    "Add points by hand, or take them. They count neither as earned nor for tiers.",
)
