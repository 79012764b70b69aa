"""Contact points: the addresses and numbers at which channels reach people."""

from dataclasses import dataclass
from typing import Final

from cdp.errors import BadInput
from cdp.identity.normalise import normalise
from cdp.records import ConsentRecord
from cdp.rows import channel_of

KINDS: Final = ("email", "phone")
"""Kinds of identifier at which a person can be reached."""

CHANNEL_KINDS: Final = {
    "email": "email",
    **dict.fromkeys(("sms", "mms", "rcs", "whatsapp", "phone", "call", "voice"), "phone"),
}
"""What a channel reaches people at. Any other (push, post) knows them as their source does."""


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """An address or a number, in its normal form."""

    kind: str
    value: str


def read_contact_point(text: str, region: str) -> ContactPoint:
    """An email address or a phone number as anybody may spell it.

    `region` (ISO 3166) reads a number without a country code. Raises BadInput.
    """
    kind = "email" if "@" in text else "phone"
    value = normalise(kind, text, region)
    if value is None:
        raise BadInput(
            f"{text[:80]!r} is neither an email address nor a phone number.",
            todo="Write ann@example.com, or +44 7700 900123.",
            path="contactPoint",
        )
    return ContactPoint(kind, value)


def contact_point_of(record: ConsentRecord, region: str) -> ContactPoint | None:
    """What a statement of consent names as its contact point; None where it names none that fits.

    Of a channel that reaches people at addresses or numbers only those fit.
    """
    kind = CHANNEL_KINDS.get(channel_of(record.channel))
    for each in KINDS if kind is None else (kind,):
        said = getattr(record, each)
        value = normalise(each, said, region) if said else None
        if value is not None:
            return ContactPoint(each, value)
    return None
