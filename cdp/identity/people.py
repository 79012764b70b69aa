"""What a record says of a person: its identifiers, its name, and whose contact it belongs to."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec

from cdp.identity.evidence import KIND_PRIORITY, Identifier
from cdp.identity.names import Person
from cdp.identity.normalise import name_keys, normalise, phone_region_of
from cdp.records import CustomerRecord, Record

NOBODY: Final = Person("", "")


class Claims(msgspec.Struct, frozen=True):
    """What a customer record says of its person.

    `email` and `phone` are the first of their kind; `digest` is that of what linkage compares;
    `unread` are the kinds of identifiers that cannot be read, or say that nothing is known.
    """

    person: Person
    identifiers: list[Identifier]
    email: str | None
    phone: str | None
    digest: bytes
    unread: tuple[str, ...] = ()


def claims_of(record: CustomerRecord, source_name: str, region: str) -> Claims:
    """What the record claims: the same whenever it is asked."""
    person, (said, unread) = person_of(record), _told(record, source_name, region)
    digest = compared_digest(record, person, said)
    email, phone = first_of(said, "email"), first_of(said, "phone")
    return Claims(person, said, email, phone, digest, tuple(unread))


def no_claims(key: str, source_name: str) -> Claims:
    """Of a profile of which nothing but its deletion is known: its own key."""
    said = [Identifier(f"external:{source_name}", key)]
    return Claims(NOBODY, said, None, None, compared_digest(None, NOBODY, said))


def identifiers_of(record: CustomerRecord, source_name: str, region: str) -> list[Identifier]:
    """Every identifier that a customer record carries, normalised, in the record's order.

    The first is the record's own key in its source.
    """
    return _told(record, source_name, region)[0]


def _told(
    record: CustomerRecord, source_name: str, region: str
) -> tuple[list[Identifier], list[str]]:
    phone_region = region if record.country is None else phone_region_of(record.country, region)
    said, unread = _normalised(_claims(record), phone_region)
    return [Identifier(f"external:{source_name}", record.id), *said], unread


def compared_digest(
    record: CustomerRecord | None, person: Person, identifiers: Iterable[Identifier]
) -> bytes:
    """Of what linkage compares; equal where nothing that it looks at has changed."""
    tying = sorted([one for one in identifiers if _is_compared(one.kind)])
    place = () if record is None else _compared(record)
    said = (person.given, person.family, person.birth_date, place, tying)
    return hashlib.blake2b(_encoder.encode(said), digest_size=16).digest()


_COMPARED_KINDS: Final = ("email", "phone", "loyalty_card", "external")
_compared: Final[Callable[[CustomerRecord], tuple[str | None, ...]]] = attrgetter(
    "gender", "street", "city", "region", "postal_code", "country"
)
_encoder: Final = msgspec.json.Encoder()


@lru_cache(maxsize=1024)  # a workspace has some dozens of kinds
def _is_compared(kind: str) -> bool:
    return kind.partition(":")[0] in _COMPARED_KINDS


def first_of(identifiers: Iterable[Identifier], kind: str) -> str | None:
    """The value that comes first among those of one kind."""
    for one in identifiers:
        if one.kind == kind:
            return one.value
    return None


def person_of(record: CustomerRecord) -> Person:
    """The name and birth date that tell this person from another."""
    given, family = name_keys(record.first_name, record.last_name, record.full_name)
    return Person(given, family, record.birth_date)


def contact_identifiers(record: Record, region: str) -> list[Identifier]:
    """Identifiers of the party of a record that names no customer, the strongest first.

    Empty where the record names a customer or carries nothing that points at a person.
    """
    return read_contact(record, region)[0]


def read_contact(record: Record, region: str) -> tuple[list[Identifier], list[str]]:
    """`contact_identifiers`, and the kinds of those that cannot be read or say nothing."""
    if getattr(record, "customer_id", None) is not None:
        return [], []
    found, unread = _normalised(_contact_claims(record), region)
    return sorted(found, key=_strength), unread


def _strength(identifier: Identifier) -> tuple[int, Identifier]:
    return KIND_PRIORITY.index(identifier.kind.partition(":")[0]), identifier


def _claims(record: CustomerRecord) -> Iterator[tuple[str, str]]:
    for email in (record.email, *record.emails):
        if email:
            yield "email", email
    for phone in (record.phone, *record.phones):
        if phone:
            yield "phone", phone
    if record.loyalty_card:
        yield "loyalty_card", record.loyalty_card
    for network, handle in record.handles.items():
        yield f"handle:{network.strip().lower()}", handle
    for kind, value in record.external_ids.items():
        yield f"external:{kind.strip()}", value


def _contact_claims(record: Record) -> Iterator[tuple[str, str]]:
    for kind in ("loyalty_card", "email", "phone", "anonymous_id"):
        value = getattr(record, kind, None)
        if value:
            yield kind, value
    handle = getattr(record, "handle", None)
    network = getattr(record, "network", None) or getattr(record, "channel", None)
    if handle and network:
        yield f"handle:{network.strip().lower()}", handle


def _normalised(
    claims: Iterable[tuple[str, str]], region: str
) -> tuple[list[Identifier], list[str]]:
    """The identifiers, and the families of those that have no normal form."""
    said: list[Identifier] = []
    unread: list[str] = []
    for kind, value in claims:
        normal = normalise(kind, value, region)
        if normal is None:
            unread.append(kind.partition(":")[0])
        else:
            said.append(Identifier(kind, normal))
    return said, unread
