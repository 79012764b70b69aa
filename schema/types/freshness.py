"""How fresh the computed groups of a customer are."""

from typing import Final

import strawberry
from sqlalchemy import select

from cdp.freshness import freshness_of, told
from schema.edges import Arguments, Branch, Leaf, Many, Row, column, planned
from schema.scalars import DateTime
from schema.types.records import source_name


@strawberry.type(description="What a computed group has seen of one source.")
class SourceFreshness:
    """A row of `told`."""

    source: str = planned(Leaf(source_name), "The name of the source.")
    told_at: DateTime = column(
        "told_at", "When its latest record of those that the group is made of reached us."
    )
    is_seen: bool = column("is_seen", "Whether the group was computed with that record.")


def _sources(freshness: Row, _: Arguments) -> Branch:
    this = freshness.table.c
    found = told(this.customer_id, this.streams).subquery()
    is_seen = (found.c.told_at <= this.computed_at).is_(True).label("is_seen")
    rows = select(found, is_seen).correlate(freshness.table).subquery()
    query = select().select_from(rows).order_by(rows.c.told_at.desc(), rows.c.source_id)
    return Branch("SourceFreshness", Row(rows, "source_freshness", freshness.scene), query)


@strawberry.type(
    description="How fresh one computed group of a customer is. What rests on facts is folded in"
    " the transaction that stores the records, and is never stale; what a model says is as old as"
    " its scoring."
)
class Freshness:
    """A row of `freshness_of`."""

    group: str = column("name", "The group's field on Customer, such as `purchases` or `cltv`.")
    computed_at: DateTime | None = column(
        "computed_at",
        "From which moment its values are: of facts, when the last record came. Null where nothing"
        " was computed yet. What counts days since something is told as of the request all the"
        " same.",
    )
    is_stale: bool = column(
        "is_stale", "Whether a record that it is made of came later: a refresh will follow."
    )
    sources: list[SourceFreshness] = planned(
        Many(_sources),
        "What it has seen of each source that told of the customer, the latest first; at most 250.",
    )


def _freshness(customer: Row, _: Arguments) -> Branch:
    found = freshness_of(customer.scope).subquery()
    query = select().select_from(found).order_by(found.c.place)
    return Branch("Freshness", Row(found, "freshness", customer.scene), query)


FRESHNESS: Final = planned(
    Many(_freshness), "How fresh each computed group is, in the order of the groups below."
)
