"""Audiences: what was written to whom, and who was held out to compare with."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "audience",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False, comment="Of the segment."),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "held_out_percent",
            sa.Double(),
            nullable=False,
            comment="Of those who are new to it.",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "exported_at", sa.DateTime(timezone=True), nullable=False, comment="The last time."
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audience")),
        sa.UniqueConstraint(
            "slug", "channel", "purpose", name=op.f("uq_audience_slug_channel_purpose")
        ),
        comment="A segment that was written to on a channel for a purpose, once or again and again.",
    )
    op.create_table(
        "audience_member",
        sa.Column("audience_id", sa.Integer(), nullable=False),
        sa.Column(
            "source_profile_id",
            sa.BigInteger(),
            nullable=False,
            comment="The customer's id at that time.",
        ),
        sa.Column(
            "is_held_out",
            sa.Boolean(),
            nullable=False,
            comment="Not written to, to compare with.",
        ),
        sa.Column(
            "assigned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The first time that it was exported.",
        ),
        sa.ForeignKeyConstraint(
            ["audience_id"], ["audience.id"], name=op.f("fk_audience_member_audience_id")
        ),
        sa.PrimaryKeyConstraint(
            "audience_id", "source_profile_id", name=op.f("pk_audience_member")
        ),
        comment="Who was written to and who was held out; never changed.",
    )
