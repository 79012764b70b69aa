"""`cdp publish`: build the BI mart, or make it anew, with a role that can only read it."""

import click

from cdp.cli.session import Session, runs
from cdp.mart import SCHEMA
from cdp.publish import publish
from cdp.refresh import follow


@click.command("publish")
@runs
async def publish_command(session: Session) -> None:
    """Build the BI mart: mart.dim_customer and its bridges to segments and audiences.

    Every column is commented. Grant the role cdp_bi to whoever may read it: it reads the mart and
    nothing else. The mart holds no personal data. May be run again at any time.
    """
    async with session.database() as database:
        workspace = await session.workspace(database)
        await follow(database, workspace)
        done = await publish(database, workspace)
    lines = [f"{SCHEMA}.{name}: {rows:,} rows." for name, rows in done.rows.items()]
    lines.append(done.note or f"As of {done.as_of:%Y-%m-%d %H:%M:%S %Z}; {done.role} reads them.")
    session.show(done, "\n".join(lines))
