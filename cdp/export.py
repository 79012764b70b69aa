"""Exports: what can be exported, and how it streams from one view of the database into a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.audiences.assignment import audience_now
from cdp.audiences.people import Aim
from cdp.columns import customer_columns
from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.filters import parse_filter, predicate
from cdp.mart import SCHEMA, mart_tables, published
from cdp.query import present
from cdp.related import members_of
from cdp.statements import render
from cdp.tables import source, source_profile
from cdp.traits.trait import Scope
from cdp.workspace import Workspace
from cdp.writers import DECIMAL_PLACES, CopyWriter, OutputColumn, Writer

ROWS_AT_ONCE: Final = 10_000  # fetched, held and written together; bounds memory
BYTES_AT_ONCE: Final = 4_000_000  # the same of what is copied: some six thousand customers

SEGMENT: Final = "segment:"
AUDIENCE: Final = "audience:"
MART: Final = "mart"
_NOT_THERE: Final = ("3F000", "42P01")  # no schema, no table
_EXPORTS: Final = "Export identity, customers, segment:SLUG, audience:SLUG or mart."
_ADDRESSED: Final = ("name", "first_name", "last_name")
"""Of personal data what an audience holds beside the contact point: how somebody is addressed."""


@dataclass(frozen=True, slots=True)
class Export:
    """Rows to be written: the columns, the query that gives them in that order, what it is."""

    columns: Sequence[OutputColumn]
    query: Select[Any]
    about: Mapping[str, str]


def plan_export(
    what: str, *, as_of: datetime, workspace: Workspace, filter_text: str | None = None
) -> Export:
    """The export of that name: `identity`, `customers`, or `segment:SLUG`, its members.

    A filter (JSON) suits the latter two. A segment that there is not has no members: whoever wants
    to tell that apart looks first. Raises BadInput.
    """
    slug = what.removeprefix(SEGMENT) if what.startswith(SEGMENT) else None
    if what == "customers" or slug is not None:
        scope = present(as_of, workspace)
        condition = predicate(
            parse_filter(filter_text), scope, workspace=workspace, may_see_personal=True
        )
        if slug is not None:
            condition &= exists(members_of([slug], scope))
        return _customers(what, scope, condition, workspace, as_of)
    if filter_text is not None:
        raise BadInput(f"A filter chooses customers, not {what}.", todo="Export customers.")
    if what == MART:
        raise BadInput("The mart is a folder of Parquet files.", todo="Give --output FOLDER.")
    if what == "identity":
        return _identity()
    raise BadInput(f"There is no export {what!r}.", todo=_EXPORTS)


def plan_audience(aim: Aim, *, as_of: datetime, workspace: Workspace) -> Export:
    """Those of `audience_now` who are written to: where, how they are addressed, every trait.

    Whoever writes needs no other contact point, address or birth date, and gets none.
    """
    scope, now = present(as_of, workspace), audience_now.c
    shown = [
        each
        for each in customer_columns(scope)
        if not each.is_personal or each.column.name in _ADDRESSED
    ]
    extra = (
        (
            OutputColumn(
                "contact_point",
                str,
                "Where to write to: what the consent speaks of; null where the channel has none.",
            ),
            now.contact_point,
        ),
        (OutputColumn("consented_at", datetime, "When the consent was given."), now.consented_at),
    )
    query = (
        select(
            shown[0].labelled,
            *(expression.label(column.name) for column, expression in extra),
            *(each.labelled for each in shown[1:]),
        )
        .select_from(scope.customer)
        .join(audience_now, now.customer_id == scope.customer.c.id)
        .where(now.is_held_out.is_(False))
        .order_by(scope.customer.c.id)
    )
    columns = [column for column, _ in extra]
    about = _about(f"{AUDIENCE}{aim.slug}", as_of, workspace)
    return Export(
        [shown[0].column, *columns, *(each.column for each in shown[1:])],
        query,
        {**about, "channel": aim.channel, "purpose": aim.purpose},
    )


async def plan_mart(
    connection: AsyncConnection, as_of: datetime, workspace: Workspace
) -> Mapping[str, Export]:
    """Every table of the mart as it was published last, by name; the transaction's first act.

    No publish can come in between: a snapshot older than its tables would find them empty. Raises
    BadInput where there is no mart, or one that another release published.
    """
    mart = mart_tables(as_of, workspace)
    names = ", ".join(f"{SCHEMA}.{table.name}" for table in mart)
    try:
        await connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _NOT_THERE:
            raise
        raise BadInput("There is no mart to export.", todo="Run cdp publish first.") from error
    about = {"export": MART, "currency": workspace.currency, "timezone": workspace.timezone}
    found = {}
    for table in mart:
        columns = await connection.exec_driver_sql(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = $1 AND table_name = $2",
            (SCHEMA, table.name),
        )
        if {row[0] for row in columns} != {each.name for each in table.columns}:
            raise BadInput(
                f"{SCHEMA}.{table.name} is as another release made it.", todo="Run cdp publish."
            )
        found[table.name] = Export(table.columns, published(table), {**about, "table": table.name})
    return found


async def write_export(connection: AsyncConnection, export: Export, writer: Writer) -> int:
    """Stream the rows; returns how many. Memory stays flat, whatever their number."""
    if isinstance(writer, CopyWriter):
        return await _copy(connection, export, writer)
    count = 0
    rows = await connection.stream(export.query, execution_options={"yield_per": ROWS_AT_ONCE})
    async for part in rows.partitions():
        writer.write(part)
        count += len(part)
    return count


async def _copy(connection: AsyncConnection, export: Export, writer: CopyWriter) -> int:
    """As PostgreSQL copies them out: no value ever becomes an object of ours."""
    places = literal(DECIMAL_PLACES)
    query = export.query.with_only_columns(
        *(
            func.round(given, places).label(column.name) if column.type is Decimal else given
            for given, column in zip(export.query.selected_columns, export.columns, strict=True)
        )
    )
    found = render(query)
    values = map(found.value, found.names)
    copied = await driver_of(connection)
    await copied.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'")
    waiting, count = bytearray(), 0

    async def take(rows: bytes) -> None:
        """PostgreSQL sends a message per row: what is here is made of whole rows."""
        nonlocal count
        waiting.extend(rows)
        if len(waiting) >= BYTES_AT_ONCE:
            count += writer.write_copied(bytes(waiting))
            waiting.clear()

    await copied.copy_from_query(found.text, *values, output=take, format="csv")
    return count + (writer.write_copied(bytes(waiting)) if waiting else 0)


def _identity() -> Export:
    """One row per source profile that is not deleted at its source, contacts included."""
    p = source_profile
    query = (
        select(source.c.name, p.c.stream, p.c.key, p.c.customer_id)
        .join(source, source.c.id == p.c.source_id)
        .where(p.c.deleted_at.is_(None))
        .order_by(p.c.id)
    )
    columns = (
        OutputColumn("source", str, "The name of the source.", is_exact=True),
        OutputColumn("stream", str, "customers, or contact.", is_exact=True),
        OutputColumn("key", str, "The profile's key in its source and stream.", is_exact=True),
        OutputColumn("customer_id", int, "The customer whom it belongs to."),
    )
    return Export(columns, query, {"export": "identity"})


def _customers(
    what: str, scope: Scope, condition: ColumnElement[bool], workspace: Workspace, as_of: datetime
) -> Export:
    """One row per customer, with every column there is."""
    columns = customer_columns(scope)
    query = (
        select(*(each.labelled for each in columns)).where(condition).order_by(scope.customer.c.id)
    )
    return Export([each.column for each in columns], query, _about(what, as_of, workspace))


def _about(what: str, as_of: datetime, workspace: Workspace) -> Mapping[str, str]:
    return {
        "export": what,
        "as_of": as_of.isoformat(),
        "currency": workspace.currency,
        "timezone": workspace.timezone,
    }
