"""`cdp identity`: who is who; what GraphQL's mutations do, and why people are one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.cli.identity_read import explain, reviews
from cdp.cli.identity_rules import rules
from cdp.cli.session import Session, actor, runs
from cdp.deciding import Author, Change, Effect
from cdp.refresh import follow
from cdp.stewardship import NO_REASON, decide, merge_customers, split_customer, undo
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace, read_workspace, take_turn
from schema.ids import row_id, whole

SHOWN_TRAITS: Final = 40  # changes of fields that are printed; JSON has all of them

_DRY_RUN = click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Only tell what would be; change nothing."
)
_WHY = click.option("--reason", required=True, help="Why; it is kept in the ledger.")
_MAY_SAY_WHY = click.option(
    "--reason", default=NO_REASON, show_default=True, help="Why; it is kept in the ledger."
)

Deed: TypeAlias = Callable[[AsyncConnection, Workspace], Awaitable[Effect]]


@click.group("identity")
def identity() -> None:
    """Who is who: explain, merge, split, undo, decide, and the rules.

    An ID is a plain number, or a global id of GraphQL.
    """


identity.add_command(explain)
identity.add_command(reviews)
identity.add_command(rules)


@identity.command("merge")
@click.argument("ids", nargs=-1, required=True, metavar="ID ID...")
@_WHY
@_DRY_RUN
@runs
async def merge_command(
    session: Session,
    ids: Sequence[str],
    reason: str,
    is_dry_run: bool,  # noqa: FBT001 (click passes it by name)
) -> None:
    """Decide that customers are one person."""
    author, customers = (
        Author(actor(), reason),
        [CustomerId(_number(one, "Customer")) for one in ids],
    )
    await _do(
        session,
        lambda connection, workspace: merge_customers(
            connection, customers, author, workspace, dry_run=is_dry_run
        ),
        is_dry_run=is_dry_run,
    )


@identity.command("split")
@click.argument("customer", metavar="ID")
@click.argument("profiles", nargs=-1, required=True, metavar="PROFILE...")
@_WHY
@_DRY_RUN
@runs
async def split_command(
    session: Session,
    customer: str,
    profiles: Sequence[str],
    reason: str,
    is_dry_run: bool,  # noqa: FBT001 (click passes it by name)
) -> None:
    """Decide that some source profiles of a customer are another person."""
    author, customer_id = Author(actor(), reason), CustomerId(_number(customer, "Customer"))
    leaving = [ProfileId(_number(one, "SourceProfile")) for one in profiles]
    await _do(
        session,
        lambda connection, workspace: split_customer(
            connection, customer_id, leaving, author, workspace, dry_run=is_dry_run
        ),
        is_dry_run=is_dry_run,
    )


@identity.command("undo")
@click.argument("event", metavar="EVENT")
@_MAY_SAY_WHY
@_DRY_RUN
@runs
async def undo_command(
    session: Session,
    event: str,
    reason: str,
    is_dry_run: bool,  # noqa: FBT001 (click passes it by name)
) -> None:
    """Take back an entry of the ledger; `explain` shows their numbers."""
    author, event_id = Author(actor(), reason), _number(event, "MergeEvent")
    await _do(
        session,
        lambda connection, workspace: undo(
            connection, event_id, author, workspace, dry_run=is_dry_run
        ),
        is_dry_run=is_dry_run,
    )


@identity.command("decide")
@click.argument("review", metavar="REVIEW")
@click.option("--same/--not-same", "is_same", required=True, help="Are the two sides one person?")
@_MAY_SAY_WHY
@_DRY_RUN
@runs
async def decide_command(
    session: Session,
    review: str,
    is_same: bool,  # noqa: FBT001 (click passes it by name)
    reason: str,
    is_dry_run: bool,  # noqa: FBT001 (click passes it by name)
) -> None:
    """Answer a question of the review queue."""
    author, review_id = Author(actor(), reason), _number(review, "MatchReview")
    await _do(
        session,
        lambda connection, workspace: decide(
            connection, review_id, author, workspace, same=is_same, dry_run=is_dry_run
        ),
        is_dry_run=is_dry_run,
    )


def _number(text: str, type_name: str) -> int:
    """The number that an argument names, plain or as a global id. Raises BadInput."""
    return whole(text) if text.isdigit() else row_id(text, type_name)


async def _do(session: Session, deed: Deed, *, is_dry_run: bool) -> None:
    """Do it in one transaction, with the settings that are in force, and tell what it came to."""
    async with session.database() as database:
        async with database.transaction() as connection:
            await take_turn(connection, alone=False)
            workspace = await read_workspace(connection, session.settings.workspace)
            effect = await deed(connection, workspace)
        await follow(database, workspace)
    shown = {
        "dry_run": is_dry_run,
        "changes": effect.changes,
        "traits": effect.traits,
        "customer_ids": effect.customer_ids,
        "notes": effect.notes,
        "decision_id": effect.decision_id,
    }
    session.show(shown, "\n".join(_told(effect, is_dry_run=is_dry_run)))


def _told(effect: Effect, *, is_dry_run: bool) -> list[str]:
    lines = [_moved(change) for change in effect.changes]
    lines += [
        f"  {one.name} of {one.customer_id}: {_value(one.before)} -> {_value(one.after)}"
        for one in effect.traits[:SHOWN_TRAITS]
    ]
    if len(effect.traits) > SHOWN_TRAITS:
        lines.append(f"  and {len(effect.traits) - SHOWN_TRAITS} more fields: see --json.")
    lines += effect.notes
    if is_dry_run:
        return [*lines, "Nothing was changed: this was a dry run."]
    events = [str(one.event_id) for one in effect.changes]
    back = f" Take it back: cdp identity undo {events[0]}." if events else ""
    return [*lines, f"Decision {effect.decision_id}.{back}"]


def _moved(change: Change) -> str:
    profiles = ", ".join(map(str, change.profile_ids))
    word = "joins" if change.kind == "merged" else "parts from"
    one, other = change.from_customer_id, change.customer_id
    if change.kind != "merged":
        one, other = other, one
    return f"Customer {one} {word} customer {other}: source profiles {profiles}."


def _value(value: object) -> str:
    return "nothing" if value is None else str(getattr(value, "value", value))
