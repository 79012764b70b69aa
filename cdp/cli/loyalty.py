"""`cdp loyalty`: the programme, and points by hand."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.cli.session import Session, actor, runs
from cdp.database import driver as driver_of
from cdp.errors import BadInput, NotFound
from cdp.loyalty.accounts import Lot, soonest_first
from cdp.loyalty.acts import adjust_points, earn_points, redeem_points, reverse
from cdp.loyalty.application import apply_programme, current_terms
from cdp.loyalty.desk import Act, Receipt
from cdp.loyalty.holds import capture_hold, hold_points, release_hold
from cdp.loyalty.ledger import lots_of
from cdp.loyalty.programme import parse_programme, summary
from cdp.loyalty.standing import refer, suspend
from cdp.query import present
from cdp.toml_text import toml_in
from cdp.traits.loyalty import LOYALTY
from cdp.values import CustomerId
from cdp.workspace import Workspace

MOST_ID: Final = 2**63 - 1
HOLD_MINUTES: Final = 30  # longer than a checkout takes

_CUSTOMER = click.argument("customer", type=click.IntRange(1, MOST_ID), metavar="CUSTOMER")
_POINTS = click.argument("points", type=int)
_KEY = click.option(
    "--key", metavar="KEY", help="Names the act, so that it is done once (default: a new one)."
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the ledger.")


@click.group("loyalty")
def loyalty() -> None:
    """The loyalty programme: its rules, and the points of a customer."""


@loyalty.group("programme")
def programme() -> None:
    """Show, check and apply the programme; docs/examples/loyalty.toml shows every key."""


@programme.command("show")
@runs
async def show(session: Session) -> None:
    """Print the programme in force, as it was applied."""
    async with session.database() as database, database.read_only() as connection:
        terms = await current_terms(connection)
    if terms is None:
        session.show(None, "There is no programme: cdp loyalty programme apply FILE.")
        return
    shown = {
        "version": terms.version,
        "starts_at": terms.starts_at,
        "currency": terms.currency,
        "timezone": terms.timezone,
        "text": terms.text,
    }
    session.show(shown, terms.text.rstrip("\n"))


@programme.command("check")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@runs
async def check(session: Session, path: Path) -> None:
    """Read FILE and say what it offers, or what is wrong with it."""
    found = summary(parse_programme(_read(path)))
    session.show(found, "\n".join(f"{name}: {_plain(value)}" for name, value in found.items()))


@programme.command("apply")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--since",
    metavar="DATE",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Orders placed since this day (UTC) earn by it too (default: from now on).",
)
@_REASON
@runs
async def apply(session: Session, path: Path, since: datetime | None, reason: str) -> None:
    """Put the programme of FILE in force."""
    text = _read(path)
    starts_at = since.replace(tzinfo=UTC) if since is not None else None
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            done = await apply_programme(
                connection, text, workspace, actor=actor(), reason=reason, starts_at=starts_at
            )
    session.show(
        asdict(done),
        f"Version {done.version} is in force. {done.customers:,} customers were folded,"
        f" {done.points_issued:,} points issued.",
    )


@loyalty.command("balance")
@_CUSTOMER
@runs
async def balance(session: Session, customer: int) -> None:
    """Show what a customer has, and the lots that it lies in."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.read_only() as connection:
            shown = await _standing(connection, customer, workspace)
            profile = tables.source_profile.c
            profiles = await connection.scalars(
                select(profile.id).where(profile.customer_id == shown["customer"])
            )
            lots = await lots_of(await driver_of(connection), list(profiles))
    there = [lot for lot in map(_lot, soonest_first(lots)) if any(lot[name] for name in _SHOWN)]
    lines = [f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in shown.items()]
    session.show({**shown, "lots": there}, "\n".join([*lines, *map(_lot_line, there)]))


async def _standing(
    connection: AsyncConnection, customer: int, workspace: Workspace
) -> dict[str, object]:
    """The loyalty traits of a customer; a merged id leads to its survivor. Raises NotFound."""
    scope = present(datetime.now(UTC), workspace)
    profile, row = tables.source_profile.c, scope.customer.c
    survivor = select(profile.customer_id).where(profile.id == customer).scalar_subquery()
    traits = (trait(scope).label(trait.name) for trait in LOYALTY.traits)
    query = select(row.id.label("customer"), *traits).where(row.id == survivor)
    found = (await connection.execute(query)).mappings().one_or_none()
    if found is None:
        raise NotFound(f"There is no customer {customer}.", todo="Search for the customer.")
    return {name: getattr(value, "value", value) for name, value in found.items()}


_SHOWN: Final = ("available", "pending", "held", "owed")


def _lot(lot: Lot) -> dict[str, object]:
    accounts = {name: getattr(lot.accounts, name) for name in _SHOWN}
    dates = {"available_at": lot.available_at, "expires_at": lot.expires_at}
    return {"origin": lot.origin, "key": lot.key, **accounts, **dates}


def _lot_line(lot: Mapping[str, object]) -> str:
    there = ", ".join(f"{lot[name]} {name}" for name in _SHOWN if lot[name])
    until = f", until {lot['expires_at']:%Y-%m-%d %H:%M} UTC" if lot["expires_at"] else ""
    return f"  {lot['origin']} {lot['key']}: {there}{until}"


@loyalty.command("earn")
@_CUSTOMER
@_POINTS
@_KEY
@_REASON
@runs
async def earn(session: Session, customer: int, points: int, key: str | None, reason: str) -> None:
    """Give a customer points that no order earns."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await earn_points(connection, CustomerId(customer), points, _act(key, reason))
    _tell(session, receipt)


@loyalty.command("redeem")
@_CUSTOMER
@click.argument("points", type=int, required=False)
@click.option("--reward", metavar="NAME", help="A reward of the programme, instead of points.")
@_KEY
@_REASON
@runs
async def redeem(
    session: Session,
    customer: int,
    points: int | None,
    reward: str | None,
    key: str | None,
    reason: str,
) -> None:
    """Spend a customer's points, or take a reward: what expires first goes first."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await redeem_points(
            connection, CustomerId(customer), _act(key, reason), points=points, reward=reward
        )
    _tell(session, receipt)


@loyalty.command("hold")
@_CUSTOMER
@_POINTS
@click.option(
    "--minutes",
    type=click.IntRange(1),
    default=HOLD_MINUTES,
    show_default=True,
    help="Until it lapses; up to 30 days.",
)
@_KEY
@_REASON
@runs
async def hold(
    session: Session, customer: int, points: int, minutes: int, key: str | None, reason: str
) -> None:
    """Set points aside for a purchase under way: capture or release them by KEY, or they lapse."""
    act = _act(key, reason)
    async with session.database() as database, database.transaction() as connection:
        receipt = await hold_points(
            connection, CustomerId(customer), points, act, lasts=timedelta(minutes=minutes)
        )
    _tell(session, receipt, f" Capture or release them as {act.key}.")


@loyalty.command("capture")
@click.argument("hold_key", metavar="KEY")
@click.argument("points", type=int, required=False)
@_REASON
@runs
async def capture(session: Session, hold_key: str, points: int | None, reason: str) -> None:
    """Spend what the hold of KEY set aside: all of it, or only so many POINTS."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await capture_hold(connection, hold_key, _act(None, reason), points=points)
    _tell(session, receipt)


@loyalty.command("release")
@click.argument("hold_key", metavar="KEY")
@_REASON
@runs
async def release(session: Session, hold_key: str, reason: str) -> None:
    """Give back what the hold of KEY set aside, with the expiry that it had."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await release_hold(connection, hold_key, _act(None, reason))
    _tell(session, receipt)


@loyalty.command("adjust", context_settings={"ignore_unknown_options": True})
@_CUSTOMER
@_POINTS
@_KEY
@_REASON
@runs
async def adjust(
    session: Session, customer: int, points: int, key: str | None, reason: str
) -> None:
    """Add points by hand, or take them (negative); --reason says why."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await adjust_points(connection, CustomerId(customer), points, _act(key, reason))
    _tell(session, receipt)


@loyalty.command("reverse")
@click.argument("act_key", metavar="KEY")
@_REASON
@runs
async def reverse_command(session: Session, act_key: str, reason: str) -> None:
    """Take back the act of KEY: its points return, with the expiry that they had."""
    async with session.database() as database, database.transaction() as connection:
        receipt = await reverse(connection, act_key, _act(None, reason))
    _tell(session, receipt)


@loyalty.command("suspend")
@_CUSTOMER
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept.")
@click.option("--end", is_flag=True, help="Take the customer in again.")
@runs
async def suspend_command(
    session: Session,
    customer: int,
    reason: str,
    end: bool,  # noqa: FBT001 (click passes it by name)
) -> None:
    """Suspend a customer from the programme: points stay, and cannot be spent."""
    async with session.database() as database, database.transaction() as connection:
        await suspend(
            connection, CustomerId(customer), is_suspended=not end, actor=actor(), reason=reason
        )
    state = "a member again" if end else "suspended"
    session.show({"customer": customer, "suspended": not end}, f"Customer {customer} is {state}.")


@loyalty.command("refer")
@click.argument("referrer", type=click.IntRange(1, MOST_ID))
@click.argument("referee", type=click.IntRange(1, MOST_ID))
@runs
async def refer_command(session: Session, referrer: int, referee: int) -> None:
    """Note that the customer REFERRER brought the customer REFEREE."""
    async with session.database() as database, database.transaction() as connection:
        number = await refer(connection, CustomerId(referrer), CustomerId(referee), actor=actor())
    session.show({"referral": number}, f"Referral {number} waits for the first order.")


def _read(path: Path) -> str:
    try:
        return toml_in(path).decode()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no text in UTF-8.") from None


def _act(key: str | None, reason: str) -> Act:
    return Act(key if key is not None else f"cli:{uuid.uuid4()}", actor(), reason)


def _tell(session: Session, receipt: Receipt, then: str = "") -> None:
    moved = f"{receipt.points:+,} points; {receipt.balance:,} can be spent."
    again = " It had been done before." if receipt.is_repeat else ""
    session.show(asdict(receipt), f"{moved}{again}{then}")


def _plain(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
