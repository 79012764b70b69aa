"""Scores: versions of the models of value, what those in force rest on, and a row per customer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ENUMS = {
    "churn_risk": ("LOW", "MEDIUM", "HIGH"),
    "rfm_group": (
        "CHAMPIONS", "LOYAL", "POTENTIAL_LOYALIST", "NEW", "PROMISING", "NEED_ATTENTION",
        "ABOUT_TO_SLEEP", "CANNOT_LOSE", "AT_RISK", "HIBERNATING", "PROSPECT",
    ),
    "shopify_rfm_group": (
        "CHAMPIONS", "LOYAL", "ACTIVE", "NEW", "PROMISING", "NEEDS_ATTENTION", "ALMOST_LOST",
        "PREVIOUSLY_LOYAL", "AT_RISK", "DORMANT", "PROSPECTS",
    ),
    "forecast_gap": (
        "NO_ORDER", "NOT_SCORED", "TOO_FEW_CUSTOMERS", "TOO_SHORT_HISTORY", "TOO_FEW_PRICES",
        "TOO_FEW_REGULARS",
    ),
}  # fmt: skip


def upgrade() -> None:
    """Go up."""
    for name, values in _ENUMS.items():
        postgresql.ENUM(*values, name=name).create(op.get_bind())
    _create_models()
    _create_basis()
    _create_scores()


def _create_models() -> None:
    op.create_table(
        "score_model",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="What had not happened by then is left out.",
        ),
        sa.Column("horizon_days", sa.Integer(), nullable=False),
        sa.Column(
            "discount_rate", sa.Double(), nullable=False, comment="Of a year; 0: not discounted."
        ),
        sa.Column(
            "margin",
            sa.Double(),
            nullable=False,
            comment="Share of net spend that counts as value.",
        ),
        sa.Column("currency", sa.Text(), nullable=False, comment="The workspace's then."),
        sa.Column(
            "kind", sa.Text(), comment="The model of order days; null: too little to fit one."
        ),
        sa.Column(
            "verdict", sa.Text(), comment="TRUSTED, CAUTION or DO_NOT_USE; null without a model."
        ),
        sa.Column("estimate", postgresql.JSONB(), comment="What it takes to score anybody again."),
        sa.Column("report", postgresql.JSONB(), comment="How it was chosen, and how it did."),
        sa.Column(
            "shortfalls", postgresql.JSONB(), nullable=False, comment="What is missing for a model."
        ),
        sa.Column(
            "plans",
            postgresql.JSONB(),
            nullable=False,
            comment="How long subscriptions last, by plan.",
        ),
        sa.Column("cut_points", postgresql.JSONB(), comment="Of RFM; null: nobody had ordered."),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_score_model")),
        comment="Every version of the models of value, with its report; never changed.",
    )


def _create_basis() -> None:
    op.create_table(
        "score_basis",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "kind", sa.Text(), comment="The model of order days; null: there is no forecast."
        ),
        sa.Column(
            "gap",
            postgresql.ENUM(name="forecast_gap", create_type=False),
            comment="Why there is no forecast; null where there is one.",
        ),
        sa.Column(
            "pinned_at",
            sa.DateTime(timezone=True),
            comment="Scores stay as of then; null: they go on with time.",
        ),
        sa.Column(
            "recency_cuts", postgresql.ARRAY(sa.Integer()), comment="Days; four, the longest first."
        ),
        sa.Column(
            "frequency_cuts", postgresql.ARRAY(sa.Integer()), comment="Orders; four, rising."
        ),
        sa.Column(
            "monetary_cuts", postgresql.ARRAY(sa.Numeric()), comment="Net spend; four, rising."
        ),
        sa.Column(
            "gap_days", sa.Double(), comment="Nine in ten gaps between order days are shorter."
        ),
        sa.CheckConstraint("id = 1", name="only"),
        sa.ForeignKeyConstraint(
            ["version"], ["score_model.version"], name=op.f("fk_score_basis_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score_basis")),
        comment="What the scores in force rest on: one row, none before the first scoring.",
    )


def _create_scores() -> None:
    op.create_table(
        "score",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("predicted", sa.Numeric(), comment="Value of the net spend of the horizon."),
        sa.Column("predicted_low", sa.Numeric(), comment="Ten in a hundred spend less."),
        sa.Column("predicted_high", sa.Numeric(), comment="Ten in a hundred spend more."),
        sa.Column("expected_orders", sa.Double(), comment="Order days within the horizon."),
        sa.Column("alive", sa.Double(), comment="The probability that they have not left."),
        sa.Column(
            "no_order", sa.Double(), comment="The probability of no order within the horizon."
        ),
        sa.Column("next_order_on", sa.Date(), comment="By then an order is as likely as not."),
        sa.Column(
            "rank", sa.Integer(), comment="By predicted, 1 the highest; equal ones share it."
        ),
        sa.Column("plan_end", sa.Double(), comment="The probability that their subscriptions end."),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_score")),
        comment="What the model in force says of each customer who ordered or subscribes.",
    )
    op.create_index(op.f("ix_score_predicted"), "score", ["predicted"])
