"""A dead letter may be closed by a person: who did, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.add_column(
        "dead_letter",
        sa.Column("dismissed_by", sa.Text, comment="Who closed it untaken; null where nobody did."),
    )
    op.add_column(
        "dead_letter", sa.Column("dismissed_reason", sa.Text, comment="Why, in their words.")
    )
    op.alter_column(
        "dead_letter",
        "resolved_at",
        comment="When it was taken or dismissed; null while it lies here.",
        existing_comment="When a retry took it; null while it lies here.",
    )
