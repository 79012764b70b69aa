"""Exports: what can be exported, and how it streams from one view of the database into a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Float, Select, Text, cast, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.attributes import ATTRIBUTES
from cdp.errors import BadInput
from cdp.filters import parse_filter, predicate
from cdp.query import present
from cdp.related import members_of
from cdp.tables import source, source_profile
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Scope
from cdp.workspace import Workspace
from cdp.writers import OutputColumn, Writer

ROWS_AT_ONCE: Final = 10_000  # fetched, held and written together; bounds memory

_LATER: Final = ("audience", "mart")
SEGMENT: Final = "segment:"
_EXPORTS: Final = "Export identity, customers or segment:SLUG."


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
    if what == "identity":
        return _identity()
    if what.partition(":")[0] in _LATER:
        raise BadInput(f"This release does not export {what!r} yet.", todo=_EXPORTS)
    raise BadInput(f"There is no export {what!r}.", todo=_EXPORTS)


async def write_export(connection: AsyncConnection, export: Export, writer: Writer) -> int:
    """Stream the rows; returns how many. Memory stays flat, whatever their number."""
    count = 0
    rows = await connection.stream(export.query, execution_options={"yield_per": ROWS_AT_ONCE})
    async for part in rows.partitions():
        writer.write(part)
        count += len(part)
    return count


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
    """One row per customer: own columns, then every trait under `group_trait`."""
    c = scope.customer.c
    said: list[tuple[OutputColumn, ColumnElement[Any]]] = [
        (OutputColumn("id", int, "The customer."), c.id),
        *((OutputColumn(each.name, each.type, each.doc), c[each.name]) for each in ATTRIBUTES),
        (
            OutputColumn("attributes", str, "What sources said beyond these, as JSON."),
            cast(c.attributes, Text),
        ),
        (OutputColumn("created_at", datetime, "When any source first knew them."), c.created_at),
        (OutputColumn("updated_at", datetime, "When this row was last folded."), c.updated_at),
        *(
            (
                OutputColumn(
                    f"{group.name}_{trait.name}", _plain(trait.type), trait.doc, trait.unit
                ),
                _converted(trait(scope), trait.type),
            )
            for group in CATALOG
            for trait in group.traits
        ),
    ]
    query = (
        select(*(expression.label(column.name) for column, expression in said))
        .where(condition)
        .order_by(c.id)
    )
    about = {
        "export": what,
        "as_of": as_of.isoformat(),
        "currency": workspace.currency,
        "timezone": workspace.timezone,
    }
    return Export([column for column, _ in said], query, about)


def _plain(type_: type) -> type:
    return str if issubclass(type_, Enum) else type_


def _converted(expression: ColumnElement[Any], type_: type) -> ColumnElement[Any]:
    """As its column's type: PostgreSQL computes days and ratios in types of its own."""
    if issubclass(type_, Enum):
        return cast(expression, Text)
    if type_ is int:
        return cast(expression, BigInteger)
    return cast(expression, Float(53)) if type_ is float else expression
