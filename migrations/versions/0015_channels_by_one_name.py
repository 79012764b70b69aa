"""Channels of consent go by one name: what was stored as e-mail is email."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SPELLINGS = {
    "email": ("e-mail", "e_mail", "e mail", "emails", "e-mails"),
    "sms": ("text", "txt", "text message", "text_message", "texts"),
    "phone": ("telephone", "call", "calls", "phone call", "phone_call"),
    "whatsapp": ("whats app",),
    "push": ("push notification", "push_notification", "push notifications", "push_notifications"),
    "post": ("postal", "postal mail", "postal_mail", "direct mail", "direct_mail"),
}


def upgrade() -> None:
    """Go up."""
    consent = sa.table("consent", sa.column("channel", sa.Text))
    for name, spellings in _SPELLINGS.items():
        op.execute(consent.update().where(consent.c.channel.in_(spellings)).values(channel=name))
