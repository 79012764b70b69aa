"""Survivorship: which claim of which source profile becomes the customer's attribute."""

from typing import Any, Final

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
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR, aggregate_order_by, distinct_on

from cdp.tables import source_profile

SINGLE: Final = ("email", "phone", "birth_date", "gender", "language")
NAME: Final = ("full_name", "first_name", "last_name")
ADDRESS: Final = ("street", "city", "region", "postal_code", "country")


def claim_order(profile: FromClause) -> tuple[ColumnElement[Any], ...]:
    """The rule `latest`: the claim that its source changed last, then the one learned last."""
    return (
        profile.c.updated_at.desc().nulls_last(),
        profile.c.learned_at.desc(),
        profile.c.id.desc(),
    )


def _winner(
    profile: FromClause, value: ColumnElement[Any], is_claim: ColumnElement[bool]
) -> ColumnElement[Any]:
    """The value of the best claim of a live profile; null where nobody claims it."""
    ordered = func.array_agg(
        aggregate_order_by(value, *claim_order(profile)), type_=ARRAY(value.type)
    )
    return ordered.filter(profile.c.deleted_at.is_(None), is_claim)[1]


def _any_of(profile: FromClause, names: tuple[str, ...]) -> ColumnElement[bool]:
    return or_(*(profile.c[name].is_not(None) for name in names))


def _attributes(best_row: FromClause) -> ColumnElement[Any]:
    """What sources said beyond our attributes, each name's best claim, as one JSON object."""
    mine = source_profile.alias()
    item = func.jsonb_each(mine.c.attributes).table_valued("key", "value").lateral()
    best = (
        select(item.c.key, item.c.value)
        .ext(distinct_on(item.c.key))
        .select_from(mine.join(item, literal(value=True)))
        .where(mine.c.customer_id == best_row.c.id, mine.c.deleted_at.is_(None))
        .correlate(best_row)
        .order_by(item.c.key, *claim_order(mine))
        .subquery()
    )
    return select(func.jsonb_object_agg(best.c.key, cast(best.c.value, JSONB))).scalar_subquery()


def _said(profile: FromClause) -> ColumnElement[Any]:
    """The words of one profile, in one text: names and contact points."""
    return func.concat_ws(
        " ",
        profile.c.given_key,
        profile.c.family_key,
        profile.c.email,
        profile.c.phone,
        func.lower(profile.c.loyalty_card),
    )


def _search(text_: ColumnElement[Any]) -> ColumnElement[Any]:
    """The words by which a customer is found."""
    words = func.string_to_array(text_, " ", type_=ARRAY(Text))
    return cast(func.array_to_tsvector(func.array_remove(words, "")), TSVECTOR)


def _words(profile: FromClause) -> ColumnElement[Any]:
    """The words of every live profile."""
    together = func.string_agg(_said(profile), " ").filter(profile.c.deleted_at.is_(None))
    return _search(func.coalesce(together, ""))


def _full_name(profile: FromClause) -> ColumnElement[Any]:
    parts = func.nullif(func.concat_ws(" ", profile.c.first_name, profile.c.last_name), "")
    return func.coalesce(profile.c.full_name, parts)


def attributes_of(customers: FromClause) -> Select[Any]:
    """One row per given customer (`id`) that has source profiles: its attributes."""
    p = source_profile
    said = func.bool_or(p.c.attributes.is_not(None))
    best = (
        select(
            p.c.customer_id.label("id"),
            *(_winner(p, p.c[name], p.c[name].is_not(None)).label(name) for name in SINGLE),
            _winner(p, p.c.id, _any_of(p, NAME)).label("name_id"),
            _winner(p, p.c.id, _any_of(p, ADDRESS)).label("address_id"),
            said.label("has_attributes"),
            _words(p).label("search"),
            func.count().label("profile_count"),
            func.min(func.coalesce(p.c.created_at, p.c.first_stored_at)).label("created_at"),
        )
        .join_from(customers, p, p.c.customer_id == customers.c.id)
        .group_by(p.c.customer_id)
        .cte("best")
    )
    name, address = source_profile.alias("name"), source_profile.alias("address")
    return select(
        best.c.id,
        _full_name(name).label("name"),
        name.c.first_name,
        name.c.last_name,
        *(best.c[column] for column in SINGLE),
        *(address.c[column] for column in ADDRESS),
        func.coalesce(case((best.c.has_attributes, _attributes(best))), text("'{}'::jsonb")).label(
            "attributes"
        ),
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
        _full_name(p).label("name"),
        p.c.first_name,
        p.c.last_name,
        *(p.c[column] for column in (*SINGLE, *ADDRESS)),
        func.coalesce(p.c.attributes, text("'{}'::jsonb")).label("attributes"),
        literal(1).label("profile_count"),
        func.coalesce(p.c.created_at, p.c.first_stored_at).label("created_at"),
        func.now().label("updated_at"),
        _search(_said(p)).label("search"),
    ).join_from(customers, p, p.c.id == customers.c.id)
