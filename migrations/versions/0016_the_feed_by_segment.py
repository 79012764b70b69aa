"""The feed is kept by segment and number: one index, for every row of it, in place of two."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.drop_constraint(op.f("pk_segment_change"), "segment_change", type_="primary")
    op.create_primary_key(op.f("pk_segment_change"), "segment_change", ["segment_id", "id"])
    op.drop_index(op.f("ix_segment_change_segment_id_id"), table_name="segment_change")
