"""Statements of consent know the contact point that they speak of, and are found by it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.create_index(
        "ix_message_refusal",
        "message",
        ["source_profile_id"],
        postgresql_where=sa.text("kind IN ('unsubscribed', 'complained')"),
    )
    _extend_consent()


def _extend_consent() -> None:
    op.add_column(
        "consent",
        sa.Column(
            "contact_point_kind",
            sa.Text(),
            nullable=True,
            comment="email or phone; null: it names no such point.",
        ),
    )
    op.add_column(
        "consent",
        sa.Column(
            "contact_point",
            sa.Text(),
            nullable=True,
            comment="What it names, normalised; null: its profile's.",
        ),
    )
    op.alter_column(
        "consent",
        "channel",
        existing_type=sa.Text(),
        existing_nullable=True,
        comment="In lower case, as the purpose.",
    )
    # As ingest stores them from now on. A number without its country code stays as it was said.
    op.execute("""
        UPDATE consent SET channel = lower(btrim(channel)), purpose = lower(btrim(purpose)),
                           updated_at = recorded_at + CASE WHEN status = 'granted'
                             THEN interval '0' ELSE interval '1 microsecond' END""")
    op.execute("""
        UPDATE consent SET contact_point_kind = kind, contact_point = value
        FROM (
          SELECT source_id, key, 'email' AS kind,
                 lower(btrim(normalize(email, NFKC))) AS value
          FROM consent
          WHERE channel NOT IN ('sms', 'mms', 'rcs', 'whatsapp', 'phone', 'call', 'voice')
          UNION ALL
          SELECT source_id, key, 'phone', regexp_replace(phone, '[\\s().-]', '', 'g')
          FROM consent
          WHERE channel <> 'email' AND (email IS NULL OR channel IN
                ('sms', 'mms', 'rcs', 'whatsapp', 'phone', 'call', 'voice'))
        ) said
        WHERE consent.source_id = said.source_id AND consent.key = said.key
          AND (kind = 'email' AND value ~ '^[^@[:space:]]+@[^@[:space:]]+$'
               OR kind = 'phone' AND value ~ '^\\+[1-9][0-9]{7,14}$')""")
    op.create_index(
        "ix_consent_contact_point",
        "consent",
        ["contact_point_kind", "contact_point"],
        postgresql_where=sa.text("contact_point IS NOT NULL"),
    )
