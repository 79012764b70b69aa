"""Facts of what customers do beside buying; filled by folding every customer anew."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = {
    "messages_sent": "Messages of which any event is known.",
    "messages_delivered": "Of them, those that arrived, as far as their source tells.",
    "messages_opened": "Of them, those opened at least once.",
    "messages_clicked": "Of them, those in which something was clicked.",
    "social_interactions": "Interactions on a social network.",
    "ticket_count": "Cases in the support queue.",
    "open_tickets": "Of them, those not settled yet.",
    "review_count": "Reviews given.",
    "active_subscriptions": "Subscriptions that go on.",
}
_MEASURES = {
    "median_first_response_hours": "From opening to the first answer.",
    "median_resolution_hours": "From opening to resolution.",
    "nps": "The latest answer to the NPS question, 0 to 10.",
    "csat": "Mean satisfaction, on a scale up to 5.",
    "ces": "Mean effort score, on a scale up to 7.",
    "average_rating": "Mean of reviews, on a scale up to 5.",
}
_MOMENTS = {
    "last_engaged_at": "Of opening, clicking, replying, interacting.",
    "subscribed_at": "When the first subscription began.",
    "renews_at": "The next renewal of a subscription that goes on.",
    "cancelled_at": "The latest cancellation of a subscription.",
    "activity_change_at": "When time alone will change one of these.",
}


def upgrade() -> None:
    """Go up."""
    for name, values in {
        "engagement_level": ("NONE", "LOW", "MEDIUM", "HIGH"),
        "nps_category": ("DETRACTOR", "PASSIVE", "PROMOTER"),
    }.items():
        postgresql.ENUM(*values, name=name).create(op.get_bind())
    for name, comment in _COUNTS.items():
        op.add_column(
            "customer",
            sa.Column(name, sa.Integer(), server_default="0", nullable=False, comment=comment),
        )
    for name, comment in _MEASURES.items():
        op.add_column("customer", sa.Column(name, sa.Numeric(), nullable=True, comment=comment))
    for name, comment in _MOMENTS.items():
        moment = sa.DateTime(timezone=True)
        op.add_column("customer", sa.Column(name, moment, nullable=True, comment=comment))
    op.add_column(
        "customer",
        sa.Column(
            "monthly_value",
            sa.Numeric(),
            server_default="0",
            nullable=False,
            comment="What subscriptions that are paid for bring a month.",
        ),
    )
    # Whoever has any such record is due at once: the next refresh by the clock folds them.
    op.execute("""
        UPDATE customer SET activity_change_at = now() WHERE id IN (
          SELECT p.customer_id FROM source_profile p JOIN (
            SELECT source_profile_id FROM message UNION SELECT source_profile_id FROM interaction
            UNION SELECT source_profile_id FROM ticket UNION SELECT source_profile_id FROM feedback
            UNION SELECT source_profile_id FROM subscription
          ) r ON r.source_profile_id = p.id)""")
    op.create_index(
        "ix_customer_activity_due",
        "customer",
        ["activity_change_at"],
        postgresql_where=sa.text("activity_change_at IS NOT NULL"),
    )
