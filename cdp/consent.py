"""Consent: what people allow, by channel and purpose. One definition, which every reader takes.

A statement is a record of the stream `consents`, or a message event by which somebody unsubscribed
or complained: that withdraws the purpose `marketing` on the message's channel, and nothing else. It
is said of the contact point that it names, else of each one of its channel's kind that its source
profile bears, else of the source profile itself. From there:

1. Per contact point, channel and purpose the latest statement of a customer's own profiles holds.
2. A grant speaks for whoever gave it, a denial for everybody who bears the contact point: where the
   latest statement of all is a denial by somebody else, it holds too.
3. Across the contact points of a customer one denial is enough. No statement is silence, which is
   not consent.
4. A grant counts while its record, its source profile and that profile's hold on the contact point
   last. A denial counts until a grant follows it: neither a delete nor a change of the map ends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    Text,
    and_,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on

from cdp.contact_points import CHANNEL_KINDS, KINDS
from cdp.errors import BadInput
from cdp.rows import CHANNEL_SPELLINGS
from cdp.tables import consent, identifier, message, source_profile

MARKETING: Final = "marketing"
"""The purpose that an unsubscription or a complaint withdraws."""


class ConsentStatus(Enum):
    """What was said of a channel and a purpose. Silence is none of these, and no consent."""

    GRANTED = "GRANTED"
    DENIED = "DENIED"
    WITHDRAWN = "WITHDRAWN"


def read_status(given: object, path: str) -> ConsentStatus:
    """One of ConsentStatus, by its name. Raises BadInput."""
    try:
        return ConsentStatus(given)
    except ValueError:
        names = ", ".join(each.value for each in ConsentStatus)
        raise BadInput(
            f"{path} is not a status of consent.", todo=f"There are: {names}.", path=path
        ) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about: everybody, or one customer; every channel and purpose, or a given one.

    All statements are read where it is everybody; of one customer it takes a few index look-ups.
    """

    as_of: ColumnElement[datetime]
    customer_id: ColumnElement[int] | None = None
    channel: ColumnElement[str] | None = None
    purpose: ColumnElement[str] | None = None


def consents(asked: Asked) -> Select[Any]:
    """How customers stand: one row per customer, channel and purpose of which anything was said.

    It is the row of `statements` that decides.
    """
    said = statements(asked).subquery()
    whose = (said.c.customer_id, said.c.channel, said.c.purpose)
    return (
        select(said)
        .ext(distinct_on(*whose))
        .where(said.c.holds)
        .order_by(*whose, _is_denial(said.c.status).desc(), *_latest(said))
        .correlate_except(said)
    )


def statements(asked: Asked) -> CompoundSelect[Any]:
    """What counts for customers: one row per customer, statement and contact point.

    `channel`, `purpose`, `status` (granted, denied, withdrawn), `at`; `point_kind` and `point`
    (null: it was said of the profile); `evidence`; `event` of a message (null: it is a record);
    whose it is by `source_id`, `key`, `profile_id` (null while its customer is not seen yet).
    `holds`: it is the latest of its contact point. `is_own`: a profile of the customer said it; if
    not, it is somebody else's denial, of a contact point that the customer bears too.
    """
    sources, customer_id = _said(asked), asked.customer_id
    if customer_id is None:
        said = union_all(*(each.query for each in sources)).cte()
        return union_all(_own(said), _denials_of_others(said.alias()))
    mine = (each.query.where(each.owner == customer_id) for each in sources)
    points = _points_of(customer_id)
    here = (each.query.where(tuple_(*each.point).in_(points)) for each in sources)
    others = _denials_of_others(union_all(*here).subquery())
    return union_all(
        _own(union_all(*mine).subquery()), others.where(others.selected_columns[0] == customer_id)
    )


def _own(said: FromClause) -> Select[Any]:
    """What customers' own profiles said, and which of it is the latest of its contact point."""
    of_profile = case((said.c.point.is_(None), said.c.profile_id))
    place = func.row_number().over(
        partition_by=(said.c.owner_id, *_subject(said), of_profile), order_by=_latest(said)
    )
    return (
        select(
            said.c.owner_id.label("customer_id"),
            *(said.c[name] for name in _TOLD),
            (place == literal_column("1")).label("holds"),
            literal_column("true").label("is_own"),
        )
        .where(said.c.owner_id.is_not(None))
        .correlate_except(said)
    )


def _denials_of_others(said: FromClause) -> Select[Any]:
    """Denials that are the latest statement of a contact point, for all others who bear it."""
    last = (
        select(said)
        .ext(distinct_on(*_subject(said)))
        .where(said.c.point.is_not(None))
        .order_by(*_subject(said), *_latest(said))
        .correlate_except(said)
        .subquery()
    )
    borne, bearer = identifier.alias(), source_profile.alias()
    return (
        select(
            bearer.c.customer_id,
            *(last.c[name] for name in _TOLD),
            literal_column("true").label("holds"),
            literal_column("false").label("is_own"),
        )
        .select_from(last)
        .join(borne, and_(borne.c.kind == last.c.point_kind, borne.c.value == last.c.point))
        .join(bearer, bearer.c.id == borne.c.source_profile_id)
        .where(
            _is_denial(last.c.status),
            borne.c.is_current,
            last.c.owner_id.is_distinct_from(bearer.c.customer_id),
        )
        .distinct()
        .correlate_except(last, borne, bearer)
    )


def _points_of(customer_id: ColumnElement[int]) -> Select[Any]:
    """The contact points that a customer bears; those of a deleted profile too."""
    borne, bearer = identifier.alias(), source_profile.alias()
    return (
        select(borne.c.kind, borne.c.value)
        .join_from(bearer, borne, borne.c.source_profile_id == bearer.c.id)
        .where(
            bearer.c.customer_id == customer_id,
            borne.c.kind.in_([_constant(kind) for kind in KINDS]),
            borne.c.is_current,
        )
        .correlate_except(borne, bearer)
    )


# Statements, wherever they are written ---------------------------------------------------------

_TOLD: Final = (
    "channel", "purpose", "status", "at", "point_kind", "point", "evidence", "event", "source_id",
    "key", "profile_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    """Statements of one kind: _TOLD and `owner_id`; `owner` and `point` are there to filter by."""

    query: Select[Any]
    owner: ColumnElement[int]
    point: tuple[ColumnElement[str], ColumnElement[str]]


def _said(asked: Asked) -> Sequence[_Said]:
    """Every statement that counts by the moment asked about."""
    return (_of_named_points(asked), _of_profiles(asked), _refusals(asked))


def _of_named_points(asked: Asked) -> _Said:
    """Records that name the contact point they speak of."""
    record, profile, given_up = consent.alias(), source_profile.alias(), identifier.alias()
    point = (record.c.contact_point_kind, record.c.contact_point)
    is_given_up = exists().where(
        given_up.c.kind == point[0],
        given_up.c.value == point[1],
        given_up.c.source_profile_id == record.c.source_profile_id,
        given_up.c.is_current.is_(False),
    )
    query = (
        select(*_record_columns(record, point), profile.c.customer_id.label("owner_id"))
        .select_from(record.outerjoin(profile, profile.c.id == record.c.source_profile_id))
        .where(
            record.c.contact_point.is_not(None),
            _counts(record, profile, asked),
            or_(_is_denial(record.c.status), ~is_given_up.correlate(record)),
        )
        .correlate_except(record, profile)
    )
    return _Said(query, profile.c.customer_id, point)


def _of_profiles(asked: Asked) -> _Said:
    """Records that name none: said of what their profile bears for the channel, else of itself."""
    record, profile, borne = consent.alias(), source_profile.alias(), identifier.alias()
    point = (borne.c.kind, borne.c.value)
    query = (
        select(*_record_columns(record, point), profile.c.customer_id.label("owner_id"))
        .select_from(
            record.join(profile, profile.c.id == record.c.source_profile_id).outerjoin(
                borne, _reaches(record.c.channel, profile, borne)
            )
        )
        .where(record.c.contact_point.is_(None), _counts(record, profile, asked))
        .correlate_except(record, profile, borne)
    )
    return _Said(query, profile.c.customer_id, point)


def _refusals(asked: Asked) -> _Said:
    """Messages by which somebody unsubscribed or complained; one deleted since counts as well."""
    event, profile, borne = message.alias(), source_profile.alias(), identifier.alias()
    word = func.lower(func.btrim(event.c.channel), type_=Text)
    spellings = {spelt: _constant(name) for spelt, name in CHANNEL_SPELLINGS.items()}
    channel = case(spellings, value=word, else_=word)
    query = (
        select(
            channel.label("channel"),
            _constant(MARKETING).label("purpose"),
            _constant("withdrawn").label("status"),
            event.c.occurred_at.label("at"),
            borne.c.kind.label("point_kind"),
            borne.c.value.label("point"),
            null().cast(Text).label("evidence"),
            event.c.kind.label("event"),
            event.c.source_id,
            event.c.key,
            event.c.source_profile_id.label("profile_id"),
            profile.c.customer_id.label("owner_id"),
        )
        .select_from(
            event.join(profile, profile.c.id == event.c.source_profile_id).outerjoin(
                borne, _reaches(channel, profile, borne)
            )
        )
        .where(
            # Written out, so that the planner knows the index that holds these alone.
            event.c.kind.in_([_constant("unsubscribed"), _constant("complained")]),
            event.c.occurred_at <= asked.as_of,
            *_is_about(asked, channel, _constant(MARKETING)),
        )
        .correlate_except(event, profile, borne)
    )
    return _Said(query, profile.c.customer_id, (borne.c.kind, borne.c.value))


def _record_columns(
    record: FromClause, point: tuple[ColumnElement[str], ColumnElement[str]]
) -> Sequence[ColumnElement[Any]]:
    return (
        record.c.channel,
        record.c.purpose,
        record.c.status,
        record.c.recorded_at.label("at"),
        point[0].label("point_kind"),
        point[1].label("point"),
        record.c.evidence,
        null().cast(Text).label("event"),
        record.c.source_id,
        record.c.key,
        record.c.source_profile_id.label("profile_id"),
    )


def _counts(record: FromClause, profile: FromClause, asked: Asked) -> ColumnElement[bool]:
    """It has been said, and is a denial, or a grant that neither record nor profile has lost."""
    is_alive = and_(record.c.deleted_at.is_(None), profile.c.deleted_at.is_(None))
    return and_(
        record.c.recorded_at <= asked.as_of,
        or_(_is_denial(record.c.status), is_alive),
        *_is_about(asked, record.c.channel, record.c.purpose),
    )


def _is_about(
    asked: Asked, channel: ColumnElement[str], purpose: ColumnElement[str]
) -> Sequence[ColumnElement[bool]]:
    pairs = ((asked.channel, channel), (asked.purpose, purpose))
    return [said == wanted for wanted, said in pairs if wanted is not None]


def _reaches(
    channel: ColumnElement[str], profile: FromClause, borne: FromClause
) -> ColumnElement[bool]:
    """The profile bears this identifier, of the kind at which the channel reaches people."""
    kind = case(
        *(
            (
                channel.in_(
                    [_constant(name) for name, each in CHANNEL_KINDS.items() if each == kind]
                ),
                _constant(kind),
            )
            for kind in KINDS
        )
    )
    return and_(borne.c.source_profile_id == profile.c.id, borne.c.is_current, borne.c.kind == kind)


def _subject(said: FromClause) -> Sequence[ColumnElement[Any]]:
    """What statements must have in common for the later to take the place of the earlier."""
    return said.c.channel, said.c.purpose, said.c.point_kind, said.c.point


def _is_denial(status: ColumnElement[str]) -> ColumnElement[bool]:
    return status != _constant("granted")


def _latest(said: FromClause) -> Sequence[ColumnElement[Any]]:
    """The latest first; of one moment a denial. The rest makes it one order, whoever came first."""
    return (
        said.c.at.desc(),
        _is_denial(said.c.status).desc(),
        said.c.source_id.desc(),
        said.c.event.desc().nulls_last(),
        said.c.key.desc(),
        said.c.point_kind,
        said.c.point,
    )


def _constant(text: str) -> ColumnElement[str]:
    """A word of our own; never one that a request brings."""
    return literal_column(f"'{text}'", Text)
