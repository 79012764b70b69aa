"""What models say of a customer, and what they rest on."""

from enum import Enum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Integer,
    Numeric,
    Table,
    Text,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSONB

from cdp.tables.base import Instant, metadata
from cdp.tables.customers import customer


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
        score_model.c.horizon_days.label("basis_horizon_days"),
    )
    .select_from(
        customer.outerjoin(score_basis, score_basis.c.id == _BASIS_ID)
        .outerjoin(score_model, score_model.c.version == score_basis.c.version)
        .outerjoin(score, score.c.customer_id == customer.c.id)
    )
    .subquery("scored_customer")
)
"""The row that traits read: the customer with what was scored, null where nothing was.

Whoever reads nothing of a score pays nothing: PostgreSQL leaves out a left join by a unique key of
which nothing is asked. (The basis, whose condition names no customer, has to be joined first: else
it would hold on to the score.)
"""
