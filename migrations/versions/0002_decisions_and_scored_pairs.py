"""Decisions of people and scored pairs become evidence; reviews have two sides."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    _create_evidence()
    _create_reviews()
    op.add_column(
        "source_profile",
        sa.Column(
            "compared_digest",
            sa.LargeBinary(),
            server_default="",
            nullable=False,
            comment="Of what linkage compares; a scored pair lapses when it changes.",
        ),
    )
    op.add_column(
        "merge_event",
        sa.Column(
            "other_ids",
            postgresql.ARRAY(sa.BigInteger()),
            server_default="{}",
            nullable=False,
            comment="Whom they joined, or left.",
        ),
    )
    op.add_column(
        "merge_event",
        sa.Column(
            "decision_id", sa.BigInteger(), nullable=True, comment="Null: by the rules alone."
        ),
    )
    op.add_column(
        "merge_event",
        sa.Column(
            "undoes_event_id", sa.BigInteger(), nullable=True, comment="Null: it undoes none."
        ),
    )
    op.create_index(
        "ix_merge_event_undoes_event_id",
        "merge_event",
        ["undoes_event_id"],
        postgresql_where=sa.text("undoes_event_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_merge_event_decision_id"),
        "merge_event",
        "identity_decision",
        ["decision_id"],
        ["id"],
    )
    op.create_foreign_key(
        op.f("fk_merge_event_undoes_event_id"),
        "merge_event",
        "merge_event",
        ["undoes_event_id"],
        ["id"],
    )
    op.alter_column(
        "merge_event",
        "evidence",
        existing_type=postgresql.JSONB(),
        existing_nullable=False,
        comment="What joined them.",
        existing_comment="The shared identifiers that did it.",
    )


def _create_evidence() -> None:
    op.create_table(
        "linkage_model",
        sa.Column("version", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "document",
            postgresql.JSONB(),
            nullable=False,
            comment="Parameters, term frequencies, calibration.",
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_linkage_model")),
        comment="What batch linkage learned; a model is never changed, another version follows it.",
    )
    op.create_table(
        "identity_rules",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "document",
            postgresql.JSONB(),
            nullable=False,
            comment="As `cdp identity rules` shows them.",
        ),
        sa.Column("model_version", sa.Integer(), nullable=True, comment="Null: no linkage yet."),
        sa.Column(
            "applied_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["linkage_model.version"],
            name=op.f("fk_identity_rules_model_version"),
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_identity_rules")),
        comment="Every version of the rules of identity; the latest is in force, else the defaults.",
    )
    op.create_table(
        "identity_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="same, not_same, or split: two wholes apart."
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="merge, split, undo, or review."),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "retracted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Evidence until then; null while it holds.",
        ),
        sa.Column("retracted_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_decision")),
        comment="What a person decided about source profiles; of two that contradict the later holds.",
    )
    op.create_table(
        "decision_member",
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("source_profile_id", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False, comment="left, or right."),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["identity_decision.id"], name=op.f("fk_decision_member_decision_id")
        ),
        sa.PrimaryKeyConstraint(
            "decision_id", "source_profile_id", name=op.f("pk_decision_member")
        ),
        comment="The source profiles that a decision speaks of.",
    )
    op.create_index(
        op.f("ix_decision_member_source_profile_id"), "decision_member", ["source_profile_id"]
    )
    op.create_table(
        "match_pair",
        sa.Column(
            "left_id", sa.BigInteger(), nullable=False, comment="The smaller of two profile ids."
        ),
        sa.Column("right_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "weight", sa.Double(), nullable=False, comment="Log2 of the odds that they are one."
        ),
        sa.Column("probability", sa.Double(), nullable=False, comment="Calibrated."),
        sa.Column(
            "parts",
            postgresql.JSONB(),
            nullable=False,
            comment="What each comparison added to the weight.",
        ),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column(
            "left_digest",
            sa.LargeBinary(),
            nullable=False,
            comment="Of the record that was compared.",
        ),
        sa.Column("right_digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version"], ["linkage_model.version"], name=op.f("fk_match_pair_model_version")
        ),
        sa.PrimaryKeyConstraint("left_id", "right_id", name=op.f("pk_match_pair")),
        comment="Evidence: how alike two source profiles are. It lapses when either record changes.",
    )
    op.create_index(op.f("ix_match_pair_right_id"), "match_pair", ["right_id"])


def _create_reviews() -> None:
    """The former reviews had one set of profiles: its first customer becomes the left side."""
    op.rename_table("match_review", "former_review")
    op.execute("ALTER INDEX pk_match_review RENAME TO pk_former_review")
    op.drop_index("ix_match_review_profile_ids", table_name="former_review")
    op.create_table(
        "match_review",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="Of the identifier, or `similarity`."),
        sa.Column(
            "value",
            sa.Text(),
            nullable=False,
            comment="The identifier, or the two profiles compared.",
        ),
        sa.Column(
            "left_id", sa.BigInteger(), nullable=False, comment="The smallest id of the left side."
        ),
        sa.Column("right_id", sa.BigInteger(), nullable=False),
        sa.Column("left_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("right_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column(
            "pair_left_id",
            sa.BigInteger(),
            nullable=True,
            comment="The scored pair that ties the sides best, if any.",
        ),
        sa.Column("pair_right_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "priority",
            sa.Double(),
            nullable=False,
            comment="1: nobody knows. 0: hardly a question.",
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_review")),
        sa.UniqueConstraint(
            "kind",
            "value",
            "left_id",
            "right_id",
            name=op.f("uq_match_review_kind_value_left_id_right_id"),
        ),
        comment="Evidence that joined not all whom it ties: two sides, for a person to decide.",
    )
    op.create_index("ix_match_review_queue", "match_review", [sa.text("priority DESC"), "id"])
    op.create_index(op.f("ix_match_review_left_id"), "match_review", ["left_id"])
    op.create_index(op.f("ix_match_review_right_id"), "match_review", ["right_id"])
    op.execute("""
        INSERT INTO match_review (kind, value, left_id, right_id, left_ids, right_ids, reason,
                                  priority, opened_at)
        SELECT kind, value, left_ids[1], right_ids[1], left_ids, right_ids, reason, 0.5, opened_at
        FROM (
          SELECT r.kind, r.value, r.reason, r.opened_at,
                 array_agg(p.id ORDER BY p.id) FILTER (WHERE p.customer_id = f.first) AS left_ids,
                 array_agg(p.id ORDER BY p.id) FILTER (WHERE p.customer_id <> f.first) AS right_ids
          FROM former_review r
          JOIN LATERAL (
            SELECT min(customer_id) AS first FROM source_profile WHERE id = ANY (r.profile_ids)
          ) f ON true
          JOIN source_profile p ON p.id = ANY (r.profile_ids)
          GROUP BY r.kind, r.value, r.reason, r.opened_at
        ) sides
        WHERE left_ids IS NOT NULL AND right_ids IS NOT NULL""")
    op.drop_table("former_review")
