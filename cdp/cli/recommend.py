"""`cdp recommend`: count anew what customers buy together."""

from dataclasses import asdict

import click

from cdp.cli.session import Session, runs
from cdp.recommendations import refresh


@click.command("recommend")
@runs
async def recommend(session: Session) -> None:
    """Count anew which articles the same customers buy; recommendations follow from it."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            counted = await refresh(connection, workspace)
    session.show(
        asdict(counted), f"{counted.pairs:,} pairs of {counted.articles:,} articles are kept."
    )
