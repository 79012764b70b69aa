"""`splitCustomer`: a person decides that some source profiles of a customer are somebody else."""

from collections.abc import Mapping
from typing import Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.stewardship import split_customer
from cdp.values import CustomerId, ProfileId
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Value
from schema.ids import row_id
from schema.mutations.decision import COLUMNS, DRY_RUN, DecisionPayload, author, outcome


@strawberry.input(description="A customer who is two people.")
class SplitCustomerInput:
    """What `split_customer` takes."""

    customer_id: strawberry.ID = strawberry.field(description="The customer.")
    source_profile_ids: list[strawberry.ID] = strawberry.field(
        description="Those of its source profiles who are the other person: some of them, not all;"
        " at most 250."
    )
    reason: str = strawberry.field(
        description="Why, in 1 to 500 characters: it is kept in the ledger."
    )
    dry_run: bool = DRY_RUN


@strawberry.type(
    description="What a split did, or would do. `customers` are the two, of whom the elder has kept"
    " the id."
)
class SplitCustomerPayload(DecisionPayload):
    """The payload."""


async def _split(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    customer_id = CustomerId(row_id(given["customerId"], "Customer", "customerId"))
    profile_ids = [
        ProfileId(row_id(text, "SourceProfile", "sourceProfileIds"))
        for text in given["sourceProfileIds"]
    ]
    effect = await split_customer(
        connection, customer_id, profile_ids, author(caller, given), caller.workspace
    )
    return outcome(effect, given)


SPLIT: Final = deed(
    Deed(_split, COLUMNS),
    SplitCustomerInput,
    "Decide that some source profiles of a customer are another person. Both sides are whole from"
    " then on, and keep what their own records hold. `undoMerge` takes it back.",
)
