"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    postgresql.ENUM(
        "PROSPECT",
        "NEW",
        "ACTIVE",
        "LOYAL",
        "AT_RISK",
        "LAPSED",
        "LOST",
        name="lifecycle_stage",
    ).create(op.get_bind())
    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the key."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
        comment="Keys of the API; the key itself is printed once and never stored.",
    )
    op.create_table(
        "blocked_value",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_blocked_value")),
        comment="Identifiers that join nobody: shared by too many distinct persons.",
    )
    op.create_table(
        "customer",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("street", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("postal_code", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("profile_count", sa.Integer(), nullable=False, comment="Of source profiles."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When any source first knew them.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this row was last folded.",
        ),
        sa.Column("search", postgresql.TSVECTOR(), nullable=False),
        sa.Column(
            "order_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Qualifying orders.",
        ),
        sa.Column(
            "priced_order_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Of them, those with a rate.",
        ),
        sa.Column(
            "order_day_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Days with a qualifying order.",
        ),
        sa.Column(
            "gross_spend",
            sa.Numeric(),
            server_default="0",
            nullable=False,
            comment="Totals of orders that stand.",
        ),
        sa.Column(
            "refunded",
            sa.Numeric(),
            server_default="0",
            nullable=False,
            comment="Refunds of those orders.",
        ),
        sa.Column(
            "net_spend",
            sa.Numeric(),
            sa.Computed("gross_spend - refunded", persisted=True),
            nullable=False,
            comment="Gross spend less refunds.",
        ),
        sa.Column(
            "qualifying_spend",
            sa.Numeric(),
            server_default="0",
            nullable=False,
            comment="Net, of qualifying orders.",
        ),
        sa.Column(
            "unpriced_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Orders and refunds without a rate.",
        ),
        sa.Column(
            "first_order_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Of qualifying orders.",
        ),
        sa.Column(
            "last_order_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Of qualifying orders.",
        ),
        sa.Column(
            "first_order_on",
            sa.Date(),
            nullable=True,
            comment="The day of the first qualifying order.",
        ),
        sa.Column(
            "last_order_on",
            sa.Date(),
            nullable=True,
            comment="The day of the last qualifying order.",
        ),
        sa.Column(
            "favourite_category",
            sa.Text(),
            nullable=True,
            comment="With the most spend on its lines.",
        ),
        sa.Column(
            "favourite_channel",
            sa.Text(),
            nullable=True,
            comment="With the most qualifying orders.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        comment="The unified person: attributes by survivorship, and the facts, in one wide row.",
    )
    op.create_index(
        op.f("ix_customer_created_at_id"), "customer", ["created_at", "id"], unique=False
    )
    op.create_index(
        "ix_customer_last_order_at_falling",
        "customer",
        [sa.literal_column("(last_order_at IS NOT NULL)"), "last_order_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_customer_last_order_at_rising",
        "customer",
        [sa.literal_column("(last_order_at IS NULL)"), "last_order_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_customer_net_spend_id"), "customer", ["net_spend", "id"], unique=False)
    op.create_index(
        op.f("ix_customer_order_count_id"), "customer", ["order_count", "id"], unique=False
    )
    op.create_index(
        "ix_customer_search", "customer", ["search"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "identifier",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False, comment="Normalised."),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "is_current",
            sa.Boolean(),
            nullable=False,
            comment="Said by the record's current version.",
        ),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "source_profile_id", name=op.f("pk_identifier")),
        comment="Evidence: this source profile carries, or once carried, this identifier.",
    )
    op.create_index(
        op.f("ix_identifier_source_profile_id"), "identifier", ["source_profile_id"], unique=False
    )
    op.create_table(
        "match_review",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("profile_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_match_review")),
        comment="Shared identifiers that joined not all who share them: for a person to look at.",
    )
    op.create_index(
        op.f("ix_match_review_profile_ids"),
        "match_review",
        ["profile_ids"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "merge_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="merged, or split."),
        sa.Column("customer_id", sa.BigInteger(), nullable=False, comment="Who they are now."),
        sa.Column("from_customer_id", sa.BigInteger(), nullable=False, comment="Who they were."),
        sa.Column(
            "profile_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="Who moved."
        ),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The shared identifiers that did it.",
        ),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_event")),
        comment="The ledger: every change of the map from source profile to customer.",
    )
    op.create_index(
        op.f("ix_merge_event_customer_id"), "merge_event", ["customer_id"], unique=False
    )
    op.create_index(
        op.f("ix_merge_event_from_customer_id"), "merge_event", ["from_customer_id"], unique=False
    )
    op.create_table(
        "purchase_day",
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column("on", sa.Date(), nullable=False, comment="In the workspace's time zone."),
        sa.Column("order_count", sa.Integer(), nullable=False, comment="Qualifying orders."),
        sa.Column(
            "priced_order_count",
            sa.Integer(),
            nullable=False,
            comment="Of them, those with a rate.",
        ),
        sa.Column("gross_spend", sa.Numeric(), nullable=False),
        sa.Column("refunded", sa.Numeric(), nullable=False),
        sa.Column(
            "qualifying_spend", sa.Numeric(), nullable=False, comment="Net, of qualifying orders."
        ),
        sa.Column(
            "unpriced_count",
            sa.Integer(),
            nullable=False,
            comment="Orders and refunds without a rate.",
        ),
        sa.Column("first_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "categories",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Category to spend on its lines.",
        ),
        sa.Column(
            "channels",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Channel to qualifying orders.",
        ),
        sa.Column(
            "next_change_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When time alone will change this row.",
        ),
        sa.PrimaryKeyConstraint("source_profile_id", "on", name=op.f("pk_purchase_day")),
        comment="One row per source profile and day with orders; money in the workspace's currency.",
    )
    op.create_index(
        "ix_purchase_day_due",
        "purchase_day",
        ["next_change_at"],
        unique=False,
        postgresql_where=sa.text("next_change_at IS NOT NULL"),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Removed from syncs then; its records stay.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
        comment="A system outside, and the connector that reads it.",
    )
    op.create_table(
        "workspace",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_workspace")),
        comment="Settings of the whole workspace; a key that is absent has its default.",
    )
    op.create_table(
        "campaign",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_campaign_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_campaign")),
        comment="Something that was sent to many.",
    )
    op.create_table(
        "checkpoint",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column(
            "cursor",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Where to resume; null before the first page.",
        ),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_checkpoint_source_id")),
        sa.PrimaryKeyConstraint("source_id", "stream", name=op.f("pk_checkpoint")),
        comment="Where each stream resumes. A runner takes a new epoch; an older one is fenced off.",
    )
    op.create_table(
        "consent",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_consent_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_consent")),
        comment="A permission given or taken back.",
    )
    op.create_index(
        op.f("ix_consent_source_profile_id_recorded_at"),
        "consent",
        ["source_profile_id", "recorded_at"],
        unique=False,
    )
    op.create_index(
        "ix_consent_waiting",
        "consent",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=True,
            comment="Null where the record did not even tell its key.",
        ),
        sa.Column(
            "place", sa.Text(), nullable=False, comment="File and line, or page, where it stood."
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "path", sa.Text(), nullable=False, comment="The column at fault; empty where none is."
        ),
        sa.Column(
            "payload", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="As it came."
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the payload."),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "resolved_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a retry took it; null while it lies here.",
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_dead_letter_source_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint(
            "source_id",
            "stream",
            "digest",
            "place",
            name=op.f("uq_dead_letter_source_id_stream_digest_place"),
        ),
        comment="Records that could not be taken, each with its reason.",
    )
    op.create_table(
        "exchange_rate",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("on", sa.Date(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("base", sa.Text(), nullable=True),
        sa.Column("rate", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_exchange_rate_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_exchange_rate")),
        comment="On a day, one unit of currency is rate units of base.",
    )
    op.create_index(
        op.f("ix_exchange_rate_currency_base_on"),
        "exchange_rate",
        ["currency", "base", "on"],
        unique=False,
    )
    op.create_table(
        "feedback",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("score", sa.Numeric(), nullable=True),
        sa.Column("scale", sa.Numeric(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_feedback_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_feedback")),
        comment="A score that a person gave.",
    )
    op.create_index(
        op.f("ix_feedback_source_profile_id_given_at"),
        "feedback",
        ["source_profile_id", "given_at"],
        unique=False,
    )
    op.create_index(
        "ix_feedback_waiting",
        "feedback",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "interaction",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_interaction_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_interaction")),
        comment="Something that a person did.",
    )
    op.create_index(
        op.f("ix_interaction_source_profile_id_occurred_at"),
        "interaction",
        ["source_profile_id", "occurred_at"],
        unique=False,
    )
    op.create_index(
        "ix_interaction_waiting",
        "interaction",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "loyalty_entry",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("loyalty_card", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_loyalty_entry_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_loyalty_entry")),
        comment="A movement of points in a source's own programme.",
    )
    op.create_index(
        op.f("ix_loyalty_entry_source_profile_id_occurred_at"),
        "loyalty_entry",
        ["source_profile_id", "occurred_at"],
        unique=False,
    )
    op.create_index(
        "ix_loyalty_entry_waiting",
        "loyalty_entry",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "message",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_message_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_message")),
        comment="One event of one message to a person.",
    )
    op.create_index(
        op.f("ix_message_source_profile_id_occurred_at"),
        "message",
        ["source_profile_id", "occurred_at"],
        unique=False,
    )
    op.create_index(
        "ix_message_waiting",
        "message",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "order_line",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("order_key", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Numeric(), nullable=True),
        sa.Column("unit_price", sa.Numeric(), nullable=True),
        sa.Column("discount", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_order_line_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_order_line")),
        comment="A line of an order; its order is (source_id, order_key).",
    )
    op.create_index(
        op.f("ix_order_line_source_id_order_key"),
        "order_line",
        ["source_id", "order_key"],
        unique=False,
    )
    op.create_table(
        "product",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_product_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_product")),
        comment="Something that is sold.",
    )
    op.create_table(
        "record_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("vendor_version", sa.BigInteger(), nullable=True),
        sa.Column("learned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_record_version_source_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_version")),
        comment="Every version of a record that is not the current one: superseded, or come too late.",
    )
    op.create_index(
        op.f("ix_record_version_source_id_stream_key"),
        "record_version",
        ["source_id", "stream", "key"],
        unique=False,
    )
    op.create_table(
        "refund",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("order_key", sa.Text(), nullable=True),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_refund_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_refund")),
        comment="Money given back on an order.",
    )
    op.create_index(
        op.f("ix_refund_source_id_order_key"), "refund", ["source_id", "order_key"], unique=False
    )
    op.create_table(
        "sales_order",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("discount", sa.Numeric(), nullable=True),
        sa.Column("tax", sa.Numeric(), nullable=True),
        sa.Column("shipping", sa.Numeric(), nullable=True),
        sa.Column(
            "status",
            sa.Text(),
            nullable=True,
            comment="One of the order statuses; null reads as completed.",
        ),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_sales_order_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_sales_order")),
        comment="A purchase, in its own currency.",
    )
    op.create_index(
        op.f("ix_sales_order_source_profile_id_placed_at"),
        "sales_order",
        ["source_profile_id", "placed_at"],
        unique=False,
    )
    op.create_index(
        "ix_sales_order_waiting",
        "sales_order",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "source_profile",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False, comment="customers, or contact."),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True, comment="E.164."),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("street", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("postal_code", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("loyalty_card", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source first knew the person, if it tells.",
        ),
        sa.Column("first_stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "given_key",
            sa.Text(),
            nullable=False,
            comment="First names, normalised for comparison.",
        ),
        sa.Column(
            "family_key", sa.Text(), nullable=False, comment="Last name, normalised for comparison."
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_source_profile_source_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_profile")),
        sa.UniqueConstraint(
            "source_id", "stream", "key", name=op.f("uq_source_profile_source_id_stream_key")
        ),
        comment="A person as one source tells it. Its id is the customer id that it reserves.",
    )
    op.create_index(
        op.f("ix_source_profile_customer_id"), "source_profile", ["customer_id"], unique=False
    )
    op.create_table(
        "subscription",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("interval", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renews_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_subscription_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_subscription")),
        comment="A contract that renews.",
    )
    op.create_index(
        op.f("ix_subscription_source_profile_id_started_at"),
        "subscription",
        ["source_profile_id", "started_at"],
        unique=False,
    )
    op.create_index(
        "ix_subscription_waiting",
        "subscription",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
    op.create_table(
        "sync_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Null while it runs, or where it was killed.",
        ),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_sync_run_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_run")),
        comment="One run of a source: running, ok, partial or failed, with its counts.",
    )
    op.create_index(
        op.f("ix_sync_run_source_id_started_at"),
        "sync_run",
        ["source_id", "started_at"],
        unique=False,
    )
    op.create_table(
        "ticket",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the mapped record."),
        sa.Column(
            "payload",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="As the source said it.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="What the source said beyond our columns.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source changed it, if it tells.",
        ),
        sa.Column(
            "vendor_version",
            sa.BigInteger(),
            nullable=True,
            comment="The source's own counter, if it has one.",
        ),
        sa.Column(
            "learned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When this version reached us.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the source deleted it; null while it lives.",
        ),
        sa.Column(
            "customer_id",
            sa.Text(),
            nullable=True,
            comment="The key of its customer in the source; null: none.",
        ),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose it is; null while its customer is not seen yet or nobody is named.",
        ),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_response_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_ticket_source_id")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_ticket")),
        comment="A case in the support queue.",
    )
    op.create_index(
        op.f("ix_ticket_source_profile_id_opened_at"),
        "ticket",
        ["source_profile_id", "opened_at"],
        unique=False,
    )
    op.create_index(
        "ix_ticket_waiting",
        "ticket",
        ["source_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("source_profile_id IS NULL AND customer_id IS NOT NULL"),
    )
