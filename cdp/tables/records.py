"""What the sources said: a table for each canonical stream, and every earlier version."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.schema import SchemaItem

from cdp.tables.base import Instant, metadata


def _record_columns() -> tuple[Column[Any], ...]:
    """What every record carries, whatever its stream."""
    return (
        Column("source_id", ForeignKey("source.id"), nullable=False),
        Column("key", Text, nullable=False),
        Column("digest", LargeBinary, nullable=False, comment="Of the mapped record."),
        Column("payload", JSON, nullable=False, comment="As the source said it."),
        Column("attributes", JSONB, comment="What the source said beyond our columns."),
        Column("updated_at", Instant, comment="When the source changed it, if it tells."),
        Column("vendor_version", BigInteger, comment="The source's own counter, if it has one."),
        Column(
            "learned_at",
            Instant,
            nullable=False,
            server_default=func.now(),
            comment="When this version reached us.",
        ),
        Column("deleted_at", Instant, comment="When the source deleted it; null while it lives."),
    )


def _record_table(name: str, *items: SchemaItem, comment: str) -> Table:
    return Table(
        name,
        metadata,
        *_record_columns(),
        *items,
        PrimaryKeyConstraint("source_id", "key"),
        comment=comment,
    )


def _person_table(name: str, occurred: str, *items: SchemaItem, comment: str) -> Table:
    """A record about a person: named by `customer_id` in its source, or by its contact points."""
    return _record_table(
        name,
        Column("customer_id", Text, comment="The key of its customer in the source; null: none."),
        Column(
            "source_profile_id",
            BigInteger,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        *items,
        Index(None, "source_profile_id", occurred),
        Index(
            f"ix_{name}_waiting",
            "source_id",
            "customer_id",
            postgresql_where=text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
        ),
        comment=comment,
    )


record_version = Table(
    "record_version",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("stream", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("updated_at", Instant),
    Column("vendor_version", BigInteger),
    Column("learned_at", Instant, nullable=False, server_default=func.now()),
    Column("deleted_at", Instant),
    Index(None, "source_id", "stream", "key"),
    comment="Every version of a record that is not the current one: superseded, or come too late.",
)

source_profile = Table(
    "source_profile",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("stream", Text, nullable=False, comment="customers, or contact."),
    *_record_columns(),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("full_name", Text),
    Column("email", Text),
    Column("phone", Text, comment="E.164."),
    Column("birth_date", Date),
    Column("gender", Text),
    Column("street", Text),
    Column("city", Text),
    Column("region", Text),
    Column("postal_code", Text),
    Column("country", Text),
    Column("language", Text),
    Column("loyalty_card", Text),
    Column("email_verified", Boolean, comment="Shown to the source to be theirs; null: not said."),
    Column("phone_verified", Boolean, comment="Shown to the source to be theirs; null: not said."),
    Column("tags", JSONB),
    Column("created_at", Instant, comment="When the source first knew the person, if it tells."),
    Column("first_stored_at", Instant, nullable=False),
    Column("given_key", Text, nullable=False, comment="First names, normalised for comparison."),
    Column("family_key", Text, nullable=False, comment="Last name, normalised for comparison."),
    Column(
        "compared_digest",
        LargeBinary,
        nullable=False,
        server_default="",
        comment="Of what linkage compares; a scored pair lapses when it changes.",
    ),
    UniqueConstraint("source_id", "stream", "key"),
    # The map in itself: whoever asks for all of it does not read the profiles.
    Index(None, "customer_id", "id"),
    comment="A person as one source tells it. Its id is the customer id that it reserves.",
)

product = _record_table(
    "product",
    Column("sku", Text),
    Column("title", Text),
    Column("category", Text),
    Column("price", Numeric),
    Column("currency", Text),
    comment="Something that is sold.",
)

sales_order = _person_table(
    "sales_order",
    "placed_at",
    Column("placed_at", Instant),
    Column("currency", Text),
    Column("total", Numeric),
    Column("discount", Numeric),
    Column("tax", Numeric),
    Column("shipping", Numeric),
    Column("status", Text, comment="One of the order statuses; null reads as completed."),
    Column("channel", Text),
    # For segments of those who bought lately: answered without reading the orders themselves.
    Index(
        "ix_sales_order_placed_at",
        "placed_at",
        # What a condition on orders asks: most are answered without a look at the order itself.
        postgresql_include=["source_profile_id", "status", "channel", "total", "currency"],
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "ix_sales_order_of_nobody",
        "placed_at",
        postgresql_where=text("source_profile_id IS NULL AND deleted_at IS NULL"),
    ),
    comment="A purchase, in its own currency.",
)

order_line = _record_table(
    "order_line",
    Column("order_key", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("product_id", Text),
    Column("sku", Text),
    Column("title", Text),
    Column("category", Text),
    Column("quantity", Numeric),
    Column("unit_price", Numeric),
    Column("discount", Numeric),
    Index(None, "source_id", "order_key"),
    comment="A line of an order; its order is (source_id, order_key).",
)

refund = _record_table(
    "refund",
    Column("order_key", Text),
    Column("refunded_at", Instant),
    Column("amount", Numeric),
    Column("currency", Text),
    Column("reason", Text),
    Index(None, "source_id", "order_key"),
    comment="Money given back on an order.",
)

campaign = _record_table(
    "campaign",
    Column("name", Text),
    Column("channel", Text),
    Column("started_at", Instant),
    Column("cost", Numeric),
    Column("currency", Text),
    comment="Something that was sent to many.",
)

campaign_cost = Table(
    "campaign_cost",
    metadata,
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("key", Text, nullable=False, comment="The campaign's, in its source."),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("stated_at", Instant, nullable=False, server_default=func.now()),
    Column("stated_by", Text, nullable=False),
    PrimaryKeyConstraint("source_id", "key"),
    comment="What a campaign cost, as a person states it: where its source tells no cost.",
)

message = _person_table(
    "message",
    "occurred_at",
    Column("message_id", Text),
    Column("campaign_id", Text),
    Column("channel", Text),
    Column("kind", Text),
    Column("occurred_at", Instant),
    Column("url", Text),
    Index(
        "ix_message_refusal",
        "source_profile_id",
        postgresql_where=text("kind IN ('unsubscribed', 'complained')"),
    ),
    comment="One event of one message to a person.",
)

interaction = _person_table(
    "interaction",
    "occurred_at",
    Column("kind", Text),
    Column("network", Text),
    Column("occurred_at", Instant),
    Column("properties", JSONB),
    comment="Something that a person did.",
)

ticket = _person_table(
    "ticket",
    "opened_at",
    Column("channel", Text),
    Column("subject", Text),
    Column("status", Text),
    Column("priority", Text),
    Column("opened_at", Instant),
    Column("first_response_at", Instant),
    Column("resolved_at", Instant),
    comment="A case in the support queue.",
)

feedback = _person_table(
    "feedback",
    "given_at",
    Column("kind", Text),
    Column("score", Numeric),
    Column("scale", Numeric),
    Column("comment", Text),
    Column("product_id", Text),
    Column("given_at", Instant),
    comment="A score that a person gave.",
)

loyalty_entry = _person_table(
    "loyalty_entry",
    "occurred_at",
    Column("loyalty_card", Text),
    Column("kind", Text),
    Column("points", BigInteger),
    Column("occurred_at", Instant),
    Column("expires_at", Instant),
    Column("order_id", Text),
    Column("reason", Text),
    Index(
        "ix_loyalty_entry_order",
        "source_id",
        "order_id",
        postgresql_where=text("order_id IS NOT NULL"),
    ),
    comment="A movement of points in a source's own programme.",
)

subscription = _person_table(
    "subscription",
    "started_at",
    Column("plan", Text),
    Column("status", Text),
    Column("amount", Numeric),
    Column("currency", Text),
    Column("interval", Text),
    Column("started_at", Instant),
    Column("renews_at", Instant),
    Column("cancelled_at", Instant),
    Column("ended_at", Instant),
    comment="A contract that renews.",
)

consent = _person_table(
    "consent",
    "recorded_at",
    Column("email", Text),
    Column("phone", Text),
    Column("contact_point_kind", Text, comment="email or phone; null: it names no such point."),
    Column("contact_point", Text, comment="What it names, normalised; null: its profile's."),
    Column("channel", Text, comment="In lower case, as the purpose."),
    Column("purpose", Text),
    Column("status", Text),
    Column("recorded_at", Instant),
    Column("evidence", Text),
    Index(
        "ix_consent_contact_point",
        "contact_point_kind",
        "contact_point",
        postgresql_where=text("contact_point IS NOT NULL"),
    ),
    comment="A permission given or taken back.",
)

exchange_rate = _record_table(
    "exchange_rate",
    Column("on", Date),
    Column("currency", Text),
    Column("base", Text),
    Column("rate", Numeric),
    Index(None, "currency", "base", "on"),
    comment="On a day, one unit of currency is rate units of base.",
)

STREAM_TABLES: Mapping[str, Table] = {
    "customers": source_profile,
    "products": product,
    "orders": sales_order,
    "order_lines": order_line,
    "refunds": refund,
    "campaigns": campaign,
    "messages": message,
    "interactions": interaction,
    "tickets": ticket,
    "feedback": feedback,
    "loyalty_entries": loyalty_entry,
    "subscriptions": subscription,
    "consents": consent,
    "exchange_rates": exchange_rate,
}
"""Where the records of each canonical stream lie."""

PERSON_TABLES: tuple[Table, ...] = tuple(
    table for table in STREAM_TABLES.values() if "source_profile_id" in table.c
)
"""The tables whose rows belong to a source profile."""
