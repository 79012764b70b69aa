"""`recordConsent`: what a customer allows or refuses, as somebody has heard it from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import strawberry
from sqlalchemy import BigInteger, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.consent import Asked, ConsentStatus, consents
from cdp.consent_writing import Statement, record_consent
from cdp.contact_points import read_contact_point
from cdp.errors import BadInput
from cdp.operands import read_instant
from cdp.rows import channel_of, purpose_of
from cdp.values import CustomerId, ProfileId
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Branch, One, Row, Value, planned
from schema.ids import row_id
from schema.mutations.decision import Columns, customer_of
from schema.scalars import DateTime
from schema.types.consent import Consent, Status
from schema.types.customer import Customer
from schema.types.payload import USER_ERRORS, UserError

_COLUMNS: Final[Columns] = {"customer_id": BigInteger(), "channel": Text(), "purpose": Text()}


@strawberry.input(description="What a customer has said of a channel and a purpose.")
class RecordConsentInput:
    """What `record_consent` takes."""

    customer_id: strawberry.ID = strawberry.field(description="Who has said it.")
    channel: str = strawberry.field(description="Such as `email` or `sms`, in any case.")
    purpose: str = strawberry.field(description="Such as `marketing`, in any case.")
    status: Status = strawberry.field(description="What they have said.")
    contact_point: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The address or number that it is said of; null: whatever the source profile"
        " bears for the channel. Only one of the customer's own can be granted; any can be denied.",
    )
    recorded_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="When they said it; now, unless told. Not ahead."
    )
    evidence: str | None = strawberry.field(
        default=strawberry.UNSET, description="How it is known, such as the number of a call."
    )
    source_profile_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The source profile that it goes on; the earliest that bears the contact point"
        " unless told. It stays with that one when customers are merged or split.",
    )
    key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Your own name for this statement, in up to 200 characters, such as the number"
        " of a form: said again with the same key it is the same statement, whenever that is.",
    )


def _consent(payload: Row) -> Branch:
    this = payload.table.c
    asked = Asked(payload.scene.as_of, this.customer_id, this.channel, this.purpose)
    found = consents(asked).subquery()
    query = select().select_from(found)
    return Branch("Consent", Row(found, "customer_consent", payload.scene), query)


@strawberry.type(
    description="What was recorded. The same statement again, of the same `recordedAt` or under the"
    " same `key`, changes nothing; a key that belongs to another one is refused as `KEY_REUSED`."
)
class RecordConsentPayload:
    """The payload."""

    consent: Consent | None = planned(
        One(_consent),
        "How the customer stands after it. It need not be what was said: a later statement, or a"
        " denial of another contact point, goes before. Null where nothing was done.",
    )
    customer: Customer | None = planned(
        One(customer_of), "The customer after it; null where nothing was done."
    )
    errors: list[UserError] = USER_ERRORS


async def _record(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    customer_id = CustomerId(row_id(given["customerId"], "Customer", "customerId"))
    point, profile = given.get("contactPoint"), given.get("sourceProfileId")
    recorded = await record_consent(
        connection,
        customer_id,
        Statement(
            channel=given["channel"],
            purpose=given["purpose"],
            status=ConsentStatus(given["status"]),
            actor=caller.viewer.name,
            at=_moment(given.get("recordedAt"), caller),
            is_dated=given.get("recordedAt") is not None,
            key=given.get("key"),
            contact_point=read_contact_point(point, caller.workspace.region) if point else None,
            evidence=given.get("evidence"),
            profile_id=ProfileId(row_id(profile, "SourceProfile", "sourceProfileId"))
            if profile
            else None,
        ),
    )
    owner = select(tables.source_profile.c.customer_id).where(
        tables.source_profile.c.id == recorded.profile_id
    )
    survivor = await connection.scalar(owner)
    channel, purpose = channel_of(given["channel"]), purpose_of(given["purpose"])
    return Outcome({"customer_id": survivor, "channel": channel, "purpose": purpose})


def _moment(given: str | None, caller: Caller) -> datetime:
    if given is None:
        return caller.as_of
    moment = read_instant(given, "recordedAt", caller.workspace)
    if moment > caller.as_of:
        raise BadInput("recordedAt is ahead of now.", path="recordedAt")
    return moment


RECORD_CONSENT: Final = deed(
    Deed(_record, _COLUMNS),
    RecordConsentInput,
    "Record what a customer allows or refuses. A denial holds for everybody who bears the contact"
    " point, and no merge, split or delete ever turns it into silence.",
)
