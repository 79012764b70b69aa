"""Who a customer is made of: identifiers, source profiles, claims, and the history of merges."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import strawberry
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Text,
    exists,
    func,
    literal,
    literal_column,
    null,
    select,
)

from cdp import tables
from cdp.attributes import ATTRIBUTES
from cdp.errors import Forbidden
from cdp.fields import camel_case
from cdp.survivorship import claims_of
from cdp.survivorship_rules import IN_WORDS, OTHERS
from schema.edges import (
    Arguments,
    Branch,
    Embedded,
    Leaf,
    Many,
    One,
    Row,
    Scene,
    column,
    planned,
    row_of,
)
from schema.ids import global_id
from schema.objects import constant
from schema.scalars import Date, DateTime, Json
from schema.types.attributes import Address, attribute
from schema.types.node import Node
from schema.types.records import source_name

# Identifiers ----------------------------------------------------------------------------------


def _identifiers(customer: Row, _: Arguments) -> Branch:
    identifier, profile = tables.identifier.alias(), tables.source_profile.alias()
    found = (
        select(
            identifier.c.kind,
            identifier.c.value,
            profile.c.source_id,
            func.min(identifier.c.first_seen_at).label("first_seen_at"),
            func.max(identifier.c.last_seen_at).label("last_seen_at"),
            func.bool_or(identifier.c.is_current & profile.c.deleted_at.is_(None)).label(
                "is_current"
            ),
        )
        .join_from(profile, identifier, identifier.c.source_profile_id == profile.c.id)
        .where(profile.c.customer_id == customer.table.c.id)
        .group_by(identifier.c.kind, identifier.c.value, profile.c.source_id)
        .correlate_except(identifier, profile)
        .subquery()
    )
    query = select().select_from(found).order_by(found.c.kind, found.c.value, found.c.source_id)
    return Branch("Identifier", Row(found, "identifier", customer.scene), query)


def _is_blocked(row: Row) -> ColumnElement[bool]:
    blocked = tables.blocked_value.alias()
    return exists(
        select(1)
        .where(blocked.c.kind == row.table.c.kind, blocked.c.value == row.table.c.value)
        .correlate_except(blocked)
    )


@strawberry.type(description="A typed, normalised value that points at a person.")
class Identifier:
    """One row per kind, value and source."""

    kind: str = column(
        "kind",
        "`email`, `phone`, `loyalty_card`, `anonymous_id`, `handle:NETWORK`, `external:SOURCE`.",
    )
    value: str | None = column("value", "Normalised. Personal: null for a role that is masked.")
    source: str = planned(Leaf(source_name), "The name of the source that says so.")
    first_seen_at: DateTime = column("first_seen_at", "When we first learned it.")
    last_seen_at: DateTime = column("last_seen_at", "When we last learned it.")
    is_current: bool = column(
        "is_current", "Whether the source still says so. An old one is still evidence."
    )
    is_blocked: bool = planned(
        Leaf(_is_blocked), "Whether it joins nobody, because too many people share it."
    )


# Source profiles ------------------------------------------------------------------------------


def _profiles(customer: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    query = (
        select()
        .select_from(profile)
        .where(profile.c.customer_id == customer.table.c.id)
        .order_by(profile.c.id)
    )
    return Branch("SourceProfile", row_of(profile, customer.scene), query)


def _full_name(column_of: Callable[[str], ColumnElement[Any]]) -> ColumnElement[Any]:
    parts = func.concat_ws(" ", column_of("first_name"), column_of("last_name"))
    return func.coalesce(column_of("full_name"), func.nullif(parts, ""))


def _customer(row: Row) -> Branch:
    customer = tables.scored_customer.alias()
    query = select().select_from(customer).where(customer.c.id == row.table.c.customer_id)
    return Branch("Customer", row_of(customer, row.scene), query)


_Customer = Annotated["Customer", strawberry.lazy("schema.types.customer")]  # type: ignore[name-defined]  # noqa: F821


@strawberry.type(description="A person as one source tells it.")
class SourceProfile(Node):
    """A row of source_profile."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("SourceProfile", row.table.c.id)), "Opaque and lasting."
    )
    source: str = planned(Leaf(source_name), "The name of the source.")
    stream: str = column(
        "stream", "`customers`, or `contact` for a party that the source knows by an identifier."
    )
    key: str | None = column(
        "key",
        "The person's id in the source. Personal, for it may be an address or a handle: null for a"
        " role that is masked.",
    )
    name: str | None = planned(
        Leaf(lambda row: _full_name(row.__getitem__)),
        "The full name as the source tells it. Personal: null for a masked role.",
    )
    email: str | None = attribute("email")
    phone: str | None = attribute("phone")
    birth_date: Date | None = attribute("birth_date")
    address: Address = planned(Embedded(), "The address as the source tells it.")
    record: Json | None = column(
        "payload", "The record as the source sent it. Personal: null for a role that is masked."
    )
    created_at: DateTime | None = column(
        "created_at", "When the source first knew the person, if it tells."
    )
    first_stored_at: DateTime = column("first_stored_at", "When we first learned of the person.")
    updated_at: DateTime | None = column(
        "updated_at", "When the source changed the record last, if it tells."
    )
    deleted_at: DateTime | None = column(
        "deleted_at", "When the source deleted it; null while it lives. Its orders stay."
    )
    customer: _Customer | None = planned(One(_customer), "The customer whom it is part of.")


def profiles_among(ids: ColumnElement[bool], profile: FromClause, scene: Scene) -> Branch:
    """The source profiles for which a condition on `profile` holds, oldest first."""
    query = select().select_from(profile).where(ids).order_by(profile.c.id)
    return Branch("SourceProfile", row_of(profile, scene), query)


def find_profile(scene: Scene, wanted: FromClause) -> Branch:
    """Source profiles by their number."""
    profile = tables.source_profile.alias()
    query = select().select_from(profile, wanted).where(profile.c.id == wanted.c.part_0)
    return Branch("SourceProfile", row_of(profile, scene), query)


# Claims ---------------------------------------------------------------------------------------

_BY_NAME: Final = {
    spelling: attribute
    for attribute in ATTRIBUTES
    for spelling in (attribute.name, camel_case(attribute.name))
}


def _claims(customer: Row, arguments: Arguments) -> Branch:
    name, scene = arguments.now("attribute"), customer.scene
    known = _BY_NAME.get(name)
    if known is None and scene.viewer.is_masked:
        raise Forbidden(
            "Only fixed attributes can be asked for by your role: another may be personal data.",
            todo=f"There are: {', '.join(camel_case(each.name) for each in ATTRIBUTES)}.",
        )
    is_masked = scene.viewer.is_masked and known is not None and known.is_personal
    rule = scene.survivorship.rule_of(OTHERS if known is None else known.composite)
    said = claims_of(customer.table.c.id, known or name, scene.survivorship).subquery()
    claims = (
        select(
            *(column for column in said.c if not (is_masked and column.name == "value")),
            *([null().label("value")] if is_masked else []),
            constant(rule.value).label("rule"),
            literal(IN_WORDS[rule], Text).label("because"),
        )
        .correlate_except(said)
        .subquery()
    )
    query = select().select_from(claims).order_by(claims.c.place)
    return Branch("AttributeClaim", Row(claims, "attribute_claim", scene), query)


def _claiming(row: Row) -> Branch:
    profile = tables.source_profile.alias()
    query = select().select_from(profile).where(profile.c.id == row.table.c.id)
    return Branch("SourceProfile", row_of(profile, row.scene), query)


@strawberry.type(
    description="What one source says of one attribute. The parts of a name, and those of an"
    " address, are claimed and win together."
)
class AttributeClaim:
    """A source profile that claims an attribute, or a sibling in the same composite."""

    value: Json | None = column(
        "value",
        "What is claimed. Null where masked, if it is personal, and where the source tells only"
        " other parts of the name or address.",
    )
    source: str = planned(Leaf(source_name), "The name of the source that claims it.")
    profile: SourceProfile = planned(One(_claiming), "The person as that source tells it.")
    at: DateTime = planned(
        Leaf(lambda row: func.coalesce(row["updated_at"], row["learned_at"])),
        "When the source changed it, else when we learned it.",
    )
    is_verified: bool = column(
        "is_verified",
        "Whether the source has proof: of an email address or phone number, that the person has"
        " shown it to be theirs; of all else, that it knows the person by one so shown, or as the"
        " holder of a loyalty card.",
    )
    rule: str = column(
        "rule",
        "The rule that chooses: `latest`, `verified_first`, `most_frequent`, `source_priority` or"
        " `longest`. Between claims that it holds equal the latest wins. Whatever the rule, a name"
        " with a surname goes before one without, and an address with a street or a city before one"
        " without.",
    )
    because: str = column("because", "The rule in words, to be shown to people.")
    is_winner: bool = planned(
        Leaf(lambda row: row["place"] == literal_column("1")),
        "Whether this is the claim that the customer shows: one of them, the first.",
    )


CLAIMS: Final = Many(_claims)
IDENTIFIERS: Final = Many(_identifiers)
PROFILES: Final = Many(_profiles)


@strawberry.input(description="An identifier as anybody may spell it.")
class IdentifierInput:
    """Finds a customer by what the person bears."""

    kind: str = strawberry.field(
        description="`email`, `phone`, `loyalty_card`, `anonymous_id`, `handle:NETWORK`,"
        " `external:SOURCE`."
    )
    value: str = strawberry.field(
        description="Normalised by the server: ` Ann@Example.com ` finds ann@example.com."
    )
