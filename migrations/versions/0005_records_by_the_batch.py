"""What a batch writes costs less: identifiers are found by value first, moments are filled in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_LEARNED = (
    "record_version", "source_profile", "product", "sales_order", "order_line", "refund", "campaign",
    "message", "interaction", "ticket", "feedback", "loyalty_entry", "subscription", "consent",
    "exchange_rate",
)  # fmt: skip


def upgrade() -> None:
    """Go up."""
    for table in _LEARNED:
        op.alter_column(table, "learned_at", server_default=sa.func.now())
    for column in ("first_seen_at", "last_seen_at"):
        op.alter_column("identifier", column, server_default=sa.func.now())
    # Values differ at their first letters, kinds do not: half as much to compare on the way down.
    op.drop_constraint("pk_identifier", "identifier", type_="primary")
    op.create_primary_key("pk_identifier", "identifier", ["value", "kind", "source_profile_id"])
