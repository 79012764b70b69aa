"""Segments: the outbox of touched customers, predicates and lists, memberships, and the feed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    _create_outbox()
    _create_segments()
    _create_memberships()
    _create_indexes()
    _write_starters()


def _create_outbox() -> None:
    op.create_table(
        "touched_customer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When they were touched.",
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="From when it matters; later than `at` for a record that is dated ahead.",
        ),
        sa.Column(
            "cause",
            sa.Text(),
            nullable=False,
            comment="ingest, clock, identity, list, loyalty or consent.",
        ),
        sa.Column(
            "ids",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="Of customers or of source profiles: whoever bears them then.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touched_customer")),
        comment="The outbox: whom a transaction touched, one row each, until segments know of it.",
    )
    op.create_index(op.f("ix_touched_customer_due_at"), "touched_customer", ["due_at"])


def _create_segments() -> None:
    op.create_table(
        "segment",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "slug", sa.Text(), nullable=False, comment="Its name in files, filters and exports."
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "owner",
            sa.Text(),
            nullable=True,
            comment="Who made it; null for those that came with the database.",
        ),
        sa.Column(
            "filter",
            postgresql.JSON(none_as_null=True),
            nullable=True,
            comment="A CustomerFilter, in the order in which it was written; null: a static list.",
        ),
        sa.Column(
            "is_personal",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="Whether the filter names personal data, which masked roles do not see.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "archived_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Deleted then; its history stays.",
        ),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="As a whole; null before the first time.",
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
            comment="When it is to be evaluated as a whole; null where time alone changes nothing.",
        ),
        sa.Column("due_cause", sa.Text(), server_default="segment created", nullable=False),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Why it cannot be evaluated any more; null while it can.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        comment="A named predicate over customers, or a named list of them.",
    )
    op.create_index(
        "uq_segment_slug",
        "segment",
        ["slug"],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "segment_list_entry",
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "added_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segment.id"], name=op.f("fk_segment_list_entry_segment_id")
        ),
        sa.PrimaryKeyConstraint(
            "segment_id", "source_profile_id", name=op.f("pk_segment_list_entry")
        ),
        comment="A static list names source profiles: whose they are, merged or split, is a"
        " member.",
    )


def _create_memberships() -> None:
    op.create_table(
        "segment_membership",
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "exited_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Null while the customer is in it.",
        ),
        sa.PrimaryKeyConstraint(
            "customer_id", "segment_id", "entered_at", name=op.f("pk_segment_membership")
        ),
        comment="Who is, or once was, in which segment, from when to when.",
    )
    op.create_index(
        "uq_segment_membership_open",
        "segment_membership",
        ["segment_id", "customer_id"],
        unique=True,
        postgresql_where=sa.text("exited_at IS NULL"),
    )
    op.create_table(
        "segment_change",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="The feed's cursor.",
        ),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="ENTERED, or EXITED."),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False, comment="In words."),
        sa.Column(
            "other_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whom they merged with or parted from; else null.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_change")),
        comment="The feed: who entered and who left, in the order in which it was committed.",
    )
    op.create_index(op.f("ix_segment_change_segment_id_id"), "segment_change", ["segment_id", "id"])


def _create_indexes() -> None:
    op.create_index(
        "ix_sales_order_placed_at",
        "sales_order",
        ["placed_at"],
        postgresql_include=["source_profile_id", "total", "status", "channel"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_source_profile_customer_id_id"), "source_profile", ["customer_id", "id"]
    )
    op.drop_index(op.f("ix_source_profile_customer_id"), "source_profile")


_IS_REACHABLE = {"or": [{"identifier": {"kind": "email"}}, {"identifier": {"kind": "phone"}}]}

_STARTERS: tuple[tuple[str, str, str, dict[str, object]], ...] = (
    (
        "champions",
        "Champions",
        "Buy often, buy now, and have spent 500 or more: thank them, ask them for a review.",
        {"lifecycle": {"stage": {"eq": "LOYAL"}}, "purchases": {"netSpend": {"gte": "500"}}},
    ),
    (
        "loyal",
        "Loyal customers",
        "Four orders or more, and still in their rhythm of buying.",
        {"lifecycle": {"stage": {"eq": "LOYAL"}}},
    ),
    (
        "big-spenders",
        "Big spenders",
        "Have spent 1,000 or more, net of refunds, whenever that was.",
        {"purchases": {"netSpend": {"gte": "1000"}}},
    ),
    (
        "one-time-buyers",
        "One-time buyers",
        "Bought once and not again: a second order is the hardest to win.",
        {"purchases": {"orderCount": {"eq": 1}}},
    ),
    (
        "new-this-month",
        "New this month",
        "Placed their first order in the last 30 days: welcome them.",
        {"purchases": {"firstOrderAt": {"withinLast": "P30D"}}},
    ),
    (
        "slipping-away",
        "Slipping away",
        "Bought twice or more, and have been silent for longer than is usual for them.",
        {"lifecycle": {"stage": {"eq": "AT_RISK"}}, "purchases": {"orderCount": {"gte": 2}}},
    ),
    (
        "lapsed",
        "Lapsed",
        "Silent for so long that only a good reason will bring them back.",
        {"lifecycle": {"stage": {"eq": "LAPSED"}}},
    ),
    (
        "lost",
        "Lost",
        "Silent for more than four times their rhythm: spend nothing on them.",
        {"lifecycle": {"stage": {"eq": "LOST"}}},
    ),
    (
        "prospects",
        "Prospects",
        "Never bought, and can be reached by email or phone.",
        {"lifecycle": {"stage": {"eq": "PROSPECT"}}, "and": [_IS_REACHABLE]},
    ),
    (
        "readers-not-buyers",
        "Readers who do not buy",
        "Opened or clicked a message in the last 60 days, and bought nothing for 180 or ever.",
        {
            "messages": {
                "some": {
                    "kind": {"in": ["opened", "clicked"]},
                    "occurredAt": {"withinLast": "P60D"},
                }
            },
            "not": {"purchases": {"lastOrderAt": {"withinLast": "P180D"}}},
        },
    ),
)
"""Slug, name, description and filter. Written once: one that a person deletes stays deleted."""


def _write_starters() -> None:
    table = sa.table(
        "segment",
        sa.column("slug", sa.Text()),
        sa.column("name", sa.Text()),
        sa.column("description", sa.Text()),
        sa.column("filter", postgresql.JSON()),
    )
    op.bulk_insert(
        table,
        [
            {"slug": slug, "name": name, "description": description, "filter": filter_}
            for slug, name, description, filter_ in _STARTERS
        ],
    )
