"""The loyalty programme and its double-entry ledger."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cdp.tables.base import Instant, metadata

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
