"""Survivorship: which claim of which source profile becomes the customer's attribute."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR, aggregate_order_by, distinct_on

from cdp.attributes import Attribute
from cdp.claims import (
    ADDRESS,
    COMPOSITES,
    SAID_NAME,
    SAID_VALUE,
    SINGLE,
    claim_order,
    counted,
    full_name,
    is_claim,
    is_verified,
    is_whole,
    order_of,
)
from cdp.identity.normalise import MAX_WORD
from cdp.survivorship_rules import DEFAULT, OTHERS, Rule, Survivorship
from cdp.tables import source_profile

_Claims: TypeAlias = tuple[FromClause, Sequence[ColumnElement[Any]]]
"""Claims of one customer, and the order of those of one attribute: the first is the winner."""


def _winner(
    profile: FromClause, subject: str, value: ColumnElement[Any], survivorship: Survivorship
) -> ColumnElement[Any]:
    """The value of the best claim of a live profile; null where nobody claims it.

    The rows come in `claim_order`, in which the order of every rule ends: sorting the few claims of
    each customer once more for each attribute took nearly half of what it takes to read them.
    """
    claimed, rule = is_claim(profile, subject), survivorship.rule_of(subject)
    as_they_come = func.array_agg(value, type_=ARRAY(value.type))
    latest: ColumnElement[Any] = as_they_come.filter(claimed)[1]
    first: ColumnElement[bool] | None = None
    if rule is Rule.LATEST and subject in COMPOSITES:
        first = is_whole(profile, subject)
    elif rule is Rule.VERIFIED_FIRST and subject not in COMPOSITES:
        first = is_verified(profile, subject)
    if first is not None:
        return func.coalesce(as_they_come.filter(claimed, first)[1], latest)
    if rule is Rule.LATEST:
        return latest
    order = order_of(profile, subject, survivorship)
    ordered = func.array_agg(aggregate_order_by(value, *order), type_=ARRAY(value.type))
    return ordered.filter(claimed)[1]


def claims_of(
    customer_id: ColumnElement[int], attribute: Attribute | str, survivorship: Survivorship
) -> Select[Any]:
    """Every claim of one attribute by live profiles of a customer: one row per source profile.

    A text names an attribute beyond the fixed ones. Of a composite whoever speaks of any part
    claims all parts, so that `value` (JSON) may be null. `place` is 1 for the winner: this and the
    fold take the same order.
    """
    if isinstance(attribute, str):
        claims, order = _other_claims(customer_id, survivorship)
        found = _ranked(claims, claims.c[SAID_VALUE], OTHERS, order)
        return found.where(claims.c[SAID_NAME] == attribute)
    claims, order = _fixed_claims(customer_id, attribute.composite, survivorship)
    said = full_name(claims) if attribute.name == "name" else claims.c[attribute.name]
    return _ranked(claims, func.to_jsonb(said), attribute.composite, order)


def _ranked(
    claims: FromClause,
    value: ColumnElement[Any],
    subject: str,
    order: Sequence[ColumnElement[Any]],
) -> Select[Any]:
    return select(
        *(claims.c[name] for name in ("id", "source_id", "updated_at", "learned_at")),
        value.label("value"),
        is_verified(claims, subject).label("is_verified"),
        func.row_number().over(order_by=order).label("place"),
    ).correlate_except(claims)


def _fixed_claims(
    customer_id: ColumnElement[int], subject: str, survivorship: Survivorship
) -> _Claims:
    profile = source_profile.alias()
    mine = (
        select(*_but(profile, "payload"))
        .where(profile.c.customer_id == customer_id, is_claim(profile, subject))
        .correlate_except(profile)
        .subquery()
    )
    claims = counted(mine, [subject], survivorship)
    return claims, order_of(claims, subject, survivorship)


def _other_claims(customer_id: ColumnElement[int], survivorship: Survivorship) -> _Claims:
    """What live profiles said beyond the fixed attributes: one row per profile and name."""
    profile = source_profile.alias()
    item = func.jsonb_each(profile.c.attributes).table_valued("key", "value").lateral()
    said = (
        select(
            *_but(profile, "payload", "attributes"),
            item.c.key.label(SAID_NAME),
            cast(item.c.value, JSONB).label(SAID_VALUE),
        )
        .select_from(profile.join(item, literal(value=True)))
        .where(profile.c.customer_id == customer_id, profile.c.deleted_at.is_(None))
        .correlate_except(profile, item)
        .subquery()
    )
    claims = counted(said, [OTHERS], survivorship)
    return claims, order_of(claims, OTHERS, survivorship)


def _but(rows: FromClause, *names: str) -> list[ColumnElement[Any]]:
    """The columns of rows, save those: a payload is long, and is carried along for nothing."""
    return [column for column in rows.c if column.name not in names]


def _attributes(best_row: FromClause, survivorship: Survivorship) -> ColumnElement[Any]:
    """What sources said beyond our attributes, each name's best claim, as one JSON object."""
    claims, order = _other_claims(best_row.c.id, survivorship)
    best = (
        select(claims.c[SAID_NAME], claims.c[SAID_VALUE])
        .ext(distinct_on(claims.c[SAID_NAME]))
        .order_by(claims.c[SAID_NAME], *order)
        .correlate_except(claims)
        .subquery()
    )
    return select(func.jsonb_object_agg(best.c[SAID_NAME], best.c[SAID_VALUE])).scalar_subquery()


def _said(profile: FromClause) -> ColumnElement[Any]:
    """The words of one profile, in one text: names and contact points."""
    return func.concat_ws(
        " ",
        profile.c.given_key,
        profile.c.family_key,
        profile.c.email,
        profile.c.phone,
        func.left(func.lower(profile.c.loyalty_card), MAX_WORD),
    )


def _search(text_: ColumnElement[Any]) -> ColumnElement[Any]:
    """The words by which a customer is found."""
    words = func.string_to_array(text_, " ", type_=ARRAY(Text))
    return cast(func.array_to_tsvector(func.array_remove(words, "")), TSVECTOR)


def _words(profile: FromClause) -> ColumnElement[Any]:
    """The words of every live profile."""
    together = func.string_agg(_said(profile), " ").filter(profile.c.deleted_at.is_(None))
    return _search(func.coalesce(together, ""))


def attributes_of(customers: FromClause, survivorship: Survivorship = DEFAULT) -> Select[Any]:
    """One row per given customer (`id`) that has source profiles: its attributes."""
    stored = source_profile
    mine = (
        select(*_but(stored, "payload"))
        .join_from(customers, stored, stored.c.customer_id == customers.c.id)
        .subquery()
    )
    claims = counted(mine, (*SINGLE, "name", "address"), survivorship)
    # An aggregate takes the rows in the order in which a sorted subquery gives them.
    p = select(claims).order_by(claims.c.customer_id, *claim_order(claims)).subquery()

    def winner(subject: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        return _winner(p, subject, value, survivorship)

    best = (
        select(
            p.c.customer_id.label("id"),
            *(winner(name, p.c[name]).label(name) for name in SINGLE),
            winner("name", p.c.id).label("name_id"),
            winner("address", p.c.id).label("address_id"),
            func.bool_or(p.c.attributes.is_not(None)).label("has_attributes"),
            _words(p).label("search"),
            func.count().label("profile_count"),
            func.min(func.coalesce(p.c.created_at, p.c.first_stored_at)).label("created_at"),
        )
        .group_by(p.c.customer_id)
        .cte("best")
    )
    name, address = source_profile.alias("name"), source_profile.alias("address")
    others = case((best.c.has_attributes, _attributes(best, survivorship)))
    return select(
        best.c.id,
        full_name(name).label("name"),
        name.c.first_name,
        name.c.last_name,
        *(best.c[column] for column in SINGLE),
        *(address.c[column] for column in ADDRESS),
        func.coalesce(others, text("'{}'::jsonb")).label("attributes"),
        best.c.profile_count,
        best.c.created_at,
        func.now().label("updated_at"),
        best.c.search,
    ).select_from(
        best.outerjoin(name, name.c.id == best.c.name_id).outerjoin(
            address, address.c.id == best.c.address_id
        )
    )


def attributes_alone(customers: FromClause) -> Select[Any]:
    """The same for customers (`id`) of whom each has one profile, live, which reserved that id.

    Whatever the rule, where there is one claim it wins: nothing has to be weighed.
    """
    p = source_profile
    return select(
        p.c.id,
        full_name(p).label("name"),
        p.c.first_name,
        p.c.last_name,
        *(p.c[column] for column in (*SINGLE, *ADDRESS)),
        func.coalesce(p.c.attributes, text("'{}'::jsonb")).label("attributes"),
        literal(1).label("profile_count"),
        func.coalesce(p.c.created_at, p.c.first_stored_at).label("created_at"),
        func.now().label("updated_at"),
        _search(_said(p)).label("search"),
    ).join_from(customers, p, p.c.id == customers.c.id)
