"""`cdp campaign`: what each campaign brought, and what it cost where its source does not tell."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

import click
from sqlalchemy import select

from cdp.business.campaign_costs import state_cost, withdraw_cost
from cdp.business.campaigns import MAX_CAMPAIGNS
from cdp.business.report import read_campaigns
from cdp.cli.figures import AS_OF, moment_given
from cdp.cli.session import Session, actor, runs
from cdp.errors import BadInput
from cdp.tables import source

WITHDRAWN: Final = "none"
"""Given for an amount, it takes back what was stated."""


@click.group("campaign")
def campaign() -> None:
    """What campaigns brought, and what they cost."""


@campaign.command("list")
@AS_OF
@runs
async def list_(session: Session, as_of: str | None) -> None:
    """List the latest campaigns: messages, cost, revenue, and return on investment.

    An order is credited to the message that reached its customer last in the week before it.
    """
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.read_only() as connection:
            found = await connection.execute(select(source.c.id, source.c.name))
            names = {row.id: row.name for row in found}
            moment = moment_given(as_of, workspace)
            told = [
                {"source": names[one["source_id"]]}
                | {name: value for name, value in one.items() if name != "source_id"}
                for one in await read_campaigns(connection, moment, MAX_CAMPAIGNS)
            ]
    lines = "\n".join(_lines(told, workspace.currency))
    session.show({"currency": workspace.currency, "campaigns": told}, lines)


def _lines(told: list[dict[str, object]], currency: str) -> Iterator[str]:
    yield f"source\tkey\tname\tmessages\torders\trevenue {currency}\tcost {currency}\troi"
    for one in told:
        roi = "" if one["roi"] is None else f"{one['roi']:.0%}"
        cost = "" if one["cost"] is None else f"{one['cost']:,.2f}"
        yield (
            f"{one['source']}\t{one['key']}\t{one['name'] or ''}\t{one['messages']:,}"
            f"\t{one['orders']:,}\t{one['revenue']:,.2f}\t{cost}\t{roi}"
        )


@campaign.command("cost")
@click.argument("source_name", metavar="SOURCE")
@click.argument("key")
@click.argument("amount")
@click.option("--currency", metavar="C", help="ISO 4217 (default: the workspace's).")
@runs
async def cost(
    session: Session, source_name: str, key: str, amount: str, currency: str | None
) -> None:
    """State what the campaign KEY of SOURCE cost; AMOUNT none takes it back.

    It counts where the source itself tells no cost, and outlasts every sync.
    """
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            if amount == WITHDRAWN:
                await withdraw_cost(connection, source_name, key)
                session.show({"source": source_name, "key": key, "cost": None}, "It is taken back.")
                return
            counted, given = currency or workspace.currency, _amount(amount)
            await state_cost(
                connection, source_name, key, amount=given, currency=counted, actor=actor()
            )
    told = {"source": source_name, "key": key, "cost": given, "currency": counted.upper()}
    session.show(told, f"{key} of {source_name} cost {given:,} {counted.upper()}.")


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise BadInput(
            f"{text!r} is no amount.", todo="Give a decimal number such as 1250.00, or none."
        ) from None
