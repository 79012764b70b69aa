"""Orders of nobody are found by an index; costs of campaigns can be stated; points are due."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_index(
        "ix_sales_order_of_nobody",
        "sales_order",
        ["placed_at"],
        postgresql_where=sa.text("source_profile_id IS NULL AND deleted_at IS NULL"),
    )
    op.create_table(
        "campaign_cost",
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="The campaign's, in its source."),
        sa.Column("amount", sa.Numeric, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column(
            "stated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.Column("stated_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source_id", "key"),
        comment="What a campaign cost, as a person states it: where its source tells no cost.",
    )
    # Points that were taken back, points that expire beyond what can be spent, and days by UTC:
    # the clock folds who has them.
    op.execute(
        "UPDATE customer SET loyalty_next_change_at = now() WHERE"
        " loyalty_points_expiring > greatest(loyalty_points, 0)"
        " OR loyalty_points_expire_on IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM loyalty_programme)"
        " OR id IN (SELECT p.customer_id FROM loyalty_entry e"
        " JOIN source_profile p ON p.id = e.source_profile_id"
        " WHERE e.kind = 'earn' AND e.points < 0)"
    )
