"""Publishing the BI mart: built beside the one that is read, then put in its place at one stroke.

What is built is committed before it takes the old one's place. Whoever reads sees the old tables or
the new ones, never a part: both change in one short transaction, which waits for its turn without
making readers wait behind it.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import Database
from cdp.errors import CdpError
from cdp.mart import SCHEMA, MartTable, mart_tables
from cdp.workspace import Workspace

ROLE: Final = "cdp_bi"
BUILDING: Final = "mart_building"
"""The schema in which the next mart is built; what a publish that was killed left there goes."""

PUBLISH_LOCK: Final = 7_365_006  # any number, the same for all who publish
LOCK_WAIT_MILLISECONDS: Final = 500  # readers who come meanwhile wait behind us so long at most
PAUSE_SECONDS: Final = 1.0  # between two tries, for readers to have their turn
PATIENCE_SECONDS: Final = 120.0  # for readers in long transactions to end
MAX_BLOCKERS: Final = 5  # of what stands in the way are named: enough to know where to look

_MARK: Final = "Made by cdp publish"
_DUPLICATE: Final = ("42710", "23505")  # somebody else made it at the same moment
_NO_PRIVILEGE: Final = "42501"
_NO_LOCK: Final = "55P03"


@dataclass(frozen=True, slots=True)
class Published:
    """What was published: rows by table, the moment, and who may read.

    `role` is None where the role is missing and could not be made; `note` then says what to do.
    """

    as_of: datetime
    rows: Mapping[str, int]
    role: str | None
    note: str


async def publish(
    database: Database, workspace: Workspace, *, patience_seconds: float = PATIENCE_SECONDS
) -> Published:
    """Build the mart anew from what is committed, and put it in the place of the old one.

    Raises CdpError: BUSY while somebody else publishes, or where readers do not let go within the
    patience; NO_PRIVILEGE where the database user may not; IN_THE_WAY where something that is not
    ours has our names, or depends on the tables.
    """
    async with database.transaction() as turn:
        if not await turn.scalar(select(func.pg_try_advisory_xact_lock(PUBLISH_LOCK))):
            raise CdpError("BUSY", "Another publish is under way.", todo="Wait for its end.")
        with _permitted():
            role, note = await _role(database)
            async with database.transaction(has_one_view=True) as connection:
                as_of = await connection.scalar(select(func.now()))
                assert isinstance(as_of, datetime)
                mart = mart_tables(as_of, workspace)
                await _look_around(connection, mart)
                rows = await _build(connection, mart, workspace, role)
            await _switch(database, mart, role, patience_seconds)
    return Published(as_of, rows, role, note)


async def _role(database: Database) -> tuple[str | None, str]:
    """The role that reads, made where it is missing; None and a reason where it cannot be."""
    async with database.transaction() as connection:
        if await _has_role(connection):
            return ROLE, ""
        try:
            async with connection.begin_nested():
                await connection.exec_driver_sql(f"CREATE ROLE {ROLE} NOLOGIN")
        except DBAPIError as error:
            state = _state(error)
            if state in _DUPLICATE:
                return ROLE, ""
            if state != _NO_PRIVILEGE:
                raise
            user = await connection.scalar(select(func.current_user()))
            return None, (
                f"The role {ROLE} is missing, and the database user {user} may not create roles: "
                "nobody else reads the mart until somebody who may has run"
                f" CREATE ROLE {ROLE} NOLOGIN, and you have published again."
            )
    return ROLE, ""


async def _has_role(connection: AsyncConnection) -> bool:
    found = await connection.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", (ROLE,)
    )
    return bool(found.scalar_one())


async def _look_around(connection: AsyncConnection, mart: Sequence[MartTable]) -> None:
    """Refuse at once what could not take its place in the end, before anything is built."""
    marked = await connection.exec_driver_sql(
        "SELECT nspname FROM pg_namespace WHERE nspname = $1"
        " AND coalesce(obj_description(oid, 'pg_namespace'), '') NOT LIKE $2",
        (BUILDING, f"{_MARK}%"),
    )
    if marked.first() is not None:
        raise _in_the_way(f"There is a schema {BUILDING} that cdp did not make", "Rename it.")
    names = [table.name for table in mart]
    found = await connection.exec_driver_sql(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1)"
        " AND relname = ANY($2::text[]) AND relkind <> 'r'",
        (SCHEMA, names),
    )
    others = [f"{SCHEMA}.{row[0]}" for row in found]
    if others:
        raise _in_the_way(f"{', '.join(others)} is no table", "Rename it.")
    found = await connection.exec_driver_sql(_DEPENDENTS, (SCHEMA, names, MAX_BLOCKERS))
    views = [str(row[0]) for row in found]
    if views:
        raise _in_the_way(
            f"Views depend on the tables of the mart, which are made anew: {', '.join(views)}",
            "Drop them and create them again after each publish, or write the query where it runs.",
        )


_DEPENDENTS: Final = """
SELECT DISTINCT rule.ev_class::regclass::text
FROM pg_depend dependency
JOIN pg_rewrite rule ON rule.oid = dependency.objid
JOIN pg_class mart ON mart.oid = dependency.refobjid
WHERE dependency.classid = 'pg_rewrite'::regclass AND dependency.refclassid = 'pg_class'::regclass
  AND mart.relnamespace = to_regnamespace($1) AND mart.relname = ANY($2::text[])
  AND rule.ev_class <> mart.oid
ORDER BY 1 LIMIT $3
"""


async def _build(
    connection: AsyncConnection, mart: Sequence[MartTable], workspace: Workspace, role: str | None
) -> Mapping[str, int]:
    """The tables with their rows, comments and grants, in the schema beside; returns the rows."""
    await connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {BUILDING} CASCADE")
    await connection.exec_driver_sql(f"CREATE SCHEMA {BUILDING}")
    await connection.exec_driver_sql(
        f"COMMENT ON SCHEMA {BUILDING} IS '{_MARK}: the next mart, while it is built.'"
    )
    rows = {}
    for each in mart:
        table = each.table(BUILDING, workspace.currency)
        await connection.run_sync(table.metadata.create_all)
        columns = [column.name for column in each.columns]
        done = await connection.execute(insert(table).from_select(columns, each.query))
        rows[each.name] = done.rowcount
        await connection.exec_driver_sql(f"ANALYZE {BUILDING}.{each.name}")
        if role is not None:
            await connection.exec_driver_sql(f"GRANT SELECT ON {BUILDING}.{each.name} TO {role}")
    return rows


async def _switch(
    database: Database, mart: Sequence[MartTable], role: str | None, patience_seconds: float
) -> None:
    """Put what was built in the place of what is read."""
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while not await _switched(database, mart, role):
        if asyncio.get_running_loop().time() > deadline:
            raise CdpError(
                "BUSY",
                f"Somebody has been reading the mart for {patience_seconds:g} seconds in one"
                " transaction: the old one stays.",
                todo="End that transaction and publish again.",
            )
        await asyncio.sleep(PAUSE_SECONDS)


async def _switched(database: Database, mart: Sequence[MartTable], role: str | None) -> bool:
    """One try; False where a reader holds a table."""
    try:
        async with database.transaction() as connection:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_WAIT_MILLISECONDS}")
            await _require_schema(connection, role)
            for each in mart:
                await connection.exec_driver_sql(f"DROP TABLE IF EXISTS {SCHEMA}.{each.name}")
                await connection.exec_driver_sql(
                    f"ALTER TABLE {BUILDING}.{each.name} SET SCHEMA {SCHEMA}"
                )
            await connection.exec_driver_sql(f"DROP SCHEMA {BUILDING}")
    except DBAPIError as error:
        if _state(error) != _NO_LOCK:
            raise
        return False
    return True


async def _require_schema(connection: AsyncConnection, role: str | None) -> None:
    # IF NOT EXISTS would ask for the right to make it even where it is there.
    found = await connection.exec_driver_sql("SELECT to_regnamespace($1)", (SCHEMA,))
    if found.scalar_one() is None:
        await connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        await connection.exec_driver_sql(
            f"COMMENT ON SCHEMA {SCHEMA} IS"
            f" '{_MARK}: customers and their segments for BI, made anew by each publish.'"
        )
    if role is not None:
        await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")


def _in_the_way(finding: str, todo: str) -> CdpError:
    return CdpError("IN_THE_WAY", f"{finding}.", todo=todo)


@contextmanager
def _permitted() -> Iterator[None]:
    """Tell in one sentence what the database user may not do."""
    try:
        yield
    except DBAPIError as error:
        if _state(error) != _NO_PRIVILEGE:
            raise
        reason = str(error.orig).rpartition(">: ")[2].strip().rstrip(".")
        raise CdpError(
            "NO_PRIVILEGE",
            f"The database user may not publish: {reason}.",
            todo="Grant it CREATE on the database, and own the schema mart with it.",
        ) from error


def _state(error: DBAPIError) -> str:
    state: Any = getattr(error.orig, "sqlstate", None)
    return str(state or "")
