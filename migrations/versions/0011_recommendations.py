"""Recommendations: articles across sources, and the pairs of them that the same customers buy."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_table(
        "article",
        sa.Column("code", sa.Text(), nullable=False, comment="sku:SKU, else product:SOURCE:KEY."),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("customers", sa.Integer(), nullable=False, comment="Who bought it."),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_article")),
        comment="What is sold, across sources: the articles of the pairs, counted with them.",
    )
    op.create_table(
        "article_pair",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False, comment="The best of its pairs is 1."),
        sa.Column("other_code", sa.Text(), nullable=False),
        sa.Column("customers", sa.Integer(), nullable=False, comment="Who bought both."),
        sa.Column(
            "lift", sa.Double(), nullable=False, comment="So many, per as many as by chance."
        ),
        sa.Column(
            "score", sa.Double(), nullable=False, comment="The lift less one standard deviation."
        ),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("code", "rank", name=op.f("pk_article_pair")),
        comment="Articles that the same customers buy; of each the best few. Counted as a whole.",
    )
