"""Migrations: up from empty gives the tables that the code declares; a newer one is refused."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import CdpError
from cdp.tables import metadata
from migrations import VERSIONS, current_revision, newest_revision, require_known, upgrade

pytestmark = pytest.mark.anyio


async def test_migrated_database_is_what_the_tables_declare(connection: AsyncConnection) -> None:
    def differences(sync: Connection) -> object:
        return compare_metadata(MigrationContext.configure(sync), metadata)

    assert await connection.run_sync(differences) == []


async def test_migrating_again_changes_nothing(connection: AsyncConnection) -> None:
    await upgrade(connection)
    assert await current_revision(connection) == newest_revision()


def test_the_names_of_the_files_tell_the_revisions_that_alembic_reads() -> None:
    script = ScriptDirectory(str(VERSIONS.parent))
    assert script.get_current_head() == newest_revision()
    assert {one.revision for one in script.walk_revisions()} == {
        path.name.partition("_")[0] for path in VERSIONS.glob("*.py")
    }


async def test_a_database_of_a_newer_release_is_refused_by_name(
    connection: AsyncConnection,
) -> None:
    await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CdpError, match="revision 9999") as refusal:
        await require_known(connection)
    assert refusal.value.code == "NEWER_DATABASE"


async def test_every_column_of_a_fact_is_documented(connection: AsyncConnection) -> None:
    rows = await connection.exec_driver_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'customer'"
        " AND column_name LIKE '%%order%%'"
        " AND col_description('customer'::regclass, ordinal_position) IS NULL"
    )
    assert rows.all() == []
