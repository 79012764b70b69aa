"""The customer: what is folded of all that their profiles did."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ENUM, JSONB, TSVECTOR
from sqlalchemy.types import TypeEngine

from cdp.tables.base import Instant, metadata


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


def _sums(type_: type[TypeEngine[Any]], comments: Mapping[str, str]) -> Iterator[Column[Any]]:
    """Columns of what is counted or added up: 0 where there is nothing."""
    for name, comment in comments.items():
        yield Column(name, type_, nullable=False, server_default="0", comment=comment)


FACT_COLUMNS: tuple[Column[Any], ...] = (
    *_sums(
        Integer,
        {
            "order_count": "Qualifying orders.",
            "priced_order_count": "Of them, those with a rate.",
            "order_day_count": "Days with a qualifying order.",
            "unpriced_count": "Orders and refunds without a rate.",
        },
    ),
    Column("first_order_on", Date, comment="The day of the first qualifying order."),
    Column("last_order_on", Date, comment="The day of the last qualifying order."),
    Column("first_order_at", Instant, comment="Of qualifying orders."),
    Column("last_order_at", Instant, comment="Of qualifying orders."),
    Column(
        "net_spend",
        Numeric,
        Computed("gross_spend - refunded", persisted=True),
        nullable=False,
        comment="Gross spend less refunds.",
    ),
    *_sums(
        Numeric,
        {
            "gross_spend": "Totals of orders that stand.",
            "refunded": "Refunds of those orders.",
            "qualifying_spend": "Net, of qualifying orders.",
        },
    ),
    Column("favourite_category", Text, comment="With the most spend on its lines."),
    Column("favourite_channel", Text, comment="With the most qualifying orders."),
)
"""The facts, one column each; `cdp.facts` says how each is folded.

PostgreSQL finds a column of a row by walking those before it. So they stand where walking is
quickest: of fixed width and never null, of fixed width, numerics, texts.
"""

ACTIVITY_COLUMNS: tuple[Column[Any], ...] = (
    *_sums(
        Integer,
        {
            "messages_sent": "Messages of which any event is known.",
            "messages_delivered": "Of them, those that arrived, as far as their source tells.",
            "messages_opened": "Of them, those opened at least once.",
            "messages_clicked": "Of them, those in which something was clicked.",
            "social_interactions": "Interactions on a social network.",
            "ticket_count": "Cases in the support queue.",
            "open_tickets": "Of them, those not settled yet.",
            "review_count": "Reviews given.",
            "active_subscriptions": "Subscriptions that go on.",
        },
    ),
    Column("last_engaged_at", Instant, comment="Of opening, clicking, replying, interacting."),
    Column("median_first_response_hours", Numeric, comment="From opening to the first answer."),
    Column("median_resolution_hours", Numeric, comment="From opening to resolution."),
    Column("nps", Numeric, comment="The latest answer to the NPS question, 0 to 10."),
    Column("csat", Numeric, comment="Mean satisfaction, on a scale up to 5."),
    Column("ces", Numeric, comment="Mean effort score, on a scale up to 7."),
    Column("average_rating", Numeric, comment="Mean of reviews, on a scale up to 5."),
    *_sums(Numeric, {"monthly_value": "What subscriptions that are paid for bring a month."}),
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
    # What is compared in everybody's row comes first, what is read of a page of customers last.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("profile_count", Integer, nullable=False, comment="Of source profiles."),
    Column("created_at", Instant, nullable=False, comment="When any source first knew them."),
    Column("updated_at", Instant, nullable=False, comment="When this row was last folded."),
    *FACT_COLUMNS,
    *ACTIVITY_COLUMNS,
    *LOYALTY_COLUMNS,
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
    Column("search", TSVECTOR, nullable=False),
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
