"""What a customer consents to: how each channel and purpose stands, and what was said of it."""

from typing import Final

import strawberry
from sqlalchemy import select

from cdp import tables
from cdp.consent import Asked, ConsentStatus, consents, statements
from schema.declare import Declared
from schema.edges import Arguments, Branch, Leaf, Many, One, Row, column, planned, row_of
from schema.scalars import DateTime
from schema.traits import enum
from schema.types.identity import SourceProfile
from schema.types.records import source_name, upper

Status: Declared = enum(ConsentStatus)


def _profile(row: Row) -> Branch:
    profile = tables.source_profile.alias()
    query = select().select_from(profile).where(profile.c.id == row.table.c.profile_id)
    return Branch("SourceProfile", row_of(profile, row.scene), query)


@strawberry.type(
    description="One thing that was said of a channel and a purpose: a record of consent, or a"
    " message by which somebody unsubscribed or complained."
)
class ConsentStatement:
    """A row of `cdp.consent.statements`."""

    status: Status = planned(upper("status"), "What was said.")
    at: DateTime = column("at", "When it was said.")
    contact_point: str | None = column(
        "point",
        "The address or number that it was said of; null: of the person as the source knows them."
        " Personal: null for a role that is masked.",
    )
    source: str = planned(
        Leaf(source_name), "The source that tells it; `platform` where it was recorded here."
    )
    profile: SourceProfile | None = planned(
        One(_profile), "Whose statement it is; null while its source has not told the person yet."
    )
    event: str | None = column(
        "event", "`unsubscribed` or `complained`, of a message; null of a record of consent."
    )
    evidence: str | None = column(
        "evidence", "How it is known, as the source tells it. Personal: null for a masked role."
    )
    holds: bool = column(
        "holds", "Whether it is the latest of its contact point; an earlier one counts no more."
    )
    is_own: bool = column(
        "is_own",
        "Whether one of the customer's source profiles said it. If not, it is somebody else's"
        " denial, of a contact point that this customer bears too.",
    )


def _statements(consent: Row, _: Arguments) -> Branch:
    this = consent.table.c
    asked = Asked(consent.scene.as_of, this.customer_id, this.channel, this.purpose)
    said = statements(asked).subquery()
    query = (
        select()
        .select_from(said)
        .order_by(said.c.at.desc(), said.c.source_id, said.c.key, said.c.point_kind, said.c.point)
    )
    return Branch("ConsentStatement", Row(said, "consent_statement", consent.scene), query)


@strawberry.type(
    description="How a customer stands to one use of one channel. Per contact point the latest"
    " statement holds; across the contact points one denial is enough. A denial outlives the"
    " deletion of whoever made it, and holds for everybody who bears the contact point."
)
class Consent:
    """A row of `cdp.consent.consents`."""

    channel: str = column("channel", "In lower case, such as `email`, `sms` or `push`.")
    purpose: str = column(
        "purpose",
        "In lower case, such as `marketing`. A message by which somebody unsubscribed or complained"
        " withdraws `marketing` on its channel.",
    )
    status: Status = planned(
        upper("status"), "What holds. Write to the customer where it is GRANTED, and nowhere else."
    )
    since: DateTime = column("at", "When the statement that decides was made.")
    contact_point: str | None = column(
        "point",
        "The address or number of which it was said: where it is GRANTED, the one to write to."
        " Null: the person as the source knows them. Personal: null for a role that is masked.",
    )
    source: str = planned(Leaf(source_name), "The source that tells the statement that decides.")
    evidence: str | None = column(
        "evidence", "How it is known, as the source tells it. Personal: null for a masked role."
    )
    statements: list[ConsentStatement] = planned(
        Many(_statements), "Everything said that counts, latest first; at most 250."
    )


def _consents(customer: Row, _: Arguments) -> Branch:
    asked = Asked(customer.scene.as_of, customer.table.c.id)
    found = consents(asked).subquery()
    query = select().select_from(found).order_by(found.c.channel, found.c.purpose)
    return Branch("Consent", Row(found, "customer_consent", customer.scene), query)


CONSENTS: Final = Many(_consents)
