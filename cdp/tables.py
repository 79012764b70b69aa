"""Every table of the database, on one MetaData; a column's comment is its documentation."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSON, JSONB, TSVECTOR
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)


class LifecycleStage(Enum):
    """Where a customer stands between the first order and the last; in that order."""

    PROSPECT = "PROSPECT"
    NEW = "NEW"
    ACTIVE = "ACTIVE"
    LOYAL = "LOYAL"
    AT_RISK = "AT_RISK"
    LAPSED = "LAPSED"
    LOST = "LOST"


lifecycle_stage = ENUM(LifecycleStage, name="lifecycle_stage", metadata=metadata)


class EngagementLevel(Enum):
    """How much a customer answers to what a shop sends and posts; from none to high."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class NpsCategory(Enum):
    """What an answer to the NPS question counts as: 0 to 6, 7 and 8, 9 and 10."""

    DETRACTOR = "DETRACTOR"
    PASSIVE = "PASSIVE"
    PROMOTER = "PROMOTER"


engagement_level = ENUM(EngagementLevel, name="engagement_level", metadata=metadata)
nps_category = ENUM(NpsCategory, name="nps_category", metadata=metadata)


class LoyaltyStatus(Enum):
    """How a customer belongs to the loyalty programme."""

    NONE = "NONE"
    MEMBER = "MEMBER"
    PAID_MEMBER = "PAID_MEMBER"
    SUSPENDED = "SUSPENDED"


loyalty_status = ENUM(LoyaltyStatus, name="loyalty_status", metadata=metadata)

# Sources and the work on them ---------------------------------------------------------------

workspace = Table(
    "workspace",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="Settings of the whole workspace; a key that is absent has its default.",
)

source = Table(
    "source",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("connector", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("removed_at", Instant, comment="Removed from syncs then; its records stay."),
    comment="A system outside, and the connector that reads it.",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("cursor", JSONB, comment="Where to resume; null before the first page."),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    comment="Where each stream resumes. A runner takes a new epoch; an older one is fenced off.",
)

sync_run = Table(
    "sync_run",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("started_at", Instant, nullable=False, server_default=func.now()),
    Column("finished_at", Instant, comment="Null while it runs, or where it was killed."),
    Column("status", Text, nullable=False, server_default="running"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    Column("error", Text),
    Index(None, "source_id", "started_at"),
    comment="One run of a source: running, ok, partial or failed, with its counts.",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("stream", Text, nullable=False),
    Column("key", Text, comment="Null where the record did not even tell its key."),
    Column("place", Text, nullable=False, comment="File and line, or page, where it stood."),
    Column("reason", Text, nullable=False),
    Column("path", Text, nullable=False, comment="The column at fault; empty where none is."),
    Column("payload", JSON, nullable=False, comment="As it came."),
    Column("digest", LargeBinary, nullable=False, comment="Of the payload."),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("first_seen_at", Instant, nullable=False, server_default=func.now()),
    Column("last_seen_at", Instant, nullable=False, server_default=func.now()),
    Column("resolved_at", Instant, comment="When a retry took it; null while it lies here."),
    UniqueConstraint("source_id", "stream", "digest", "place"),
    comment="Records that could not be taken, each with its reason.",
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key."),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("revoked_at", Instant),
    comment="Keys of the API; the key itself is printed once and never stored.",
)

# Records --------------------------------------------------------------------------------------


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
        postgresql_include=["source_profile_id", "total", "status", "channel"],
        postgresql_where=text("deleted_at IS NULL"),
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

# Identity -------------------------------------------------------------------------------------

identifier = Table(
    "identifier",
    metadata,
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False, comment="Normalised."),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("is_current", Boolean, nullable=False, comment="Said by the record's current version."),
    Column("first_seen_at", Instant, nullable=False, server_default=func.now()),
    Column("last_seen_at", Instant, nullable=False, server_default=func.now()),
    # Values differ at their first letters, kinds do not: half as much to compare on the way down.
    PrimaryKeyConstraint("value", "kind", "source_profile_id"),
    Index(None, "source_profile_id"),
    comment="Evidence: this source profile carries, or once carried, this identifier.",
)

blocked_value = Table(
    "blocked_value",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("blocked_at", Instant, nullable=False),
    comment="Identifiers that join nobody: shared by too many distinct persons.",
)

linkage_model = Table(
    "linkage_model",
    metadata,
    Column("version", Integer, Identity(), primary_key=True),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("document", JSONB, nullable=False, comment="Parameters, term frequencies, calibration."),
    comment="What batch linkage learned; a model is never changed, another version follows it.",
)

identity_rules = Table(
    "identity_rules",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", JSONB, nullable=False, comment="As `cdp identity rules` shows them."),
    Column("model_version", ForeignKey("linkage_model.version"), comment="Null: no linkage yet."),
    Column("applied_at", Instant, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Every version of the rules of identity; the latest is in force, else the defaults.",
)

identity_decision = Table(
    "identity_decision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="same, not_same, or split: two wholes apart."),
    Column("action", Text, nullable=False, comment="merge, split, undo, or review."),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("retracted_at", Instant, comment="Evidence until then; null while it holds."),
    Column("retracted_by", Text),
    comment="What a person decided about source profiles; of two that contradict the later holds.",
)

decision_member = Table(
    "decision_member",
    metadata,
    Column("decision_id", ForeignKey("identity_decision.id"), nullable=False),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("side", Text, nullable=False, comment="left, or right."),
    PrimaryKeyConstraint("decision_id", "source_profile_id"),
    Index(None, "source_profile_id"),
    comment="The source profiles that a decision speaks of.",
)

match_pair = Table(
    "match_pair",
    metadata,
    Column("left_id", BigInteger, nullable=False, comment="The smaller of two profile ids."),
    Column("right_id", BigInteger, nullable=False),
    Column("weight", Double, nullable=False, comment="Log2 of the odds that they are one."),
    Column("probability", Double, nullable=False, comment="Calibrated."),
    Column("parts", JSONB, nullable=False, comment="What each comparison added to the weight."),
    Column("model_version", ForeignKey("linkage_model.version"), nullable=False),
    Column("left_digest", LargeBinary, nullable=False, comment="Of the record that was compared."),
    Column("right_digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("left_id", "right_id"),
    Index(None, "right_id"),
    comment="Evidence: how alike two source profiles are. It lapses when either record changes.",
)

compared_profile = Table(
    "compared_profile",
    metadata,
    Column("source_profile_id", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, comment="Of what it said then."),
    comment="Source profiles that linkage has compared; whoever says something else since is new.",
)

match_review = Table(
    "match_review",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="Of the identifier, or `similarity`."),
    Column("value", Text, nullable=False, comment="The identifier, or the two profiles compared."),
    Column("left_id", BigInteger, nullable=False, comment="The smallest id of the left side."),
    Column("right_id", BigInteger, nullable=False),
    Column("left_ids", ARRAY(BigInteger), nullable=False),
    Column("right_ids", ARRAY(BigInteger), nullable=False),
    Column("pair_left_id", BigInteger, comment="The scored pair that ties the sides best, if any."),
    Column("pair_right_id", BigInteger),
    Column("reason", Text, nullable=False),
    Column("priority", Double, nullable=False, comment="1: nobody knows. 0: hardly a question."),
    Column("opened_at", Instant, nullable=False),
    UniqueConstraint("kind", "value", "left_id", "right_id"),
    Index("ix_match_review_queue", text("priority DESC"), "id"),
    Index(None, "left_id"),
    Index(None, "right_id"),
    comment="Evidence that joined not all whom it ties: two sides, for a person to decide.",
)

merge_event = Table(
    "merge_event",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", Text, nullable=False, comment="merged, or split."),
    Column("customer_id", BigInteger, nullable=False, index=True, comment="Who they are now."),
    Column("from_customer_id", BigInteger, nullable=False, index=True, comment="Who they were."),
    Column("profile_ids", ARRAY(BigInteger), nullable=False, comment="Who moved."),
    Column(
        "other_ids",
        ARRAY(BigInteger),
        nullable=False,
        server_default="{}",
        comment="Whom they joined, or left.",
    ),
    Column("evidence", JSONB, nullable=False, comment="What joined them."),
    Column("rule_version", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decision_id", ForeignKey("identity_decision.id"), comment="Null: by the rules alone."),
    Column("undoes_event_id", ForeignKey("merge_event.id"), comment="Null: it undoes none."),
    Index(
        "ix_merge_event_undoes_event_id",
        "undoes_event_id",
        postgresql_where=text("undoes_event_id IS NOT NULL"),
    ),
    comment="The ledger: every change of the map from source profile to customer.",
)

# Facts ----------------------------------------------------------------------------------------

purchase_day = Table(
    "purchase_day",
    metadata,
    Column("source_profile_id", BigInteger, nullable=False),
    Column("on", Date, nullable=False, comment="In the workspace's time zone."),
    Column("order_count", Integer, nullable=False, comment="Qualifying orders."),
    Column("priced_order_count", Integer, nullable=False, comment="Of them, those with a rate."),
    Column("gross_spend", Numeric, nullable=False),
    Column("refunded", Numeric, nullable=False),
    Column("qualifying_spend", Numeric, nullable=False, comment="Net, of qualifying orders."),
    Column("unpriced_count", Integer, nullable=False, comment="Orders and refunds without a rate."),
    Column("first_order_at", Instant),
    Column("last_order_at", Instant),
    Column("categories", JSONB, comment="Category to spend on its lines."),
    Column("channels", JSONB, comment="Channel to qualifying orders."),
    Column("next_change_at", Instant, comment="When time alone will change this row."),
    PrimaryKeyConstraint("source_profile_id", "on"),
    Index(
        "ix_purchase_day_due",
        "next_change_at",
        postgresql_where=text("next_change_at IS NOT NULL"),
    ),
    comment="One row per source profile and day with orders; money in the workspace's currency.",
)

FACT_COLUMNS: tuple[Column[Any], ...] = (
    Column(
        "order_count", Integer, nullable=False, server_default="0", comment="Qualifying orders."
    ),
    Column(
        "priced_order_count",
        Integer,
        nullable=False,
        server_default="0",
        comment="Of them, those with a rate.",
    ),
    Column(
        "order_day_count",
        Integer,
        nullable=False,
        server_default="0",
        comment="Days with a qualifying order.",
    ),
    Column(
        "gross_spend",
        Numeric,
        nullable=False,
        server_default="0",
        comment="Totals of orders that stand.",
    ),
    Column(
        "refunded", Numeric, nullable=False, server_default="0", comment="Refunds of those orders."
    ),
    Column(
        "net_spend",
        Numeric,
        Computed("gross_spend - refunded", persisted=True),
        nullable=False,
        comment="Gross spend less refunds.",
    ),
    Column(
        "qualifying_spend",
        Numeric,
        nullable=False,
        server_default="0",
        comment="Net, of qualifying orders.",
    ),
    Column(
        "unpriced_count",
        Integer,
        nullable=False,
        server_default="0",
        comment="Orders and refunds without a rate.",
    ),
    Column("first_order_at", Instant, comment="Of qualifying orders."),
    Column("last_order_at", Instant, comment="Of qualifying orders."),
    Column("first_order_on", Date, comment="The day of the first qualifying order."),
    Column("last_order_on", Date, comment="The day of the last qualifying order."),
    Column("favourite_category", Text, comment="With the most spend on its lines."),
    Column("favourite_channel", Text, comment="With the most qualifying orders."),
)
"""The facts, one column each; `cdp.facts` says how each is folded."""

ACTIVITY_COLUMNS: tuple[Column[Any], ...] = (
    *(
        Column(name, Integer, nullable=False, server_default="0", comment=comment)
        for name, comment in {
            "messages_sent": "Messages of which any event is known.",
            "messages_delivered": "Of them, those that arrived, as far as their source tells.",
            "messages_opened": "Of them, those opened at least once.",
            "messages_clicked": "Of them, those in which something was clicked.",
            "social_interactions": "Interactions on a social network.",
            "ticket_count": "Cases in the support queue.",
            "open_tickets": "Of them, those not settled yet.",
            "review_count": "Reviews given.",
            "active_subscriptions": "Subscriptions that go on.",
        }.items()
    ),
    Column("last_engaged_at", Instant, comment="Of opening, clicking, replying, interacting."),
    Column("median_first_response_hours", Numeric, comment="From opening to the first answer."),
    Column("median_resolution_hours", Numeric, comment="From opening to resolution."),
    Column("nps", Numeric, comment="The latest answer to the NPS question, 0 to 10."),
    Column("csat", Numeric, comment="Mean satisfaction, on a scale up to 5."),
    Column("ces", Numeric, comment="Mean effort score, on a scale up to 7."),
    Column("average_rating", Numeric, comment="Mean of reviews, on a scale up to 5."),
    Column(
        "monthly_value",
        Numeric,
        nullable=False,
        server_default="0",
        comment="What subscriptions that are paid for bring a month.",
    ),
    Column("subscribed_at", Instant, comment="When the first subscription began."),
    Column("renews_at", Instant, comment="The next renewal of a subscription that goes on."),
    Column("cancelled_at", Instant, comment="The latest cancellation of a subscription."),
    Column("activity_change_at", Instant, comment="When time alone will change one of these."),
)
"""The facts of everything but buying, one column each; `cdp.activity` says how each is folded."""

LOYALTY_COLUMNS: tuple[Column[Any], ...] = (
    Column(
        "loyalty_status",
        loyalty_status,
        nullable=False,
        server_default="NONE",
        comment="How the customer belongs to the programme.",
    ),
    Column("loyalty_tier", Text, comment="As the programme names it."),
    Column("loyalty_tier_rank", Integer, comment="Its place among the tiers, the lowest 0."),
    Column("loyalty_tier_since", Date, comment="Held without a break since this day."),
    Column("loyalty_tier_until", Date, comment="The first day without it, if nothing is added."),
    Column("loyalty_next_tier", Text, comment="The tier above; null for the highest."),
    Column("loyalty_points_to_next_tier", Numeric, comment="Points, or money, still missing."),
    Column("loyalty_points", BigInteger, comment="Available, less what is owed."),
    Column("loyalty_pending_points", BigInteger, comment="Within the return window."),
    Column("loyalty_lifetime_points", BigInteger, comment="Ever earned, less what was taken back."),
    Column("loyalty_points_expiring", BigInteger, comment="On the next day when points expire."),
    Column("loyalty_points_expire_on", Date, comment="The last day on which those can be used."),
    Column("loyalty_next_change_at", Instant, comment="When time alone will change these columns."),
)
"""What `cdp.loyalty.fold` writes on the customer's row; null for who is no member."""

customer = Table(
    "customer",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("birth_date", Date),
    Column("gender", Text),
    Column("street", Text),
    Column("city", Text),
    Column("region", Text),
    Column("postal_code", Text),
    Column("country", Text),
    Column("language", Text),
    Column("attributes", JSONB, nullable=False),
    Column("profile_count", Integer, nullable=False, comment="Of source profiles."),
    Column("created_at", Instant, nullable=False, comment="When any source first knew them."),
    Column("updated_at", Instant, nullable=False, comment="When this row was last folded."),
    Column("search", TSVECTOR, nullable=False),
    *FACT_COLUMNS,
    *ACTIVITY_COLUMNS,
    *LOYALTY_COLUMNS,
    Index(None, "created_at", "id"),
    Index(
        "ix_customer_activity_due",
        "activity_change_at",
        postgresql_where=text("activity_change_at IS NOT NULL"),
    ),
    Index(None, "net_spend", "id"),
    # Nulls come last in both directions, which one index of a nullable column cannot serve.
    Index(
        "ix_customer_last_order_at_rising", text("(last_order_at IS NULL)"), "last_order_at", "id"
    ),
    Index(
        "ix_customer_last_order_at_falling",
        text("(last_order_at IS NOT NULL)"),
        "last_order_at",
        "id",
    ),
    Index(None, "order_count", "id"),
    Index("ix_customer_search", "search", postgresql_using="gin"),
    Index(
        "ix_customer_loyalty_due",
        "loyalty_next_change_at",
        postgresql_where=text("loyalty_next_change_at IS NOT NULL"),
    ),
    comment="The unified person: attributes by survivorship, and the facts, in one wide row.",
)

# Segments -------------------------------------------------------------------------------------

touched_customer = Table(
    "touched_customer",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "at", Instant, nullable=False, server_default=func.now(), comment="When they were touched."
    ),
    Column(
        "due_at",
        Instant,
        nullable=False,
        server_default=func.now(),
        index=True,
        comment="From when it matters; later than `at` for a record that is dated ahead.",
    ),
    Column(
        "cause",
        Text,
        nullable=False,
        comment="ingest, clock, identity, list, loyalty or consent.",
    ),
    Column(
        "ids",
        ARRAY(BigInteger),
        nullable=False,
        comment="Of customers or of source profiles: whoever bears them then.",
    ),
    comment="The outbox: whom a transaction touched, one row each, until segments know of it.",
)

segment = Table(
    "segment",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, comment="Its name in files, filters and exports."),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("owner", Text, comment="Who made it; null for those that came with the database."),
    Column(
        "filter",
        JSON(none_as_null=True),
        comment="A CustomerFilter, in the order in which it was written; null: a static list.",
    ),
    Column(
        "is_personal",
        Boolean,
        nullable=False,
        server_default="false",
        comment="Whether the filter names personal data, which masked roles do not see.",
    ),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("archived_at", Instant, comment="Deleted then; its history stays."),
    Column("evaluated_at", Instant, comment="As a whole; null before the first time."),
    Column(
        "due_at",
        Instant,
        server_default=func.now(),
        comment="When it is to be evaluated as a whole; null where time alone changes nothing.",
    ),
    Column("due_cause", Text, nullable=False, server_default="segment created"),
    Column("error", Text, comment="Why it cannot be evaluated any more; null while it can."),
    Index(
        "uq_segment_slug",
        "slug",
        unique=True,
        postgresql_where=text("archived_at IS NULL"),
    ),
    comment="A named predicate over customers, or a named list of them.",
)

segment_list_entry = Table(
    "segment_list_entry",
    metadata,
    Column("segment_id", ForeignKey("segment.id"), nullable=False),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("added_at", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("segment_id", "source_profile_id"),
    comment="A static list names source profiles: whose they are, merged or split, is a member.",
)

segment_membership = Table(
    "segment_membership",
    metadata,
    Column("segment_id", Integer, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("exited_at", Instant, comment="Null while the customer is in it."),
    PrimaryKeyConstraint("customer_id", "segment_id", "entered_at"),
    Index(
        "uq_segment_membership_open",
        "segment_id",
        "customer_id",
        unique=True,
        postgresql_where=text("exited_at IS NULL"),
    ),
    comment="Who is, or once was, in which segment, from when to when.",
)

segment_change = Table(
    "segment_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="The feed's cursor."),
    Column("segment_id", Integer, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, comment="ENTERED, or EXITED."),
    Column("at", Instant, nullable=False),
    Column("cause", Text, nullable=False, comment="In words."),
    Column("other_id", BigInteger, comment="Whom they merged with or parted from; else null."),
    Index(None, "segment_id", "id"),
    comment="The feed: who entered and who left, in the order in which it was committed.",
)

# Recommendations ------------------------------------------------------------------------------

article = Table(
    "article",
    metadata,
    Column("code", Text, primary_key=True, comment="sku:SKU, else product:SOURCE:KEY."),
    Column("sku", Text),
    Column("title", Text),
    Column("category", Text),
    Column("price", Numeric),
    Column("currency", Text),
    Column("customers", Integer, nullable=False, comment="Who bought it."),
    comment="What is sold, across sources: the articles of the pairs, counted with them.",
)

article_pair = Table(
    "article_pair",
    metadata,
    Column("code", Text, nullable=False),
    Column("rank", Integer, nullable=False, comment="The best of its pairs is 1."),
    Column("other_code", Text, nullable=False),
    Column("customers", Integer, nullable=False, comment="Who bought both."),
    Column("lift", Double, nullable=False, comment="So many, per as many as by chance."),
    Column("score", Double, nullable=False, comment="The lift less one standard deviation."),
    Column("computed_at", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("code", "rank"),
    comment="Articles that the same customers buy; of each the best few. Counted as a whole.",
)

# Audiences ------------------------------------------------------------------------------------

audience = Table(
    "audience",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, comment="Of the segment."),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("held_out_percent", Double, nullable=False, comment="Of those who are new to it."),
    Column("created_at", Instant, nullable=False),
    Column("exported_at", Instant, nullable=False, comment="The last time."),
    UniqueConstraint("slug", "channel", "purpose"),
    comment="A segment that was written to on a channel for a purpose, once or again and again.",
)

audience_member = Table(
    "audience_member",
    metadata,
    Column("audience_id", ForeignKey("audience.id"), nullable=False),
    Column(
        "source_profile_id", BigInteger, nullable=False, comment="The customer's id at that time."
    ),
    Column("is_held_out", Boolean, nullable=False, comment="Not written to, to compare with."),
    Column("assigned_at", Instant, nullable=False, comment="The first time that it was exported."),
    PrimaryKeyConstraint("audience_id", "source_profile_id"),
    comment="Who was written to and who was held out; never changed.",
)

# Loyalty --------------------------------------------------------------------------------------

loyalty_programme = Table(
    "loyalty_programme",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False, comment="The file as it was applied, in TOML."),
    Column("currency", Text, nullable=False, comment="The workspace's when it was applied."),
    Column("timezone", Text, nullable=False, comment="Of its days: the workspace's then."),
    Column("starts_at", Instant, nullable=False, comment="It governs orders placed from then on."),
    Column("applied_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Every version of the programme; none: there is no programme.",
)

ACCOUNTS = (
    "issued", "carried", "redeemed", "adjusted", "settled", "held", "pending", "available",
    "expired", "owed", "forgiven",
)  # fmt: skip
"""The accounts of the points ledger; `cdp.loyalty.accounts` says what each holds."""


def _account_columns() -> tuple[Column[Any], ...]:
    return tuple(Column(name, BigInteger, nullable=False, server_default="0") for name in ACCOUNTS)


_SUM_TO_ZERO = f"{' + '.join(ACCOUNTS)} = 0"

points_transaction = Table(
    "points_transaction",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("cause", Text, nullable=False, comment="records, clock, or the name of an act."),
    Column("key", Text, unique=True, comment="Of an act, to do it once; null for the others."),
    Column("digest", LargeBinary, comment="Of what the act asked for; null for the others."),
    Column("recorded_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reward", Text, comment="The reward that was taken; null: none was named."),
    Column(
        "about_id",
        ForeignKey("points_transaction.id"),
        unique=True,
        comment="The hold that it closes, or the act that it takes back: each once.",
    ),
    Column("held_until", Instant, comment="When a hold lapses; null for the others."),
    comment="Entries that were posted together. Never changed, save texts that are erased.",
)

points_lot = Table(
    "points_lot",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("origin", Text, nullable=False, comment="order, entry, earn, adjust, or award."),
    Column("source_id", Integer, comment="Of the order or entry; null for the others."),
    Column("key", Text, nullable=False, comment="Of the order or entry, else of the act."),
    Column("is_earned", Boolean, nullable=False, comment="Counts among lifetime points."),
    Column("is_qualifying", Boolean, nullable=False, comment="Counts towards a tier."),
    Column("is_forgiving", Boolean, nullable=False, comment="What cannot be taken back is let go."),
    Column("earned_at", Instant, nullable=False),
    Column("available_at", Instant, nullable=False, comment="Pending until then."),
    Column("expires_at", Instant, comment="Null: never."),
    *_account_columns(),
    Index(
        "uq_points_lot_origin",
        "origin",
        "source_id",
        "key",
        "source_profile_id",
        "earned_at",
        "available_at",
        "expires_at",
        "is_forgiving",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    Index(None, "source_profile_id", "earned_at"),
    Index("ix_points_lot_owing", "source_profile_id", postgresql_where=text("owed < 0")),
    CheckConstraint(_SUM_TO_ZERO, name="balanced"),
    CheckConstraint(
        "least(carried, redeemed, held, pending, available, expired) >= 0"
        " AND greatest(issued, owed, forgiven) <= 0 AND adjusted >= 0",
        name="sides",
    ),
    comment="Points that came together and expire together. Its accounts sum its entries.",
)

points_entry = Table(
    "points_entry",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("transaction_id", ForeignKey("points_transaction.id"), nullable=False),
    Column("lot_id", ForeignKey("points_lot.id"), nullable=False),
    Column("source_profile_id", BigInteger, nullable=False, comment="The lot's."),
    Column("kind", Text, nullable=False, comment="One of the kinds of entry."),
    Column("occurred_at", Instant, nullable=False),
    Column("parts", JSONB, comment="Points by earn rule; null where no rule speaks."),
    *_account_columns(),
    Index(None, "source_profile_id", "occurred_at", "id"),
    Index(None, "lot_id"),
    Index(None, "transaction_id"),
    CheckConstraint(_SUM_TO_ZERO, name="balanced"),
    comment="What a transaction adds to each account of one lot: sums to zero, never changed.",
)

loyalty_award = Table(
    "loyalty_award",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False, comment="birthday:2026, challenge:NAME, referral:ID:SIDE"),
    Column("at", Instant, nullable=False),
    Column("badge", Text, comment="What is shown for it; null: nothing."),
    Column("points", BigInteger, nullable=False),
    UniqueConstraint("source_profile_id", "name"),
    comment="What was given beyond orders, each once per customer.",
)

loyalty_referral = Table(
    "loyalty_referral",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("referrer_profile_id", BigInteger, nullable=False, index=True),
    Column("referee_profile_id", BigInteger, nullable=False, unique=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    comment="Who brought whom; a person is brought once.",
)

loyalty_standing = Table(
    "loyalty_standing",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_profile_id", BigInteger, nullable=False, index=True),
    Column("is_suspended", Boolean, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Suspensions and their ends; of a profile the latest holds, of a customer any.",
)

tier_period = Table(
    "tier_period",
    metadata,
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("since_on", Date, primary_key=True),
    Column("until_on", Date, comment="The first day without it; null: it is held."),
    Column("tier", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    comment="Which tier a customer held when, by the programme in force; folded with the facts.",
)

# Scores ---------------------------------------------------------------------------------------


class ChurnRisk(Enum):
    """How likely a customer does not order within the horizon; from low to high."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class RfmGroup(Enum):
    """What a customer's recency and frequency make them; every pair of scores is in one group."""

    CHAMPIONS = "CHAMPIONS"
    LOYAL = "LOYAL"
    POTENTIAL_LOYALIST = "POTENTIAL_LOYALIST"
    NEW = "NEW"
    PROMISING = "PROMISING"
    NEED_ATTENTION = "NEED_ATTENTION"
    ABOUT_TO_SLEEP = "ABOUT_TO_SLEEP"
    CANNOT_LOSE = "CANNOT_LOSE"
    AT_RISK = "AT_RISK"
    HIBERNATING = "HIBERNATING"
    PROSPECT = "PROSPECT"


class ShopifyRfmGroup(Enum):
    """The same groups by the names of Shopify's `CustomerRfmGroup`, one for one."""

    CHAMPIONS = "CHAMPIONS"
    LOYAL = "LOYAL"
    ACTIVE = "ACTIVE"
    NEW = "NEW"
    PROMISING = "PROMISING"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    ALMOST_LOST = "ALMOST_LOST"
    PREVIOUSLY_LOYAL = "PREVIOUSLY_LOYAL"
    AT_RISK = "AT_RISK"
    DORMANT = "DORMANT"
    PROSPECTS = "PROSPECTS"


class ForecastGap(Enum):
    """Why a customer has no forecast."""

    NO_ORDER = "NO_ORDER"
    NOT_SCORED = "NOT_SCORED"
    TOO_FEW_CUSTOMERS = "TOO_FEW_CUSTOMERS"
    TOO_SHORT_HISTORY = "TOO_SHORT_HISTORY"
    TOO_FEW_PRICES = "TOO_FEW_PRICES"
    TOO_FEW_REGULARS = "TOO_FEW_REGULARS"


churn_risk = ENUM(ChurnRisk, name="churn_risk", metadata=metadata)
rfm_group = ENUM(RfmGroup, name="rfm_group", metadata=metadata)
shopify_rfm_group = ENUM(ShopifyRfmGroup, name="shopify_rfm_group", metadata=metadata)
forecast_gap = ENUM(ForecastGap, name="forecast_gap", metadata=metadata)

score_model = Table(
    "score_model",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("computed_at", Instant, nullable=False),
    Column("as_of", Instant, nullable=False, comment="What had not happened by then is left out."),
    Column("horizon_days", Integer, nullable=False),
    Column("discount_rate", Double, nullable=False, comment="Of a year; 0: not discounted."),
    Column("margin", Double, nullable=False, comment="Share of net spend that counts as value."),
    Column("currency", Text, nullable=False, comment="The workspace's then."),
    Column("kind", Text, comment="The model of order days; null: too little to fit one."),
    Column("verdict", Text, comment="TRUSTED, CAUTION or DO_NOT_USE; null without a model."),
    Column("estimate", JSONB(none_as_null=True), comment="What it takes to score anybody again."),
    Column("report", JSONB(none_as_null=True), comment="How it was chosen, and how it did."),
    Column("shortfalls", JSONB, nullable=False, comment="What is missing for a model."),
    Column("plans", JSONB, nullable=False, comment="How long subscriptions last, by plan."),
    Column("cut_points", JSONB(none_as_null=True), comment="Of RFM; null: nobody had ordered."),
    comment="Every version of the models of value, with its report; never changed.",
)

score_basis = Table(
    "score_basis",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", ForeignKey("score_model.version"), nullable=False),
    Column("kind", Text, comment="The model of order days; null: there is no forecast."),
    Column("gap", forecast_gap, comment="Why there is no forecast; null where there is one."),
    Column("pinned_at", Instant, comment="Scores stay as of then; null: they go on with time."),
    Column("recency_cuts", ARRAY(Integer), comment="Days; four, the longest first."),
    Column("frequency_cuts", ARRAY(Integer), comment="Orders; four, rising."),
    Column("monetary_cuts", ARRAY(Numeric), comment="Net spend; four, rising."),
    Column("gap_days", Double, comment="Nine in ten gaps between order days are shorter."),
    CheckConstraint("id = 1", name="only"),
    comment="What the scores in force rest on: one row, none before the first scoring.",
)

score = Table(
    "score",
    metadata,
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("computed_at", Instant, nullable=False),
    Column("predicted", Numeric, index=True, comment="Value of the net spend of the horizon."),
    Column("predicted_low", Numeric, comment="Ten in a hundred spend less."),
    Column("predicted_high", Numeric, comment="Ten in a hundred spend more."),
    Column("expected_orders", Double, comment="Order days within the horizon."),
    Column("alive", Double, comment="The probability that they have not left."),
    Column("no_order", Double, comment="The probability of no order within the horizon."),
    Column("next_order_on", Date, comment="By then an order is as likely as not."),
    Column("rank", Integer, comment="By predicted, 1 the highest; equal ones share it."),
    Column("plan_end", Double, comment="The probability that their subscriptions end."),
    comment="What the model in force says of each customer who ordered or subscribes.",
)

_BASIS_ID = 1
"""The only row of `score_basis`."""

scored_customer = (
    select(
        customer,
        *(column.label(f"score_{column.name}") for column in score.c if not column.primary_key),
        *(column.label(f"basis_{column.name}") for column in score_basis.c if column.name != "id"),
    )
    .select_from(
        customer.outerjoin(score_basis, score_basis.c.id == _BASIS_ID).outerjoin(
            score, score.c.customer_id == customer.c.id
        )
    )
    .subquery("scored_customer")
)
"""The row that traits read: the customer with what was scored, null where nothing was.

Whoever reads nothing of a score pays nothing: PostgreSQL leaves out a left join by a unique key of
which nothing is asked. (The basis, whose condition names no customer, has to be joined first: else
it would hold on to the score.)
"""
