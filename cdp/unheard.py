"""Statements of consent that reach nobody: they are refused aloud, never stored without effect."""

from typing import Final

from cdp.delivery import Received, Refused
from cdp.identity.people import contact_identifiers
from cdp.records import ConsentRecord, MessageRecord, Record

OBJECTIONS: Final = frozenset({"unsubscribed", "complained"})
"""Kinds of message events that withdraw consent."""

_SAYING: Final = (ConsentRecord, MessageRecord)


def refuse_unheard(received: Received, region: str) -> Received | Refused:
    """The delivery; refused where it grants or withdraws consent and does not say whose.

    Stored without an owner, a refusal would hold for nobody and marketing would go on. `region`
    (ISO 3166) reads a phone number without a country code.
    """
    record = received.record
    if not isinstance(record, _SAYING) or not _is_unheard(record, region):
        return received
    said = [name for name in ("email", "phone", "handle") if getattr(record, name, None)]
    what = f"Its {' and '.join(said)} cannot be read" if said else "It names nobody"
    reason = (
        f"{what}, so this statement of consent would hold for nobody."
        " Give customer_id, an email such as ann@example.com, or a phone with its country code."
    )
    path = said[0] if said else "customer_id"
    return Refused(record.stream, record.key, reason, path, received.payload, received.place)


def _is_unheard(record: Record, region: str) -> bool:
    if isinstance(record, MessageRecord) and record.kind not in OBJECTIONS:
        return False
    return getattr(record, "customer_id", None) is None and not contact_identifiers(record, region)
