"""`mergeCustomers`: a person decides that several customers are one."""

from collections.abc import Mapping
from typing import Final

import strawberry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.stewardship import merge_customers
from cdp.values import CustomerId
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Branch, One, Row, Value, planned, row_of
from schema.ids import row_id
from schema.mutations.decision import COLUMNS, DRY_RUN, DecisionPayload, author, outcome
from schema.types.customer import Customer


@strawberry.input(description="Several customers who are one person.")
class MergeCustomersInput:
    """What `merge_customers` takes."""

    customer_ids: list[strawberry.ID] = strawberry.field(
        description="Two or more, at most 100; a merged id stands for its survivor."
    )
    reason: str = strawberry.field(
        description="Why, in 1 to 500 characters: it is kept in the ledger."
    )
    dry_run: bool = DRY_RUN


def _survivor(payload: Row) -> Branch:
    customer = tables.scored_customer.alias()
    survives = customer.c.id == payload.table.c.customer_ids[1]
    query = select().select_from(customer).where(survives)
    return Branch("Customer", row_of(customer, payload.scene), query)


@strawberry.type(description="What a merge did, or would do.")
class MergeCustomersPayload(DecisionPayload):
    """The payload, and the one customer."""

    customer: Customer | None = planned(
        One(_survivor), "The one customer whom they are now; null where nothing was done."
    )


async def _merge(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    ids = [CustomerId(row_id(text, "Customer", "customerIds")) for text in given["customerIds"]]
    effect = await merge_customers(connection, ids, author(caller, given), caller.workspace)
    return outcome(effect, given)


MERGE: Final = deed(
    Deed(_merge, COLUMNS),
    MergeCustomersInput,
    "Decide that several customers are one person. All that they have falls to the one; the ids of"
    " the others lead to it. `undoMerge` takes it back.",
)
