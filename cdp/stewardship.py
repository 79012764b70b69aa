"""What a person decides about who is who: merge, split, undo, answer a review; each can be tried.

A decision is evidence: it is stored, the map is computed anew from it, and the ledger says who
decided and why. Every function runs in the caller's transaction.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.deciding import Author, Effect, begin
from cdp.errors import BadInput, NotFound
from cdp.identity.evidence import Verdict
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace

MAX_CUSTOMERS: Final = 100  # that are merged at once; nobody has looked at more

NO_REASON: Final = "No reason was given."
"""The reason of those decisions that explain themselves: an undo, an answer to a review."""

_UNTIED: Final = "Decided before it was recorded whom they joined: split the customer instead."


async def merge_customers(
    connection: AsyncConnection,
    customer_ids: Sequence[CustomerId],
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Decide that several customers are one person.

    Raises NotFound, and BadInput where fewer than two are left once merged ids are resolved.
    """
    decision = await begin(connection, author, workspace)
    if len(customer_ids) > MAX_CUSTOMERS:
        raise BadInput(f"At most {MAX_CUSTOMERS} are merged at once.", path="customerIds")
    sides = await decision.profiles_of(customer_ids, "customerIds")
    if len(sides) < 2:
        raise BadInput(
            "They are one customer already.",
            todo="Name two customers or more.",
            path="customerIds",
        )
    first, *others = sides.values()
    rest = [one for other in others for one in other]
    return await decision.run(
        lambda: decision.store(Verdict.SAME, first, rest, "merge"), dry_run=dry_run
    )


async def split_customer(
    connection: AsyncConnection,
    customer_id: CustomerId,
    profile_ids: Collection[ProfileId],
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Decide that some source profiles of a customer are another person, and one person.

    Those that stay are one person too. Raises NotFound, and BadInput where a profile is not the
    customer's, or where nobody would stay.
    """
    decision = await begin(connection, author, workspace)
    ((_, mine),) = (await decision.profiles_of([customer_id], "customerId")).items()
    leaving = set(profile_ids)
    strange = sorted(leaving - set(mine))
    if strange:
        raise BadInput(
            f"Source profile {strange[0]} is not of customer {customer_id}.",
            path="sourceProfileIds",
        )
    staying = [one for one in mine if one not in leaving]
    if not leaving or not staying:
        raise BadInput(
            "A split leaves source profiles on both sides.",
            todo="Name some of the customer's source profiles, not all.",
            path="sourceProfileIds",
        )
    return await decision.run(
        lambda: decision.store(Verdict.SPLIT, sorted(leaving), staying, "split"), dry_run=dry_run
    )


async def undo(
    connection: AsyncConnection,
    event_id: int,
    author: Author,
    workspace: Workspace,
    *,
    dry_run: bool = False,
) -> Effect:
    """Take back an entry of the ledger.

    What a person decided is retracted, whole. What the evidence joined is parted by a decision
    that the two sides are not the same. Raises NotFound, AlreadyUndone also where the two sides are
    parted by something else, and BadInput for what came of nothing that can be taken back.
    """
    decision = await begin(connection, author, workspace)
    await decision.take_turn(event_id)
    event = await decision.event(event_id)
    if event["decision_holds"]:
        return await decision.run(lambda: decision.retract(event), dry_run=dry_run)
    if event["kind"] == "split":
        raise BadInput(
            "They parted because nothing ties them any more.",
            todo="Merge them, if they are one person.",
            path="mergeEventId",
        )
    if not event["other_ids"]:
        raise BadInput(_UNTIED, path="mergeEventId")
    return await decision.run(lambda: decision.part(event), dry_run=dry_run)


async def decide(
    connection: AsyncConnection,
    review_id: int,
    author: Author,
    workspace: Workspace,
    *,
    same: bool,
    dry_run: bool = False,
) -> Effect:
    """Answer a question of the review queue: whether its two sides are one person.

    Raises NotFound where nobody asks it any more, and BadInput where it has one side alone.
    """
    decision = await begin(connection, author, workspace)
    await decision.take_turn(review_id)
    review = await decision.driver.fetchrow(
        "SELECT left_ids, right_ids FROM match_review WHERE id = $1", review_id
    )
    if review is None:
        raise NotFound(
            f"There is no open review {review_id}.",
            todo="It has been answered, or new evidence has: read the queue again.",
            path="reviewId",
        )
    if not review["right_ids"]:
        raise BadInput(
            "It tells of evidence that was left out, and asks nothing.",
            todo="Merge or split by hand, or change the rules.",
            path="reviewId",
        )
    verdict = Verdict.SAME if same else Verdict.NOT_SAME
    return await decision.run(
        lambda: decision.store(verdict, review["left_ids"], review["right_ids"], "review"),
        dry_run=dry_run,
    )
