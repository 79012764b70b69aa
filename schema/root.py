"""The schema: the root fields, composed of what the types declare."""

import functools
from collections.abc import Mapping, Sequence
from typing import Final

import strawberry
from sqlalchemy import BigInteger, FromClause, Text, any_, select
from sqlalchemy.dialects.postgresql import ARRAY
from strawberry.schema.config import StrawberryConfig

from cdp import tables
from cdp.bearers import identified_by, spellings
from cdp.errors import BadInput
from schema.edges import (
    Arguments,
    Branch,
    Page,
    Root,
    Roots,
    Scene,
    argument,
    is_given,
    planned,
    row_of,
)
from schema.ids import row_id
from schema.mutations.consent import RECORD_CONSENT, RecordConsentPayload
from schema.mutations.decide import DECIDE, DecideMatchPayload
from schema.mutations.ingest import INGEST, IngestPayload
from schema.mutations.merge import MERGE, MergeCustomersPayload
from schema.mutations.points import ADJUST, EARN, REDEEM, PointsPayload
from schema.mutations.segment import (
    CREATE_SEGMENT,
    DELETE_SEGMENT,
    UPDATE_SEGMENT,
    CreateSegmentPayload,
    DeleteSegmentPayload,
    UpdateSegmentPayload,
)
from schema.mutations.split import SPLIT, SplitCustomerPayload
from schema.mutations.undo import UNDO, UndoMergePayload
from schema.nodes import NUMBER, RECORD, Nodes, NodeType, number_parts, record_parts, shape
from schema.scalars import SCALARS
from schema.types.audience import AUDIENCES, Audience
from schema.types.business import (
    BUSINESS,
    BUSINESS_ARGUMENTS,
    BUSINESS_LATE,
    BusinessMetrics,
)
from schema.types.connection import FORWARD, LATE
from schema.types.customer import (
    CUSTOMERS_ARGUMENTS,
    Customer,
    CustomerConnection,
    customers,
)
from schema.types.decision import find_decision
from schema.types.identity import IdentifierInput, SourceProfile, find_profile
from schema.types.ledger import find_event
from schema.types.model_report import MODEL_REPORT, ModelReport
from schema.types.node import Node
from schema.types.order import Order, find_order
from schema.types.overlap import SEGMENT_OVERLAP, SegmentOverlap
from schema.types.records import customer_of_profile
from schema.types.retention import (
    RETENTION,
    RETENTION_ARGUMENTS,
    RETENTION_LATE,
    RetentionGrid,
)
from schema.types.review import (
    REVIEWS,
    REVIEWS_ARGUMENTS,
    REVIEWS_LATE,
    MatchReviewConnection,
    find_review,
)
from schema.types.rules import RULES, IdentityRules
from schema.types.segment import (
    PREVIEW,
    PREVIEW_ARGUMENTS,
    SEGMENT,
    SEGMENT_ARGUMENTS,
    SEGMENT_CHANGES,
    SEGMENTS,
    Segment,
    SegmentChange,
    SegmentConnection,
    SegmentPreview,
    find_segment,
)
from schema.types.source import Source, find_source, sources
from schema.types.standing import STANDING, STANDING_ARGUMENTS, SegmentStanding
from schema.types.timeline import ENTRY_TYPES


def _find_customer(scene: Scene, wanted: FromClause) -> Branch:
    customer, profile = tables.scored_customer.alias(), tables.source_profile.alias()
    query = (
        select()
        .select_from(customer, profile, wanted)
        .where(profile.c.id == wanted.c.part_0, customer.c.id == profile.c.customer_id)
    )
    return Branch("Customer", row_of(customer, scene), query)


def _customer(scene: Scene, arguments: Arguments) -> Branch:
    number = arguments.later("id", BigInteger(), lambda text: row_id(text, "Customer"))
    identifier = arguments.now("identifier")
    if (number is None) == (identifier is None):
        raise BadInput("customer takes one argument.", todo="Give either id or identifier.")
    if number is not None:
        return customer_of_profile(number, scene)
    return _bearer(scene, identifier["kind"], arguments)


def _bearer(scene: Scene, kind: str, arguments: Arguments) -> Branch:
    """Who bears an identifier: who bears it now before who once did, the latest to be seen first.

    A number may have been somebody else's before; of two who share it one is told, always the same.
    """
    workspace = scene.workspace
    identified_by(kind, None, workspace=workspace)  # refuses a kind that there is not

    def stored(given: Mapping[str, str]) -> Sequence[str]:
        return spellings(kind, given["value"], workspace=workspace)

    values = arguments.later("identifier", ARRAY(Text()), stored)
    assert values is not None, "the caller looked"
    identifier, profile = tables.identifier.alias(), tables.source_profile.alias()
    bearer = (
        select(profile.c.customer_id)
        .join(identifier, identifier.c.source_profile_id == profile.c.id)
        .where(identifier.c.kind == kind, identifier.c.value == any_(values))
        .order_by(
            (identifier.c.is_current & profile.c.deleted_at.is_(None)).desc(),
            identifier.c.last_seen_at.desc(),
            profile.c.id,
        )
        .limit(1)
        .scalar_subquery()
    )
    customer = tables.scored_customer.alias()
    query = select().select_from(customer).where(customer.c.id == bearer)
    return Branch("Customer", row_of(customer, scene), query)


NODE_TYPES: Final = {
    node.name: node
    for node in (
        NodeType("Customer", NUMBER, number_parts, _find_customer),
        NodeType("SourceProfile", NUMBER, number_parts, find_profile),
        NodeType("Order", RECORD, record_parts, find_order),
        NodeType("Source", NUMBER, number_parts, find_source),
        NodeType("MergeEvent", NUMBER, number_parts, find_event),
        NodeType("IdentityDecision", NUMBER, number_parts, find_decision),
        NodeType("MatchReview", NUMBER, number_parts, find_review),
        NodeType("Segment", NUMBER, number_parts, find_segment),
    )
}


@strawberry.type(description="Where every read begins.")
class Query:
    """The root fields."""

    node: Node | None = planned(
        Nodes(NODE_TYPES, "id", is_list=False),
        "Anything that has a global id; null if it is gone.",
        [argument("id", strawberry.ID, "The `id` that an answer gave.")],
        {"id": shape},
    )
    nodes: list[Node | None] = planned(
        Nodes(NODE_TYPES, "ids", is_list=True),
        "Several at once, in the order of the ids; null in the place of one that is gone.",
        [argument("ids", list[strawberry.ID], "At most 250.")],
        {"ids": shape},
    )
    customer: Customer | None = planned(
        Root(_customer),
        "One customer, by id or by identifier: give one of the two. Null if there is none.",
        [
            argument("id", strawberry.ID | None, "The customer's id; a merged one will do."),
            argument(
                "identifier",
                IdentifierInput | None,
                "What the person bears, or bore: who bears it now comes first.",
            ),
        ],
        {"id": is_given, "identifier": lambda given: given and given["kind"]},
    )
    customers: CustomerConnection = planned(
        Page(customers), "All customers, filtered, sorted and in pages.", CUSTOMERS_ARGUMENTS
    )
    segment: Segment | None = planned(
        SEGMENT,
        "One segment, by id or by slug: give one of the two. Null if there is none.",
        SEGMENT_ARGUMENTS,
        {"id": is_given, "slug": is_given},
    )
    segments: SegmentConnection = planned(SEGMENTS, "All segments, by slug.", FORWARD, LATE)
    segment_preview: SegmentPreview = planned(
        PREVIEW, "What a filter would hold for. Not for the role frontend.", PREVIEW_ARGUMENTS
    )
    segment_membership: SegmentStanding | None = planned(
        STANDING,
        "How a customer stands to a segment, and why; null if there is no such segment or customer."
        " Not for the role frontend.",
        STANDING_ARGUMENTS,
        {"segmentSlug": is_given, "customerId": is_given},
    )
    segment_overlap: list[SegmentOverlap] = SEGMENT_OVERLAP
    audiences: list[Audience] = AUDIENCES
    sources: list[Source] = planned(
        Roots(sources), "The sources that are connected. Not for the role frontend."
    )
    match_reviews: MatchReviewConnection = planned(
        REVIEWS,
        "The review queue: who may be one person, and nobody knows. First comes whose answer"
        " teaches most, then the older. Not for the role frontend.",
        REVIEWS_ARGUMENTS,
        REVIEWS_LATE,
    )
    retention: RetentionGrid = planned(
        RETENTION,
        "Who came back: customers by the period of their first order, and what became of them in"
        " each period since. Not for the role frontend.",
        RETENTION_ARGUMENTS,
        RETENTION_LATE,
    )
    business: BusinessMetrics = planned(
        BUSINESS,
        "How the whole business does: rates, money, satisfaction, campaigns. Not for the role"
        " frontend.",
        BUSINESS_ARGUMENTS,
        BUSINESS_LATE,
    )
    identity_rules: IdentityRules = planned(
        RULES, "The rules by which source profiles become customers. Not for the role frontend."
    )
    model_report: ModelReport | None = MODEL_REPORT


@strawberry.type(
    description="Where every change begins; for the roles steward and admin, `ingest` for the role"
    " connector and admin. The fields of one"
    " operation run one after another, each in a transaction of its own: one that is refused or"
    " fails leaves nothing. What a caller can expect to go wrong stands in the payload's `errors`."
    " Any other error makes the whole answer null and ends the operation: its `path` names the"
    " field, and the fields before that one are kept."
)
class Mutation:
    """The root fields that write."""

    merge_customers: MergeCustomersPayload = MERGE
    split_customer: SplitCustomerPayload = SPLIT
    undo_merge: UndoMergePayload = UNDO
    decide_match: DecideMatchPayload = DECIDE
    create_segment: CreateSegmentPayload = CREATE_SEGMENT
    update_segment: UpdateSegmentPayload = UPDATE_SEGMENT
    delete_segment: DeleteSegmentPayload = DELETE_SEGMENT
    record_consent: RecordConsentPayload = RECORD_CONSENT
    earn_points: PointsPayload = EARN
    redeem_points: PointsPayload = REDEEM
    adjust_points: PointsPayload = ADJUST
    ingest: IngestPayload = INGEST


@strawberry.type(
    description="What is told as it happens, over a WebSocket of the protocol graphql-transport-ws."
)
class Subscription:
    """The root fields that wait."""

    segment_changes: SegmentChange = SEGMENT_CHANGES


@functools.cache
def build_schema() -> strawberry.Schema:
    """The schema, with every type that only an interface leads to; built once for the process."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Customer, SourceProfile, Order, Source, Segment, *ENTRY_TYPES],
        config=StrawberryConfig(scalar_map=dict(SCALARS), disable_field_suggestions=True),
    )


def sdl() -> str:
    """The schema as text; `schema.graphql` holds the same."""
    return build_schema().as_str() + "\n"
