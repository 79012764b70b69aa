"""The BI mart: which tables it has, what their columns mean, and the query that fills each.

It holds no personal data: neither names nor contact points, addresses, birth dates or attributes of
unknown content. Who may read it is thereby a smaller question, and nothing in it has to be found
again when a person is erased. The columns that are left bear the names that exports give them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Select,
    Table,
    Text,
    column,
    literal,
    select,
    true,
)
from sqlalchemy import table as sql_table
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.audiences.assignment import assignments
from cdp.columns import customer_columns
from cdp.query import present
from cdp.workspace import Workspace
from cdp.writers import OutputColumn

SCHEMA: Final = "mart"

_TYPES: Final[Mapping[type, type[TypeEngine[Any]]]] = {
    str: Text,
    int: BigInteger,
    float: Double,
    bool: Boolean,
    Decimal: Numeric,
    date: Date,
}

_AS_OF: Final = OutputColumn("as_of", datetime, "The moment of which this row speaks.")


@dataclass(frozen=True, slots=True)
class MartTable:
    """A table of the mart: a row per `key`; `query` gives the columns in their order."""

    name: str
    doc: str
    columns: Sequence[OutputColumn]
    key: Sequence[str]
    query: Select[Any]

    def table(self, schema: str, currency: str) -> Table:
        """As PostgreSQL is told of it, with a comment on everything."""
        return Table(
            self.name,
            MetaData(),
            *(
                Column(
                    each.name,
                    DateTime(timezone=True) if each.type is datetime else _TYPES[each.type](),
                    nullable=each.name not in self.key,
                    autoincrement=False,
                    comment=_comment(each, currency),
                )
                for each in self.columns
            ),
            PrimaryKeyConstraint(*self.key),
            schema=schema,
            comment=self.doc,
        )


def mart_tables(as_of: datetime, workspace: Workspace) -> Sequence[MartTable]:
    """Every table of the mart, as it is at a moment."""
    return [_customers(as_of, workspace), _memberships(as_of), _audiences(as_of)]


def published(table: MartTable) -> Select[Any]:
    """The rows that were published last, by key."""
    there = sql_table(table.name, *(column(each.name) for each in table.columns), schema=SCHEMA)
    return select(there).order_by(*(there.c[name] for name in table.key))


def _customers(as_of: datetime, workspace: Workspace) -> MartTable:
    scope = present(as_of, workspace)
    shown = [each for each in customer_columns(scope) if not each.is_personal]
    return MartTable(
        "dim_customer",
        "One row per customer: what is known of each, without personal data, and every trait. Money"
        f" is in {workspace.currency}, days are those of {workspace.timezone}.",
        [*(each.column for each in shown), _AS_OF],
        ["id"],
        select(*(each.labelled for each in shown), scope.as_of.label(_AS_OF.name)),
    )


def _memberships(as_of: datetime) -> MartTable:
    member, segment, customer = tables.segment_membership, tables.segment, tables.customer
    query = (
        select(
            member.c.customer_id,
            segment.c.slug.label("segment_slug"),
            member.c.entered_at,
            literal(as_of, DateTime(timezone=True)).label(_AS_OF.name),
        )
        .join(segment, segment.c.id == member.c.segment_id)
        .join(customer, customer.c.id == member.c.customer_id)
        .where(member.c.exited_at.is_(None), segment.c.archived_at.is_(None))
    )
    columns = (
        OutputColumn("customer_id", int, "The customer: `id` of dim_customer."),
        OutputColumn("segment_slug", str, "The segment, by its slug.", is_exact=True),
        OutputColumn("entered_at", datetime, "When the customer last entered the segment."),
        _AS_OF,
    )
    return MartTable(
        "bridge_customer_segment",
        "One row per customer and segment that the customer is in.",
        columns,
        ["customer_id", "segment_slug"],
        query,
    )


def _audiences(as_of: datetime) -> MartTable:
    audience, customer = tables.audience, tables.customer
    assigned = assignments(audience.c.id).lateral("assigned")
    query = (
        select(
            assigned.c.customer_id,
            audience.c.slug.label("audience_slug"),
            audience.c.channel,
            audience.c.purpose,
            assigned.c.is_held_out,
            assigned.c.assigned_at,
            literal(as_of, DateTime(timezone=True)).label(_AS_OF.name),
        )
        .select_from(audience.join(assigned, true()))
        .join(customer, customer.c.id == assigned.c.customer_id)
    )
    columns = (
        OutputColumn("customer_id", int, "The customer: `id` of dim_customer."),
        OutputColumn("audience_slug", str, "The segment written to, by its slug.", is_exact=True),
        OutputColumn("channel", str, "On which channel.", is_exact=True),
        OutputColumn("purpose", str, "For which purpose.", is_exact=True),
        OutputColumn(
            "is_held_out",
            bool,
            "True: of the control group, never written to; false: of those who are.",
        ),
        OutputColumn(
            "assigned_at",
            datetime,
            "When the customer was assigned: the first export with them. It holds ever after.",
        ),
        _AS_OF,
    )
    return MartTable(
        "bridge_customer_audience",
        "One row per customer and audience that the customer was ever assigned to. What writing"
        " brought is the difference between those written to and those held out, both from"
        " `assigned_at` on.",
        columns,
        ["customer_id", "audience_slug", "channel", "purpose"],
        query,
    )


def _comment(column: OutputColumn, currency: str) -> str:
    """What the column means, with its unit."""
    unit = currency if column.unit == "currency" else column.unit
    return f"{column.doc}\n\nUnit: {unit}." if unit else column.doc
