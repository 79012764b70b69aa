"""Alembic's revisions of the database, and the two questions asked of them: bring up, and where.

Every command asks where; Alembic, a quarter of a second to load, is only needed to bring up.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import CdpError

MIGRATION_LOCK: Final = 7_365_001  # any number, the same for all who migrate


VERSIONS: Final = Path(__file__).parent / "versions"
"""A file per revision, whose name begins with it: numbers of four digits, one after the other."""


def newest_revision() -> str:
    """The revision that this release works with."""
    return max(_revisions())


def _revisions() -> set[str]:
    return {path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py")}


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision of this database; None for an empty one."""
    found = await connection.exec_driver_sql("SELECT to_regclass('alembic_version') IS NOT NULL")
    if not found.scalar_one():
        return None
    stored = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
    return stored.scalar_one_or_none()


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
    if revision is not None and revision not in _revisions():
        raise CdpError(
            "NEWER_DATABASE",
            f"The database is at revision {revision}, this release knows {newest_revision()}.",
            todo="A newer release migrated it: install that release.",
        )


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
