"""A loyalty programme: its versions, the ledger of points, tiers, and the customers' columns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    _create_ledger()
    _make_append_only()
    _create_programme()
    _add_columns()


def _create_ledger() -> None:
    """Transactions, lots, entries."""
    op.create_table(
        "points_transaction",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "cause", sa.Text(), nullable=False, comment="records, clock, or the name of an act."
        ),
        sa.Column(
            "key",
            sa.Text(),
            nullable=True,
            comment="Of an act, to do it once; null for the others.",
        ),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=True,
            comment="Of what the act asked for; null for the others.",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "reward",
            sa.Text(),
            nullable=True,
            comment="The reward that was taken; null: none was named.",
        ),
        sa.Column(
            "about_id",
            sa.BigInteger(),
            nullable=True,
            comment="The hold that it closes, or the act that it takes back: each once.",
        ),
        sa.Column(
            "held_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a hold lapses; null for the others.",
        ),
        sa.ForeignKeyConstraint(
            ["about_id"], ["points_transaction.id"], name=op.f("fk_points_transaction_about_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_transaction")),
        sa.UniqueConstraint("about_id", name=op.f("uq_points_transaction_about_id")),
        sa.UniqueConstraint("key", name=op.f("uq_points_transaction_key")),
        comment="Entries that were posted together. Never changed, save texts that are erased.",
    )
    op.create_table(
        "points_lot",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "origin", sa.Text(), nullable=False, comment="order, entry, earn, adjust, or award."
        ),
        sa.Column(
            "source_id",
            sa.Integer(),
            nullable=True,
            comment="Of the order or entry; null for the others.",
        ),
        sa.Column(
            "key", sa.Text(), nullable=False, comment="Of the order or entry, else of the act."
        ),
        sa.Column(
            "is_earned", sa.Boolean(), nullable=False, comment="Counts among lifetime points."
        ),
        sa.Column("is_qualifying", sa.Boolean(), nullable=False, comment="Counts towards a tier."),
        sa.Column(
            "is_forgiving",
            sa.Boolean(),
            nullable=False,
            comment="What cannot be taken back is let go.",
        ),
        sa.Column("earned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Pending until then.",
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="Null: never."),
        sa.Column("issued", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("carried", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("redeemed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("adjusted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("owed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("forgiven", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "issued + carried + redeemed + adjusted + settled + held + pending + available + expired + owed + forgiven = 0",
            name="balanced",
        ),
        sa.CheckConstraint(
            "least(carried, redeemed, held, pending, available, expired) >= 0 AND greatest(issued, owed, forgiven) <= 0 AND adjusted >= 0",
            name="sides",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_lot")),
        comment="Points that came together and expire together. Its accounts sum its entries.",
    )
    op.create_table(
        "points_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False, comment="The lot's."),
        sa.Column("kind", sa.Text(), nullable=False, comment="One of the kinds of entry."),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "parts",
            postgresql.JSONB(),
            nullable=True,
            comment="Points by earn rule; null where no rule speaks.",
        ),
        sa.Column("issued", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("carried", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("redeemed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("adjusted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("owed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("forgiven", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "issued + carried + redeemed + adjusted + settled + held + pending + available + expired + owed + forgiven = 0",
            name="balanced",
        ),
        sa.ForeignKeyConstraint(["lot_id"], ["points_lot.id"], name=op.f("fk_points_entry_lot_id")),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["points_transaction.id"],
            name=op.f("fk_points_entry_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_entry")),
        comment="What a transaction adds to each account of one lot: sums to zero, never changed.",
    )
    op.create_index(
        "ix_points_lot_owing",
        "points_lot",
        ["source_profile_id"],
        unique=False,
        postgresql_where=sa.text("owed < 0"),
    )
    op.create_index(
        op.f("ix_points_lot_source_profile_id_earned_at"),
        "points_lot",
        ["source_profile_id", "earned_at"],
        unique=False,
    )
    op.create_index(
        "uq_points_lot_origin",
        "points_lot",
        [
            "origin",
            "source_id",
            "key",
            "source_profile_id",
            "earned_at",
            "available_at",
            "expires_at",
            "is_forgiving",
        ],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(op.f("ix_points_entry_lot_id"), "points_entry", ["lot_id"], unique=False)
    op.create_index(
        op.f("ix_points_entry_source_profile_id_occurred_at_id"),
        "points_entry",
        ["source_profile_id", "occurred_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_points_entry_transaction_id"), "points_entry", ["transaction_id"], unique=False
    )


def _make_append_only() -> None:
    """Entries are never changed; of a transaction only its texts are, when a person is erased."""
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION '% is append-only: post a correcting transaction', TG_TABLE_NAME;
        END $$""")
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON points_entry
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")
    op.execute("""
        CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF
          id, cause, key, digest, recorded_at, reward, about_id, held_until
        ON points_transaction FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")


def _create_programme() -> None:
    """Its versions, and what people say of members."""
    op.create_table(
        "loyalty_award",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="birthday:2026, challenge:NAME, referral:ID:SIDE",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "badge", sa.Text(), nullable=True, comment="What is shown for it; null: nothing."
        ),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loyalty_award")),
        sa.UniqueConstraint(
            "source_profile_id", "name", name=op.f("uq_loyalty_award_source_profile_id_name")
        ),
        comment="What was given beyond orders, each once per customer.",
    )
    op.create_table(
        "loyalty_programme",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "text", sa.Text(), nullable=False, comment="The file as it was applied, in TOML."
        ),
        sa.Column(
            "currency", sa.Text(), nullable=False, comment="The workspace's when it was applied."
        ),
        sa.Column(
            "timezone", sa.Text(), nullable=False, comment="Of its days: the workspace's then."
        ),
        sa.Column(
            "starts_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="It governs orders placed from then on.",
        ),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_loyalty_programme")),
        comment="Every version of the programme; none: there is no programme.",
    )
    op.create_table(
        "loyalty_referral",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("referrer_profile_id", sa.BigInteger(), nullable=False),
        sa.Column("referee_profile_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loyalty_referral")),
        sa.UniqueConstraint(
            "referee_profile_id", name=op.f("uq_loyalty_referral_referee_profile_id")
        ),
        comment="Who brought whom; a person is brought once.",
    )
    op.create_index(
        op.f("ix_loyalty_referral_referrer_profile_id"),
        "loyalty_referral",
        ["referrer_profile_id"],
        unique=False,
    )
    op.create_table(
        "loyalty_standing",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column("is_suspended", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loyalty_standing")),
        comment="Suspensions and their ends; of a profile the latest holds, of a customer any.",
    )
    op.create_index(
        op.f("ix_loyalty_standing_source_profile_id"),
        "loyalty_standing",
        ["source_profile_id"],
        unique=False,
    )
    op.create_table(
        "tier_period",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since_on", sa.Date(), nullable=False),
        sa.Column(
            "until_on",
            sa.Date(),
            nullable=True,
            comment="The first day without it; null: it is held.",
        ),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "since_on", name=op.f("pk_tier_period")),
        comment="Which tier a customer held when, by the programme in force; folded with the facts.",
    )
    op.create_index(
        "ix_loyalty_entry_order",
        "loyalty_entry",
        ["source_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )


def _add_columns() -> None:
    """What the programme makes of a customer."""
    postgresql.ENUM("NONE", "MEMBER", "PAID_MEMBER", "SUSPENDED", name="loyalty_status").create(
        op.get_bind()
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_status",
            postgresql.ENUM(
                "NONE",
                "MEMBER",
                "PAID_MEMBER",
                "SUSPENDED",
                name="loyalty_status",
                create_type=False,
            ),
            server_default="NONE",
            nullable=False,
            comment="How the customer belongs to the programme.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column("loyalty_tier", sa.Text(), nullable=True, comment="As the programme names it."),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_tier_rank",
            sa.Integer(),
            nullable=True,
            comment="Its place among the tiers, the lowest 0.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_tier_since",
            sa.Date(),
            nullable=True,
            comment="Held without a break since this day.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_tier_until",
            sa.Date(),
            nullable=True,
            comment="The first day without it, if nothing is added.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_next_tier",
            sa.Text(),
            nullable=True,
            comment="The tier above; null for the highest.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_points_to_next_tier",
            sa.Numeric(),
            nullable=True,
            comment="Points, or money, still missing.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_points",
            sa.BigInteger(),
            nullable=True,
            comment="Available, less what is owed.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_pending_points",
            sa.BigInteger(),
            nullable=True,
            comment="Within the return window.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_lifetime_points",
            sa.BigInteger(),
            nullable=True,
            comment="Ever earned, less what was taken back.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_points_expiring",
            sa.BigInteger(),
            nullable=True,
            comment="On the next day when points expire.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_points_expire_on",
            sa.Date(),
            nullable=True,
            comment="The last day on which those can be used.",
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "loyalty_next_change_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When time alone will change these columns.",
        ),
    )
    op.create_index(
        "ix_customer_loyalty_due",
        "customer",
        ["loyalty_next_change_at"],
        unique=False,
        postgresql_where=sa.text("loyalty_next_change_at IS NOT NULL"),
    )
