"""Audiences, and who of them was held out."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from cdp.tables.base import Instant, metadata

audience = Table(
    "audience",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, comment="Of the segment."),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("held_out_percent", Double, nullable=False, comment="Of those who are new to it."),
    Column("created_at", Instant, nullable=False),
    Column("exported_at", Instant, nullable=False, comment="The last time."),
    UniqueConstraint("slug", "channel", "purpose"),
    comment="A segment that was written to on a channel for a purpose, once or again and again.",
)

audience_member = Table(
    "audience_member",
    metadata,
    Column("audience_id", ForeignKey("audience.id"), nullable=False),
    Column(
        "source_profile_id", BigInteger, nullable=False, comment="The customer's id at that time."
    ),
    Column("is_held_out", Boolean, nullable=False, comment="Not written to, to compare with."),
    Column("assigned_at", Instant, nullable=False, comment="The first time that it was exported."),
    PrimaryKeyConstraint("audience_id", "source_profile_id"),
    comment="Who was written to and who was held out; never changed.",
)
