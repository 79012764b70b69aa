"""`undoMerge`: an entry of the ledger is taken back."""

from collections.abc import Mapping
from typing import Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.stewardship import NO_REASON, undo
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Value
from schema.ids import row_id
from schema.mutations.decision import COLUMNS, DRY_RUN, DecisionPayload, author, outcome


@strawberry.input(description="An entry of the ledger that should not be.")
class UndoMergeInput:
    """What `undo` takes."""

    merge_event_id: strawberry.ID = strawberry.field(
        description="The `id` of an entry of `Customer.mergeHistory` that is not undone yet."
    )
    reason: str | None = strawberry.field(
        default=strawberry.UNSET, description="Why, in 1 to 500 characters."
    )
    dry_run: bool = DRY_RUN


@strawberry.type(
    description="What an undo did, or would do. They may still be one, where other evidence ties"
    " them: `notes` tells. A code of its `errors` beside the common ones: `ALREADY_UNDONE`, also"
    " where those whom evidence joined are parted already by something else."
)
class UndoMergePayload(DecisionPayload):
    """The payload."""


async def _undo(connection: AsyncConnection, given: Mapping[str, Value], caller: Caller) -> Outcome:
    event_id = row_id(given["mergeEventId"], "MergeEvent", "mergeEventId")
    why = author(caller, given, NO_REASON)
    return outcome(await undo(connection, event_id, why, caller.workspace), given)


UNDO: Final = deed(
    Deed(_undo, COLUMNS),
    UndoMergeInput,
    "Take back an entry of the ledger. What a person decided is retracted, as if it had never been;"
    " those whom evidence joined are parted by a decision that they are not the same. What came"
    " since falls to whose it is. An undo can be undone in the same way, but for one that"
    " retracted a merge: merge them anew.",
)
