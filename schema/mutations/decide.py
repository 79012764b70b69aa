"""`decideMatch`: a person answers a question of the review queue."""

from collections.abc import Mapping
from typing import Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.stewardship import NO_REASON, decide
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Value
from schema.ids import row_id
from schema.mutations.decision import COLUMNS, DRY_RUN, DecisionPayload, author, outcome


@strawberry.input(description="An answer to a question of the review queue.")
class DecideMatchInput:
    """What `decide` takes."""

    review_id: strawberry.ID = strawberry.field(description="The `id` of the review.")
    same: bool = strawberry.field(
        description="True: the two sides are one person. False: nobody of the one is anybody of the"
        " other."
    )
    reason: str | None = strawberry.field(
        default=strawberry.UNSET, description="Why, in 1 to 500 characters."
    )
    dry_run: bool = DRY_RUN


@strawberry.type(
    description="What an answer did, or would do. `customers` are the two sides: one if they are"
    " the same."
)
class DecideMatchPayload(DecisionPayload):
    """The payload."""


async def _decide(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    review_id = row_id(given["reviewId"], "MatchReview", "reviewId")
    why = author(caller, given, NO_REASON)
    effect = await decide(connection, review_id, why, caller.workspace, same=given["same"])
    return outcome(effect, given)


DECIDE: Final = deed(
    Deed(_decide, COLUMNS),
    DecideMatchInput,
    "Answer a question of `matchReviews`: the review is gone, and the answer is evidence from then"
    " on. `undoMerge` takes back the entry of the ledger that it made; where it moved nobody, a"
    " later merge overrules it.",
)
