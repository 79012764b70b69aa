"""What is still to be resolved anew is written down, so that whoever goes on finds it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "resolution_due",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "profile_ids",
            sa.ARRAY(sa.BigInteger()),
            nullable=True,
            comment="Null: everybody, of whom it is to be found out yet who changes.",
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="For the ledger."),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resolution_due")),
        comment="Source profiles to be resolved anew, a step a row;"
        " a row goes with what it asked for.",
    )
