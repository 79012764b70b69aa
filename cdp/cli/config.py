"""`cdp config`: read and set the workspace."""

from dataclasses import asdict
from typing import Final

import click

from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.errors import BadInput
from cdp.forecasting import put_out_of_force
from cdp.rebuild import rebuild
from cdp.refresh import follow
from cdp.segments.refresh import mark_due
from cdp.workspace import (
    KEYS,
    Workspace,
    check_value,
    note_folding,
    read_workspace,
    write_setting,
)

FOLDED_BY = ("currency", "timezone")  # money and days are stored in these
SCORED_BY = ("horizon_days", "discount_rate", "margin")  # and forecasts are made for these

_TO_SCORE: Final = {
    "currency": "Forecasts and RFM scores were of the former one and are null: run cdp score.",
    "timezone": "Run cdp score for forecasts and RFM scores that go with them.",
}


@click.command("config")
@click.argument("key", required=False)
@click.argument("value", required=False)
@runs
async def config(session: Session, key: str | None, value: str | None) -> None:
    """Show the workspace, one KEY of it, or set KEY to VALUE.

    KEYs: currency, region, timezone; and of forecasts horizon_days, discount_rate, margin.
    """
    if key is not None and key not in KEYS:
        raise BadInput(f"There is no setting {key!r}.", todo=f"There are: {', '.join(KEYS)}.")
    async with session.database() as database:
        if key is not None and value is not None:
            await _set(session, database, key, value)
            return
        workspace = await session.workspace(database)
        settings = {name: getattr(workspace, name) for name in KEYS}
    shown = settings if key is None else {key: settings[key]}
    text = "\n".join(f"{name} = {value}" for name, value in shown.items())
    session.show(shown, text if key is None else str(settings[key]))


async def _set(session: Session, database: Database, key: str, value: str) -> None:
    value = check_value(key, value)
    overrides = session.settings.workspace
    async with database.transaction() as connection:
        before = await read_workspace(connection, overrides)
        await write_setting(connection, key, value)
        after = await read_workspace(connection, overrides)
        folded = None
        if any(getattr(before, name) != getattr(after, name) for name in FOLDED_BY):
            await note_folding(connection, after)
            folded = await rebuild(connection, after)
        if before.currency != after.currency:
            await put_out_of_force(connection)
        await mark_due(connection, "settings changed")
    await follow(database, after)
    session.show(
        {"key": key, "value": value, "in_force": asdict(after)[key], "customers_folded": folded},
        _told(key, value, after, folded),
    )


def _told(key: str, value: str, after: Workspace, folded: int | None) -> str:
    """What the change did, and what it did not."""
    if str(asdict(after)[key]) != value:
        return (
            f"{key} is stored as {value}, but CDP_{key.upper()} in the environment holds it"
            f" at {asdict(after)[key]}."
        )
    if folded is not None:
        return (
            f"{key} = {value}. The facts of {folded:,} customers were folded anew. {_TO_SCORE[key]}"
        )
    if key in SCORED_BY:
        return f"{key} = {value}. Run cdp score: stored forecasts are still for the former value."
    if key == "region":
        return f"{key} = {value}. It reads the phone numbers of records that come from now on."
    return f"{key} = {value}."
