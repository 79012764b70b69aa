"""Alembic's revisions of the database, and the two questions asked of them: bring up, and where."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import CdpError

MIGRATION_LOCK: Final = 7_365_001  # any number, the same for all who migrate


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def newest_revision() -> str:
    """The revision that this release works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there is at least one revision"
    return head


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision of this database; None for an empty one."""
    return await connection.run_sync(
        lambda sync: MigrationContext.configure(sync).get_current_revision()
    )


async def upgrade(connection: AsyncConnection, revision: str = "head") -> None:
    """Bring the database up to a revision, this release's own, in the caller's transaction.

    Several at once take turns. Raises CdpError NEWER_DATABASE where a newer release was here.
    """
    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    await require_known(connection)
    await connection.run_sync(_upgrade, revision)


async def require_known(connection: AsyncConnection) -> None:
    """Refuse a database that a newer release has migrated."""
    revision = await current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise CdpError(
            "NEWER_DATABASE",
            f"The database is at revision {revision}, this release knows {newest_revision()}.",
            todo="A newer release migrated it: install that release.",
        )


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
