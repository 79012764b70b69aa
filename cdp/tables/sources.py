"""The workspace, its sources, and the work on them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from cdp.tables.base import Instant, metadata

workspace = Table(
    "workspace",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="Settings of the whole workspace; a key that is absent has its default.",
)

source = Table(
    "source",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("connector", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("removed_at", Instant, comment="Removed from syncs then; its records stay."),
    Column(
        "tells_delivery",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="Whether it has ever told that a message was delivered; never taken back.",
    ),
    comment="A system outside, and the connector that reads it.",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("cursor", JSONB, comment="Where to resume; null before the first page."),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    comment="Where each stream resumes. A runner takes a new epoch; an older one is fenced off.",
)

sync_run = Table(
    "sync_run",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("started_at", Instant, nullable=False, server_default=func.now()),
    Column("finished_at", Instant, comment="Null while it runs, or where it was killed."),
    Column("status", Text, nullable=False, server_default="running"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    Column("error", Text),
    Index(None, "source_id", "started_at"),
    comment="One run of a source: running, ok, partial or failed, with its counts.",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("stream", Text, nullable=False),
    Column("key", Text, comment="Null where the record did not even tell its key."),
    Column("place", Text, nullable=False, comment="File and line, or page, where it stood."),
    Column("reason", Text, nullable=False),
    Column("path", Text, nullable=False, comment="The column at fault; empty where none is."),
    Column("payload", JSON, nullable=False, comment="As it came."),
    Column("digest", LargeBinary, nullable=False, comment="Of the payload."),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("first_seen_at", Instant, nullable=False, server_default=func.now()),
    Column("last_seen_at", Instant, nullable=False, server_default=func.now()),
    Column(
        "resolved_at", Instant, comment="When it was taken or dismissed; null while it lies here."
    ),
    Column("dismissed_by", Text, comment="Who closed it untaken; null where nobody did."),
    Column("dismissed_reason", Text, comment="Why, in their words."),
    UniqueConstraint("source_id", "stream", "digest", "place"),
    comment="Records that could not be taken, each with its reason.",
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key."),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("revoked_at", Instant),
    comment="Keys of the API; the key itself is printed once and never stored.",
)
