"""`cdp migrate`: bring the database to this release's schema."""

from contextlib import AsyncExitStack

import click

from cdp.cli.session import Session, runs
from cdp.database import open_database
from cdp.postgres import embedded
from migrations import current_revision, newest_revision, upgrade


@click.command
@runs
async def migrate(session: Session) -> None:
    """Bring the database to the newest schema; may be run again at any time."""
    async with AsyncExitStack() as stack:
        url = session.settings.database_url or stack.enter_context(embedded(session.settings.home))
        database = await stack.enter_async_context(open_database(url))
        async with database.transaction() as connection:
            before = await current_revision(connection)
            await upgrade(connection)
    after = newest_revision()
    session.show(
        {"before": before, "after": after},
        f"The database is at revision {after}" + (", as before." if before == after else "."),
    )
