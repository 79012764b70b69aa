"""Orders of some days are found by their amount as well, before any page is looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.drop_index("ix_sales_order_placed_at", "sales_order")
    op.create_index(
        "ix_sales_order_placed_at",
        "sales_order",
        ["placed_at", "total"],
        postgresql_include=["source_profile_id", "status", "channel"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
