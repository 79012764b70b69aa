"""The evidence of who is whom, what people decided, and the ledger of what came of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cdp.tables.base import Instant, metadata

identifier = Table(
    "identifier",
    metadata,
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False, comment="Normalised."),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("is_current", Boolean, nullable=False, comment="Said by the record's current version."),
    Column("first_seen_at", Instant, nullable=False, server_default=func.now()),
    Column("last_seen_at", Instant, nullable=False, server_default=func.now()),
    # Values differ at their first letters, kinds do not: half as much to compare on the way down.
    PrimaryKeyConstraint("value", "kind", "source_profile_id"),
    Index(None, "source_profile_id"),
    comment="Evidence: this source profile carries, or once carried, this identifier.",
)

blocked_value = Table(
    "blocked_value",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("blocked_at", Instant, nullable=False),
    comment="Identifiers that join nobody: shared by too many distinct persons.",
)

linkage_model = Table(
    "linkage_model",
    metadata,
    Column("version", Integer, Identity(), primary_key=True),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("document", JSONB, nullable=False, comment="Parameters, term frequencies, calibration."),
    comment="What batch linkage learned; a model is never changed, another version follows it.",
)

identity_rules = Table(
    "identity_rules",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", JSONB, nullable=False, comment="As `cdp identity rules` shows them."),
    Column("model_version", ForeignKey("linkage_model.version"), comment="Null: no linkage yet."),
    Column("applied_at", Instant, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Every version of the rules of identity; the latest is in force, else the defaults.",
)

identity_decision = Table(
    "identity_decision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="same, not_same, or split: two wholes apart."),
    Column("action", Text, nullable=False, comment="merge, split, undo, or review."),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("retracted_at", Instant, comment="Evidence until then; null while it holds."),
    Column("retracted_by", Text),
    comment="What a person decided about source profiles; of two that contradict the later holds.",
)

decision_member = Table(
    "decision_member",
    metadata,
    Column("decision_id", ForeignKey("identity_decision.id"), nullable=False),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("side", Text, nullable=False, comment="left, or right."),
    PrimaryKeyConstraint("decision_id", "source_profile_id"),
    Index(None, "source_profile_id"),
    comment="The source profiles that a decision speaks of.",
)

match_pair = Table(
    "match_pair",
    metadata,
    Column("left_id", BigInteger, nullable=False, comment="The smaller of two profile ids."),
    Column("right_id", BigInteger, nullable=False),
    Column("weight", Double, nullable=False, comment="Log2 of the odds that they are one."),
    Column("probability", Double, nullable=False, comment="Calibrated."),
    Column("parts", JSONB, nullable=False, comment="What each comparison added to the weight."),
    Column("model_version", ForeignKey("linkage_model.version"), nullable=False),
    Column("left_digest", LargeBinary, nullable=False, comment="Of the record that was compared."),
    Column("right_digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("left_id", "right_id"),
    Index(None, "right_id"),
    comment="Evidence: how alike two source profiles are. It lapses when either record changes.",
)

compared_profile = Table(
    "compared_profile",
    metadata,
    Column("source_profile_id", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, comment="Of what it said then."),
    comment="Source profiles that linkage has compared; whoever says something else since is new.",
)

resolution_due = Table(
    "resolution_due",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "profile_ids",
        ARRAY(BigInteger),
        comment="Null: everybody, of whom it is to be found out yet who changes.",
    ),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="For the ledger."),
    Column("noted_at", Instant, nullable=False, server_default=func.now()),
    comment="Source profiles to be resolved anew, a step a row; a row goes with what it asked for.",
)

match_review = Table(
    "match_review",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="Of the identifier, or `similarity`."),
    Column("value", Text, nullable=False, comment="The identifier, or the two profiles compared."),
    Column("left_id", BigInteger, nullable=False, comment="The smallest id of the left side."),
    Column("right_id", BigInteger, nullable=False),
    Column("left_ids", ARRAY(BigInteger), nullable=False),
    Column("right_ids", ARRAY(BigInteger), nullable=False),
    Column("pair_left_id", BigInteger, comment="The scored pair that ties the sides best, if any."),
    Column("pair_right_id", BigInteger),
    Column("reason", Text, nullable=False),
    Column("priority", Double, nullable=False, comment="1: nobody knows. 0: hardly a question."),
    Column("opened_at", Instant, nullable=False),
    UniqueConstraint("kind", "value", "left_id", "right_id"),
    Index("ix_match_review_queue", text("priority DESC"), "id"),
    Index(None, "left_id"),
    Index(None, "right_id"),
    comment="Evidence that joined not all whom it ties: two sides, for a person to decide.",
)

merge_event = Table(
    "merge_event",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", Text, nullable=False, comment="merged, or split."),
    Column("customer_id", BigInteger, nullable=False, index=True, comment="Who they are now."),
    Column("from_customer_id", BigInteger, nullable=False, index=True, comment="Who they were."),
    Column("profile_ids", ARRAY(BigInteger), nullable=False, comment="Who moved."),
    Column(
        "other_ids",
        ARRAY(BigInteger),
        nullable=False,
        server_default="{}",
        comment="Whom they joined, or left.",
    ),
    Column("evidence", JSONB, nullable=False, comment="What joined them."),
    Column("rule_version", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decision_id", ForeignKey("identity_decision.id"), comment="Null: by the rules alone."),
    Column("undoes_event_id", ForeignKey("merge_event.id"), comment="Null: it undoes none."),
    Index(
        "ix_merge_event_undoes_event_id",
        "undoes_event_id",
        postgresql_where=text("undoes_event_id IS NOT NULL"),
    ),
    comment="The ledger: every change of the map from source profile to customer.",
)
