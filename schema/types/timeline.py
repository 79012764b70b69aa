"""Everything that happened to a customer, of every kind and source, newest first."""

from dataclasses import dataclass
from typing import Any, Final

import strawberry
from sqlalchemy import ColumnElement, Integer, Select, Table, func, literal_column, select

from cdp import tables
from cdp.errors import BadInput
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Embedded,
    Leaf,
    One,
    Row,
    Scene,
    Slice,
    argument,
    column,
    planned,
    row_of,
)
from schema.ids import Instant, Whole, cursor, global_id
from schema.objects import constant
from schema.scalars import BigInt, DateTime, Decimal, Json
from schema.types.connection import FORWARD, connection
from schema.types.node import is_type_of, type_of
from schema.types.order import Order
from schema.types.records import (
    beyond,
    is_alive,
    money,
    profiles_of,
    shown_key,
    source_name,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entry: its type in the graph, its table, and when it happened."""

    name: str
    type_name: str
    table: Table
    occurred: str
    doc: str


KINDS: Final = (
    Kind("ORDER", "OrderEntry", tables.sales_order, "placed_at", "A purchase."),
    Kind("REFUND", "RefundEntry", tables.refund, "refunded_at", "Money was given back."),
    Kind("MESSAGE", "MessageEntry", tables.message, "occurred_at", "An event of a message."),
    Kind(
        "INTERACTION", "InteractionEntry", tables.interaction, "occurred_at", "The customer acted."
    ),
    Kind("TICKET", "TicketEntry", tables.ticket, "opened_at", "A support case was opened."),
    Kind("FEEDBACK", "FeedbackEntry", tables.feedback, "given_at", "A score was given."),
    Kind("LOYALTY_ENTRY", "LoyaltyMovement", tables.loyalty_entry, "occurred_at", "Points moved."),
    Kind("CONSENT", "ConsentEntry", tables.consent, "recorded_at", "Permission given or taken."),
    Kind(
        "SUBSCRIPTION", "SubscriptionEntry", tables.subscription, "started_at", "A contract began."
    ),
)
_BY_TABLE: Final = {kind.table.name: kind for kind in KINDS}

TimelineKind: Declared = enumeration(
    "TimelineKind", "What sort of thing happened.", {kind.name: kind.doc for kind in KINDS}
)


def _kind(row: Row) -> Kind:
    return _BY_TABLE[row.name]


def _kind_text(row: Row) -> ColumnElement[str]:
    return constant(_kind(row).name)


def _entry_id(row: Row) -> ColumnElement[str]:
    return global_id(_kind(row).type_name, row.table.c.source_id, shown_key(row))


@strawberry.interface(
    description="Something that happened. Ask for `kind`, and spread on the type that goes with it."
)
class TimelineEntry:
    """What every entry tells; a row of one of the person tables, or of refund."""

    id: strawberry.ID = planned(
        Leaf(_entry_id), "Unique among entries; good as a key of a list. Another when masked."
    )
    kind: TimelineKind = planned(Leaf(_kind_text), "What sort of thing happened.")
    at: DateTime = planned(Leaf(lambda row: row[_kind(row).occurred]), "When it happened.")
    source: str = planned(Leaf(source_name), "The name of the source that tells of it.")

    resolve_type = staticmethod(type_of)
    is_type_of = staticmethod(is_type_of)


def _order_of_refund(refund: Row) -> Branch:
    order = tables.sales_order.alias()
    query = (
        select()
        .select_from(order)
        .where(
            order.c.source_id == refund.table.c.source_id,
            order.c.key == refund.table.c.order_key,
            is_alive(order, "placed_at", refund.scene.as_of),
        )
    )
    return Branch("Order", row_of(order, refund.scene), query)


@strawberry.type(description="A purchase.")
class OrderEntry(TimelineEntry):
    """A row of sales_order."""

    order: Order = planned(Embedded(), "The purchase.")


@strawberry.type(description="Money was given back on an order.")
class RefundEntry(TimelineEntry):
    """A row of refund."""

    amount: Decimal | None = planned(money("amount"), "In the refund's currency.")
    currency: str | None = column("currency", "ISO 4217.")
    reason: str | None = column("reason", "As the source tells it. Personal: may be masked.")
    order: Order = planned(One(_order_of_refund), "The purchase that it was for.")


@strawberry.type(description="An event of a message to the customer.")
class MessageEntry(TimelineEntry):
    """A row of message."""

    event: str | None = column(
        "kind",
        "sent, delivered, opened, clicked, bounced, complained, unsubscribed or replied.",
    )
    channel: str | None = column("channel", "Such as `email` or `sms`.")
    message_id: str | None = column(
        "message_id", "Groups the events of one message. Personal: may be masked."
    )
    campaign_id: str | None = column("campaign_id", "The campaign's key in the source.")
    url: str | None = column("url", "What was clicked. Personal: may be masked.")


@strawberry.type(description="Something that the customer did.")
class InteractionEntry(TimelineEntry):
    """A row of interaction."""

    action: str | None = column("kind", "Such as follow, like, comment, page_view, add_to_cart.")
    network: str | None = column("network", "The social network, if it was on one.")
    properties: Json | None = column(
        "properties", "What else the source tells. Personal: may be masked."
    )


@strawberry.type(description="A case in the support queue; its moment is when it was opened.")
class TicketEntry(TimelineEntry):
    """A row of ticket."""

    subject: str | None = column("subject", "What it is about. Personal: may be masked.")
    status: str | None = column("status", "As the source tells it.")
    priority: str | None = column("priority", "As the source tells it.")
    channel: str | None = column("channel", "How the customer wrote.")
    first_response_at: DateTime | None = column("first_response_at", "Null before an answer.")
    resolved_at: DateTime | None = column("resolved_at", "Null before it was resolved.")


@strawberry.type(description="A score that the customer gave.")
class FeedbackEntry(TimelineEntry):
    """A row of feedback."""

    survey: str | None = column("kind", "nps, csat, ces or review.")
    score: Decimal | None = planned(money("score"), "On the scale.")
    scale: Decimal | None = planned(money("scale"), "The highest score there is, if told.")
    comment: str | None = column("comment", "In the customer's words. Personal: may be masked.")
    product_id: str | None = column("product_id", "The product's key in the source.")


@strawberry.type(description="Points of a source's own loyalty programme moved.")
class LoyaltyMovement(TimelineEntry):
    """A row of loyalty_entry."""

    movement: str | None = column("kind", "earn, redeem, adjust or expire.")
    points: BigInt | None = column("points", "How many; negative where they went.")
    expires_at: DateTime | None = column("expires_at", "When they lapse; null: never.")
    reason: str | None = column("reason", "As the source tells it. Personal: may be masked.")


@strawberry.type(description="A permission was given or taken back.")
class ConsentEntry(TimelineEntry):
    """A row of consent."""

    channel: str | None = column("channel", "What it is about, such as `email`.")
    purpose: str | None = column("purpose", "What it is for, such as `marketing`.")
    status: str | None = column("status", "granted, denied or withdrawn.")
    evidence: str | None = column("evidence", "How it was given. Personal: may be masked.")


@strawberry.type(description="A contract that renews; its moment is when it began.")
class SubscriptionEntry(TimelineEntry):
    """A row of subscription."""

    plan: str | None = column("plan", "What was subscribed to.")
    status: str | None = column(
        "status", "trialing, active, past_due, paused, cancelled or expired, as it is now."
    )
    amount: Decimal | None = planned(money("amount"), "Per interval, in the contract's currency.")
    currency: str | None = column("currency", "ISO 4217.")
    interval: str | None = column("interval", "day, week, month or year.")
    renews_at: DateTime | None = column("renews_at", "When the next interval begins.")
    cancelled_at: DateTime | None = column("cancelled_at", "When it was cancelled, if it was.")
    ended_at: DateTime | None = column("ended_at", "When it ended; null while it runs.")


ENTRY_TYPES: Final = (
    OrderEntry,
    RefundEntry,
    MessageEntry,
    InteractionEntry,
    TicketEntry,
    FeedbackEntry,
    LoyaltyMovement,
    ConsentEntry,
    SubscriptionEntry,
)
"""Named to the schema one by one: nothing but the interface leads to them."""

TimelineConnection: Declared = connection(
    "Timeline", TimelineEntry, "A page of what happened, newest first."
)

TIMELINE_ARGUMENTS: Final = (
    *FORWARD,
    argument(
        "kinds", list[TimelineKind] | None, "Only these kinds of entry; every kind unless told."
    ),
)

_TAG: Final = "timeline"
_KEYS: Final = (Instant, str, Whole, str)


def timeline(customer: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    """What happened to a customer, newest first: a union of the tables of the kinds asked for.

    Raises BadInput where `kinds` is an empty list.
    """
    assert customer is not None
    asked = arguments.now("kinds")
    names = {kind.value for kind in asked} if asked is not None else {kind.name for kind in KINDS}
    if not names:
        raise BadInput("kinds is empty.", todo="Leave it out for every kind.", path="kinds")
    branches: list[Branch] = []
    wholes: list[Select[Any]] = []
    is_inner = False
    for kind in KINDS:
        if kind.name not in names:
            continue
        row, whole = _entries(kind, customer)
        keys = _order(row)
        rest, is_inner = beyond(arguments, _TAG, _KEYS, keys)
        at, _, *others = keys  # within one kind, the kind itself orders nothing
        page = whole.where(*rest).order_by(at.desc(), *(key.desc() for key in others))
        branches.append(Branch(kind.type_name, row, page))
        wholes.append(whole.add_columns(func.count()).correlate_except(row.table))
    return Slice(
        branches=branches,
        size=arguments.page_size(),
        order=lambda branch: _order(branch.row),
        cursor=lambda branch: cursor(_TAG, *_order(branch.row)),
        total=lambda: sum(
            (whole.scalar_subquery() for whole in wholes), literal_column("0", Integer)
        ),
        is_inner=is_inner,
    )


def _order(row: Row) -> tuple[ColumnElement[Any], ...]:
    """What sorts entries of all kinds; every key falls."""
    record = row.table
    return record.c[_kind(row).occurred], _kind_text(row), record.c.source_id, shown_key(row)


def _entries(kind: Kind, customer: Row) -> tuple[Row, Select[Any]]:
    """All entries of one kind: of a refund the order tells whose it is, while there is one."""
    as_of = customer.scene.as_of
    record = kind.table.alias()
    mine = profiles_of(customer)
    if "source_profile_id" in record.c:
        query = select().select_from(record).where(record.c.source_profile_id.in_(mine))
    else:
        order = tables.sales_order.alias()
        of_order = (order.c.source_id == record.c.source_id) & (order.c.key == record.c.order_key)
        query = (
            select()
            .select_from(record.join(order, of_order))
            .where(
                order.c.source_profile_id.in_(mine),
                is_alive(order, "placed_at", as_of),
            )
        )
    return row_of(record, customer.scene), query.where(is_alive(record, kind.occurred, as_of))
