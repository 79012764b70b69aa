"""What source profiles claim of a person, and the one order in which the claims of a subject stand.

Both the fold of a customer's row and its provenance take this order: the first claim is the winner.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Text,
    and_,
    any_,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from cdp.survivorship_rules import OTHERS, Rule, Survivorship
from cdp.tables import source

SINGLE: Final = ("email", "phone", "birth_date", "gender", "language")
NAME: Final = ("full_name", "first_name", "last_name")
ADDRESS: Final = ("street", "city", "region", "postal_code", "country")

_PARTS: Final = {"name": NAME, "address": ADDRESS}

COMPOSITES: Final = frozenset(_PARTS)
"""Subjects of several parts, which are claimed and win together."""

SAID_NAME: Final = "said_name"
SAID_VALUE: Final = "said_value"
"""Where claims of OTHERS are read: the columns that name the attribute, and hold its JSON."""


def claim_order(profile: FromClause) -> tuple[ColumnElement[Any], ...]:
    """The rule `latest`: the claim that its source changed last, then the one learned last.

    Every other rule ends in it, so that no two claims are equal.
    """
    return (
        profile.c.updated_at.desc().nulls_last(),
        profile.c.learned_at.desc(),
        profile.c.id.desc(),
    )


def order_of(
    claims: FromClause, subject: str, survivorship: Survivorship
) -> tuple[ColumnElement[Any], ...]:
    """The order of the claims of a subject: the first is the winner.

    `claims` has the columns of `source_profile` and what `counted` adds; for OTHERS also SAID_NAME
    and SAID_VALUE.
    """
    whole = (is_whole(claims, subject).desc(),) if subject in COMPOSITES else ()
    before: tuple[ColumnElement[Any], ...]
    match survivorship.rule_of(subject):
        case Rule.LATEST:
            before = ()
        case Rule.VERIFIED_FIRST:
            before = (is_verified(claims, subject).desc(),)
        case Rule.MOST_FREQUENT:
            before = tuple(claims.c[name].desc() for name in _frequency_names(subject))
        case Rule.SOURCE_PRIORITY:
            before = (_place(claims, survivorship.sources).nulls_last(),)
        case Rule.LONGEST:
            before = (func.char_length(_text(claims, subject)).desc(),)
    return (*whole, *before, *claim_order(claims))


def is_claim(profile: FromClause, subject: str) -> ColumnElement[bool]:
    """Whether a live source profile says anything of a subject: empty never wins."""
    says = [profile.c[name].is_not(None) for name in _PARTS.get(subject, (subject,))]
    return and_(profile.c.deleted_at.is_(None), or_(*says))


def is_whole(profile: FromClause, subject: str) -> ColumnElement[bool]:
    """Whether a claim of a composite tells what it is for: a surname, a place. Never null.

    Its parts win together, so that a first name alone, or a country, would empty all the others.
    """
    if subject == "address":
        return or_(profile.c.street.is_not(None), profile.c.city.is_not(None))
    surname = profile.c.last_name.is_not(None)
    return or_(surname, func.coalesce(profile.c.full_name, "").like("% %"))


def full_name(profile: FromClause) -> ColumnElement[Any]:
    """The full name as it was said, else put together; null where no name was said."""
    parts = func.concat_ws(" ", profile.c.first_name, profile.c.last_name)
    return func.coalesce(profile.c.full_name, func.nullif(parts, ""))


def is_verified(profile: FromClause, subject: str) -> ColumnElement[bool]:
    """Whether the source has proof of a claim. Never null.

    Of a contact point: that the person has shown it to be theirs. Of all else: that the source
    knows the person by a contact point so shown, or as the holder of a loyalty card.
    """
    email, phone = profile.c.email_verified.is_(True), profile.c.phone_verified.is_(True)
    if subject == "email":
        return email
    if subject == "phone":
        return phone
    return or_(email, phone, profile.c.loyalty_card.is_not(None))


def counted(
    claims: FromClause, subjects: Collection[str], survivorship: Survivorship
) -> FromClause:
    """The claims, each with how many sources and source profiles of its customer claim the same.

    For the subjects that go by frequency; where none does, the claims as they are.
    """
    columns = [
        column
        for subject in subjects
        if survivorship.rule_of(subject) is Rule.MOST_FREQUENT
        for column in _counts(claims, subject)
    ]
    return select(claims, *columns).subquery() if columns else claims


def _counts(profile: FromClause, subject: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    said = literal_column("true") if subject == OTHERS else is_claim(profile, subject)
    same = (profile.c.customer_id, said, *_sameness(profile, subject))
    # PostgreSQL counts nothing distinct over a window: the ranks from both ends meet at the number.
    sources = (
        func.dense_rank().over(partition_by=same, order_by=profile.c.source_id)
        + func.dense_rank().over(partition_by=same, order_by=profile.c.source_id.desc())
        - 1
    )
    profiles = func.count().over(partition_by=same)
    names = _frequency_names(subject)
    return sources.label(names[0]), profiles.label(names[1])


def _frequency_names(subject: str) -> tuple[str, str]:
    return f"{subject}_sources", f"{subject}_profiles"


def _sameness(profile: FromClause, subject: str) -> tuple[ColumnElement[Any], ...]:
    """What two claims that say the same have in common; case and a name's accents do not count."""
    if subject == "name":
        return profile.c.given_key, profile.c.family_key
    if subject == "birth_date":
        return (profile.c.birth_date,)
    if subject == OTHERS:
        return profile.c[SAID_NAME], profile.c[SAID_VALUE]
    return (func.lower(_text(profile, subject)),)


def _text(profile: FromClause, subject: str) -> ColumnElement[str]:
    """A claim as one text."""
    if subject == "name":
        return full_name(profile)
    if subject == "address":
        return func.concat_ws(", ", *(profile.c[name] for name in ADDRESS), type_=Text)
    if subject == OTHERS:
        return profile.c[SAID_VALUE].op("#>>")(literal_column("'{}'::text[]"))
    return profile.c[subject]


def _place(profile: FromClause, sources: Collection[str]) -> ColumnElement[int]:
    """Where the profile's source stands in the list; null where it does not."""
    names = literal(list(sources), ARRAY(Text))
    in_order = func.array_position(names, source.c.name)
    ids = select(source.c.id).where(source.c.name == any_(names)).order_by(in_order)
    return func.array_position(func.array(ids.scalar_subquery()), profile.c.source_id)
