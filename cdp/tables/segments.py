"""Segments, who is in them, and how that changed."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from cdp.tables.base import Instant, metadata

touched_customer = Table(
    "touched_customer",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "at", Instant, nullable=False, server_default=func.now(), comment="When they were touched."
    ),
    Column(
        "due_at",
        Instant,
        nullable=False,
        server_default=func.now(),
        index=True,
        comment="From when it matters; later than `at` for a record that is dated ahead.",
    ),
    Column(
        "cause",
        Text,
        nullable=False,
        comment="ingest, clock, identity, list, loyalty or consent.",
    ),
    Column(
        "ids",
        ARRAY(BigInteger),
        nullable=False,
        comment="Of customers or of source profiles: whoever bears them then.",
    ),
    comment="The outbox: whom a transaction touched, one row each, until segments know of it.",
)

segment = Table(
    "segment",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, comment="Its name in files, filters and exports."),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("owner", Text, comment="Who made it; null for those that came with the database."),
    Column(
        "filter",
        JSON(none_as_null=True),
        comment="A CustomerFilter, in the order in which it was written; null: a static list.",
    ),
    Column(
        "is_personal",
        Boolean,
        nullable=False,
        server_default="false",
        comment="Whether the filter names personal data, which masked roles do not see.",
    ),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("archived_at", Instant, comment="Deleted then; its history stays."),
    Column("evaluated_at", Instant, comment="As a whole; null before the first time."),
    Column(
        "due_at",
        Instant,
        server_default=func.now(),
        comment="When it is to be evaluated as a whole; null where time alone changes nothing.",
    ),
    Column("due_cause", Text, nullable=False, server_default="segment created"),
    Column("error", Text, comment="Why it cannot be evaluated any more; null while it can."),
    Index(
        "uq_segment_slug",
        "slug",
        unique=True,
        postgresql_where=text("archived_at IS NULL"),
    ),
    comment="A named predicate over customers, or a named list of them.",
)

segment_list_entry = Table(
    "segment_list_entry",
    metadata,
    Column("segment_id", ForeignKey("segment.id"), nullable=False),
    Column("source_profile_id", BigInteger, nullable=False),
    Column("added_at", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("segment_id", "source_profile_id"),
    comment="A static list names source profiles: whose they are, merged or split, is a member.",
)

segment_membership = Table(
    "segment_membership",
    metadata,
    Column("segment_id", Integer, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("exited_at", Instant, comment="Null while the customer is in it."),
    PrimaryKeyConstraint("customer_id", "segment_id", "entered_at"),
    Index(
        "uq_segment_membership_open",
        "segment_id",
        "customer_id",
        unique=True,
        postgresql_where=text("exited_at IS NULL"),
    ),
    comment="Who is, or once was, in which segment, from when to when.",
)

segment_change = Table(
    "segment_change",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False, comment="The feed's cursor."),
    Column("segment_id", Integer, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, comment="ENTERED, or EXITED."),
    Column("at", Instant, nullable=False),
    Column("cause", Text, nullable=False, comment="In words."),
    Column("other_id", BigInteger, comment="Whom they merged with or parted from; else null."),
    PrimaryKeyConstraint("segment_id", "id"),
    comment="The feed: who entered and who left, in the order in which it was committed.",
)
