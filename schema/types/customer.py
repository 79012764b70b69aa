"""The unified person, and the list of all of them."""

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from cdp import tables
from cdp.filters import predicate
from cdp.keyset import Order as Sort
from cdp.keyset import read_ordering, read_page, write_cursor
from cdp.query import count_customers, search, select_customers
from schema.declare import Declared
from schema.edges import (
    Arguments,
    Branch,
    Embedded,
    Leaf,
    Many,
    Page,
    Row,
    Scene,
    Slice,
    argument,
    column,
    planned,
    row_of,
)
from schema.filters import filter_json
from schema.ids import global_id
from schema.scalars import Date, DateTime, Json
from schema.traits import CustomerFilter, CustomerOrder, with_groups
from schema.types.attributes import Address, attribute
from schema.types.connection import FORWARD, LATE, connection
from schema.types.consent import CONSENTS, Consent
from schema.types.decision import DECISIONS, IdentityDecision
from schema.types.freshness import FRESHNESS, Freshness
from schema.types.identity import (
    CLAIMS,
    IDENTIFIERS,
    PROFILES,
    AttributeClaim,
    Identifier,
    SourceProfile,
)
from schema.types.ledger import HISTORY, MergeEvent
from schema.types.loyalty import (
    LoyaltyBadge,
    LoyaltyEntryConnection,
    TierPeriod,
    badges,
    customer_entries,
    tier_periods,
)
from schema.types.membership import SegmentMembership, memberships
from schema.types.node import Node
from schema.types.order import OrderConnection, customer_orders
from schema.types.recommendation import (
    RECOMMENDATIONS,
    RECOMMENDATIONS_ARGUMENTS,
    Recommendation,
)
from schema.types.review import CUSTOMER_REVIEWS, MatchReview
from schema.types.ticket import TicketConnection, customer_tickets
from schema.types.timeline import TIMELINE_ARGUMENTS, TimelineConnection, timeline


def _others(row: Row) -> ColumnElement[Any]:
    """A role that is masked sees none of them: any may be personal."""
    empty = literal_column("'{}'::jsonb", JSONB)
    return empty if row.scene.viewer.is_masked else row["attributes"]


@with_groups
class _Customer(Node):
    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("Customer", row.table.c.id)),
        "Opaque and lasting. The id of a customer who was merged leads to the survivor.",
    )
    name: str | None = attribute("name")
    first_name: str | None = attribute("first_name")
    last_name: str | None = attribute("last_name")
    email: str | None = attribute("email")
    phone: str | None = attribute("phone")
    birth_date: Date | None = attribute("birth_date")
    gender: str | None = attribute("gender")
    address: Address = planned(Embedded(), "Where the customer lives, as far as it is known.")
    language: str | None = attribute("language")
    created_at: DateTime = column("created_at", "When any source first knew the customer.")
    updated_at: DateTime = column("updated_at", "When the customer last changed here.")
    attributes: Json = planned(
        Leaf(_others),
        "What sources tell beyond the fields above: name to value, the latest claim of each. Empty"
        " for a role that is masked.",
    )
    provenance: list[AttributeClaim] = planned(
        CLAIMS,
        "Which source says what of one attribute, the winner first; at most 250 claims.",
        [
            argument(
                "attribute",
                str,
                "Such as `email` or `firstName`; or of `attributes`, unless they are masked.",
            )
        ],
    )
    identifiers: list[Identifier] = planned(
        IDENTIFIERS, "The identifiers by which the customer is recognised; at most 250."
    )
    source_profiles: list[SourceProfile] = planned(
        PROFILES, "The persons of the sources who are this customer, oldest first; at most 250."
    )
    merge_history: list[MergeEvent] = planned(
        HISTORY, "How the customer came together, latest first; at most 250 events."
    )
    consents: list[Consent] = planned(
        CONSENTS,
        "How the customer stands to each channel and purpose of which anything was said. No entry"
        " is silence, which is not consent.",
    )
    decisions: list[IdentityDecision] = planned(
        DECISIONS,
        "What people decided about its source profiles, latest first, also what was taken back; at"
        " most 250.",
    )
    match_reviews: list[MatchReview] = planned(
        CUSTOMER_REVIEWS,
        "The open questions whether somebody else is the same person; at most 250. Not for the role"
        " frontend.",
    )
    freshness: list[Freshness] = FRESHNESS
    segments: list[SegmentMembership] = planned(
        Many(memberships), "The segments that the customer is in, by slug; at most 250."
    )
    orders: OrderConnection = planned(
        Page(customer_orders), "Purchases, newest first.", FORWARD, LATE
    )
    timeline: TimelineConnection = planned(
        Page(timeline), "Everything that happened, newest first.", TIMELINE_ARGUMENTS, LATE
    )
    loyalty_entries: LoyaltyEntryConnection = planned(
        Page(customer_entries), "How points came and went, newest first.", FORWARD, LATE
    )
    tier_history: list[TierPeriod] = planned(
        Many(tier_periods), "Which tier was held when, latest first; at most 250."
    )
    tickets: TicketConnection = planned(
        Page(customer_tickets), "Cases in the support queue, the latest first.", FORWARD, LATE
    )
    recommendations: list[Recommendation] = planned(
        RECOMMENDATIONS,
        "What the customer may want next, the best first: products not bought yet that go with what"
        " was, because other customers buy both. Empty where nothing was bought, or nothing goes"
        " with it; at most 250.",
        RECOMMENDATIONS_ARGUMENTS,
    )
    badges: list[LoyaltyBadge] = planned(Many(badges), "What was won, latest first; at most 250.")


Customer: Declared = strawberry.type(
    _Customer,
    name="Customer",
    description="One person, unified from every source that knows them.",
)
CustomerConnection: Declared = connection("Customer", Customer, "A page of customers.")

CUSTOMERS_ARGUMENTS = (
    *FORWARD,
    argument("last", int | None, "How many rows at most, from the end of the list."),
    argument("before", str | None, "The cursor before which the page ends."),
    argument("filter", CustomerFilter | None, "Which customers; all of them unless told."),
    argument(
        "order_by",
        list[CustomerOrder] | None,
        "Sort fields, the first one first, at most 5. By id unless told.",
    ),
    argument(
        "search",
        str | None,
        "Words of a name, each as it begins; or an email address, phone number or loyalty card.",
    ),
)


def customers(_: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    """All customers, filtered, sorted, by pages of either direction."""
    return customers_among(scene, arguments, lambda _: ())


def customers_among(
    scene: Scene, arguments: Arguments, among: Callable[[Row], Sequence[ColumnElement[bool]]]
) -> Slice:
    """Those customers for whom the conditions of `among` hold, which may look at rows around."""
    viewer = scene.viewer
    row = row_of(tables.scored_customer.alias(), scene)
    filter_, text = filter_json(arguments.now("filter")), arguments.now("search")
    where = [*among(row), *_conditions(row, filter_, text)]
    ordering = read_ordering(
        [Sort(each["field"].value, each["direction"]) for each in arguments.now("orderBy") or ()],
        about=[filter_, text],
        may_see_personal=viewer.may_see_personal,
    )
    page = read_page(
        ordering,
        **{name: arguments.now(name) for name in ("first", "after", "last", "before")},
        most=viewer.most_first,
    )
    return Slice(
        branches=[
            Branch(
                "Customer",
                row,
                select_customers([], row.scope, where=where, ordering=ordering, page=page),
            )
        ],
        size=page.size,
        order=lambda _: (),
        cursor=lambda _: write_cursor(ordering, row.scope),
        total=lambda: (
            count_customers(row.scope, where=where).correlate_except(row.table).scalar_subquery()
        ),
        is_backward=page.is_backward,
        is_inner=page.cursor is not None,
    )


def _conditions(row: Row, filter_: object, text: str | None) -> Sequence[ColumnElement[bool]]:
    scene = row.scene
    may_see = scene.viewer.may_see_personal
    found = [predicate(filter_, row.scope, workspace=scene.workspace, may_see_personal=may_see)]
    if text is not None:
        found.append(search(text, row.scope, workspace=scene.workspace, may_see_personal=may_see))
    return found
