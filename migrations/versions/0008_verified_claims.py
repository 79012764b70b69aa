"""Source profiles tell whether their source has verified the email address and the phone number."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    for name in ("email_verified", "phone_verified"):
        op.add_column(
            "source_profile",
            sa.Column(
                name,
                sa.Boolean(),
                nullable=True,
                comment="Shown to the source to be theirs; null: not said.",
            ),
        )
