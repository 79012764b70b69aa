"""Whether a source tells that messages are delivered, kept with it; what counts by it is due."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.add_column(
        "source",
        sa.Column(
            "tells_delivery",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="Whether it has ever told that a message was delivered; never taken back.",
        ),
    )
    op.execute(
        "UPDATE source SET tells_delivery = true WHERE EXISTS"
        " (SELECT FROM message WHERE source_id = source.id AND kind = 'delivered')"
    )
    op.execute(
        "UPDATE customer SET activity_change_at = now() WHERE id IN"
        " (SELECT profile.customer_id FROM source JOIN message ON message.source_id = source.id"
        " JOIN source_profile profile ON profile.id = message.source_profile_id"
        " WHERE source.tells_delivery)"
    )
