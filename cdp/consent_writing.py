"""What people tell us of consent and no source does: statements of the platform itself."""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.consent import ConsentStatus
from cdp.contact_points import ContactPoint
from cdp.errors import BadInput, KeyReused, NotFound
from cdp.records import ConsentRecord
from cdp.rows import channel_of, purpose_of
from cdp.sources import platform_source
from cdp.tables import consent, identifier, source_profile
from cdp.validation import Unacceptable, digest, encode, read_record
from cdp.values import MAX_ACT_KEY, CustomerId, ProfileId, SourceId


@dataclass(frozen=True, slots=True)
class Statement:
    """What a customer has said, and who wrote it down.

    `channel` and `purpose` in any case; `contact_point` None: said of whatever the source profile
    bears; `profile_id` names the source profile, None leaves it to `record_consent`. `evidence`
    says how it is known; `actor` is the name of the key, or of the person. `key` is the caller's
    own name for the statement, so that it can be said again; `is_dated`: `at` is when the customer
    said so, else it is merely when this was written. Raises BadInput for a key that is none.
    """

    channel: str
    purpose: str
    status: ConsentStatus
    actor: str
    at: datetime
    contact_point: ContactPoint | None = None
    evidence: str | None = None
    profile_id: ProfileId | None = None
    key: str | None = None
    is_dated: bool = True

    def __post_init__(self) -> None:
        """Refuse what names nothing."""
        if self.key is not None and not 0 < len(self.key.strip()) <= len(self.key) <= MAX_ACT_KEY:
            raise BadInput(
                f"A key has 1 to {MAX_ACT_KEY} characters.",
                todo="Give one that names this statement, or none.",
                path="key",
            )


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a statement was stored: source and key of its record, and whose source profile."""

    source_id: SourceId
    key: str
    profile_id: ProfileId


async def record_consent(
    connection: AsyncConnection, customer_id: CustomerId, statement: Statement
) -> Recorded:
    """Store a statement as a record of the platform, on a source profile of the customer.

    On the one named, else on the earliest that bears the contact point, else on the earliest; one
    that its source has not deleted goes before. The same statement again, of the same moment or
    under the same key, changes nothing. A merged id leads to its survivor.

    Raises NotFound for no customer, BadInput for a source profile of somebody else and for a grant
    of a contact point that the customer does not bear (a denial is taken for any), and KeyReused
    where the key belongs to another statement.
    """
    profile_id = await _profile(connection, customer_id, statement)
    record, point = _record(profile_id, statement), statement.contact_point
    source_id = await platform_source(connection)
    written = await connection.execute(
        insert(consent)
        .values(
            source_id=source_id,
            key=record.id,
            digest=digest(encode(record)),
            payload=msgspec.to_builtins(record),
            attributes=record.attributes,
            updated_at=record.updated_at,
            learned_at=func.now(),
            source_profile_id=profile_id,
            email=record.email,
            phone=record.phone,
            contact_point_kind=point.kind if point else None,
            contact_point=point.value if point else None,
            channel=record.channel,
            purpose=record.purpose,
            status=record.status,
            recorded_at=record.recorded_at,
            evidence=record.evidence,
        )
        .on_conflict_do_nothing()
    )
    recorded = Recorded(source_id, record.id, profile_id)
    if statement.key is not None and written.rowcount == 0:
        return await _repeated(connection, recorded, record, statement)
    await outbox.note(connection, [profile_id], "consent")
    return recorded


async def _repeated(
    connection: AsyncConnection, now: Recorded, record: ConsentRecord, statement: Statement
) -> Recorded:
    """Where the statement of this key was stored, if it says the same of the same customer."""
    c, then, here = consent.c, source_profile.alias(), source_profile.alias()
    same_person = exists().where(
        then.c.id == c.source_profile_id,
        here.c.id == now.profile_id,
        then.c.customer_id == here.c.customer_id,
    )
    told = ("channel", "purpose", "status", "email", "phone", "evidence")
    columns = (*told, "recorded_at") if statement.is_dated else told
    same = [c[name].is_not_distinct_from(getattr(record, name)) for name in columns]
    if statement.profile_id is not None:
        same.append(c.source_profile_id == statement.profile_id)
    stored = await connection.scalar(
        select(c.source_profile_id).where(
            c.source_id == now.source_id, c.key == now.key, same_person, *same
        )
    )
    if stored is None:
        assert statement.key is not None, "only a key can name another statement"
        raise KeyReused(statement.key)
    return Recorded(now.source_id, now.key, ProfileId(stored))


async def _profile(
    connection: AsyncConnection, customer_id: CustomerId, statement: Statement
) -> ProfileId:
    """The source profile that the statement goes on."""
    p, reserved = source_profile, source_profile.alias()
    named, point = statement.profile_id, statement.contact_point
    bears = exists().where(
        identifier.c.source_profile_id == p.c.id,
        identifier.c.kind == (point.kind if point else None),
        identifier.c.value == (point.value if point else None),
        identifier.c.is_current,
    )
    survivor = select(reserved.c.customer_id).where(reserved.c.id == customer_id)
    found = await connection.execute(
        select(p.c.id, func.bool_or(bears).over().label("is_borne"))
        .where(p.c.customer_id == survivor.scalar_subquery())
        .order_by(
            p.c.id.is_not_distinct_from(named).desc(),
            bears.desc(),
            p.c.deleted_at.is_(None).desc(),
            p.c.id,
        )
        .limit(1)
    )
    first = found.one_or_none()
    if first is None:
        raise NotFound(
            f"There is no customer {customer_id}.",
            todo="Search for the customer.",
            path="customerId",
        )
    if named is not None and first.id != named:
        raise BadInput(
            f"The source profile {named} is not one of the customer's.", path="sourceProfileId"
        )
    if point and statement.status is ConsentStatus.GRANTED and not first.is_borne:
        raise BadInput(
            f"The customer does not bear the contact point {point.value}.",
            todo="Name one of theirs, or none.",
            path="contactPoint",
        )
    return ProfileId(first.id)


def _record(profile_id: ProfileId, statement: Statement) -> ConsentRecord:
    """The statement as a record.

    Its id stands for the caller's key, else for all of it: said again, it is the same one.
    """
    point = statement.contact_point
    row: dict[str, object] = {
        "channel": channel_of(_word(statement.channel, "channel")),
        "purpose": purpose_of(_word(statement.purpose, "purpose")),
        "status": statement.status.value.lower(),
        "recorded_at": statement.at,
        "evidence": statement.evidence,
        "actor": statement.actor,
        **({point.kind: point.value} if point else {}),
    }
    if statement.key is None:
        content = digest(msgspec.json.encode([profile_id, row], order="deterministic")).hex()
        name = f"{profile_id}:{content}"
    else:
        name = f"key:{digest(statement.key.encode()).hex()}"
    try:
        record = read_record("consents", {"id": name, **row})
        encode(record)  # refuses text that PostgreSQL cannot hold
    except Unacceptable as refusal:
        raise BadInput(refusal.reason, path=refusal.path) from None
    assert isinstance(record, ConsentRecord)
    return record


def _word(text: str, path: str) -> str:
    word = text.strip()
    if not word:
        raise BadInput(f"{path} is empty.", path=path)
    return word
