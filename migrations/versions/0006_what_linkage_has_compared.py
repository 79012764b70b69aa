"""Linkage remembers whom it has compared, so that it can go on with whoever is new."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "compared_profile",
        sa.Column("source_profile_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of what it said then."),
        sa.PrimaryKeyConstraint("source_profile_id", name=op.f("pk_compared_profile")),
        comment="Source profiles that linkage has compared; whoever says something else since is new.",
    )
