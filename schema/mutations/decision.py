"""What the mutations about who is who have in common: the payload, and who decided why."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

import strawberry
from sqlalchemy import BigInteger, Text, any_, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from cdp import tables, traitchange
from cdp.deciding import Author, Effect
from cdp.fields import camel_case
from cdp.traits.catalog import CATALOG
from schema.deeds import Caller, Outcome
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Row,
    Value,
    column,
    planned,
    row_of,
)
from schema.ids import global_id
from schema.objects import items, numbers
from schema.scalars import Json
from schema.types.customer import Customer
from schema.types.decision import IdentityDecision
from schema.types.identity import SourceProfile, profiles_among
from schema.types.ledger import MergeEvent, MergeEventKind
from schema.types.node import is_type_of, type_of
from schema.types.payload import USER_ERRORS, UserError
from schema.types.records import upper

Columns: TypeAlias = Mapping[str, TypeEngine[Any]]

COLUMNS: Final[Columns] = {
    "customer_ids": ARRAY(BigInteger),
    "event_ids": ARRAY(BigInteger),
    "decision_id": BigInteger(),
    "changes": JSONB(),
    "traits": JSONB(),
    "notes": JSONB(),
}
"""The payload's row, as `outcome` fills it."""

_FLOATS: Final = frozenset(
    f"{camel_case(group.name)}.{camel_case(trait.name)}"
    for group in CATALOG
    for trait in group.traits
    if trait.type is float
)

DRY_RUN: Final = strawberry.field(
    default=False,
    description="Only tell what would be: the payload shows all as it would be after it, and"
    " nothing is kept.",
)


# From the domain ------------------------------------------------------------------------------


def author(caller: Caller, given: Mapping[str, Value], otherwise: str = "") -> Author:
    """Who decides, and the reason that the input gives. Raises BadInput for none."""
    reason = given.get("reason")
    return Author(caller.viewer.name, otherwise if reason is None else reason)


def outcome(effect: Effect, given: Mapping[str, Value]) -> Outcome:
    """What a decision did; of a preview no event and no decision is told, for none stays."""
    is_kept = not given["dryRun"]
    events = [one.event_id for one in effect.changes if is_kept]
    row = {
        "customer_ids": effect.customer_ids,
        "event_ids": events,
        "decision_id": effect.decision_id if is_kept else None,
        "changes": effect.changes,
        "traits": [
            {
                "customer_id": one.customer_id,
                "name": one.name,
                "before": _shown(one, one.before),
                "after": _shown(one, one.after),
            }
            for one in effect.traits
        ],
        "notes": effect.notes,
    }
    return Outcome(row, is_kept=is_kept)


def _shown(change: traitchange.TraitChange, value: object) -> object:
    """A value as the field of that name shows it: decimals are text, but for plain numbers."""
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) and change.name in _FLOATS else value


# The payload ----------------------------------------------------------------------------------


def customer_of(payload: Row) -> Branch:
    """The customer that the payload's `customer_id` names."""
    customer = tables.scored_customer.alias()
    theirs = customer.c.id == payload.table.c.customer_id
    return Branch(
        "Customer", row_of(customer, payload.scene), select().select_from(customer).where(theirs)
    )


def _customers(payload: Row, _: Arguments) -> Branch:
    customer = tables.scored_customer.alias()
    concerned = customer.c.id == any_(payload.table.c.customer_ids)
    query = select().select_from(customer).where(concerned).order_by(customer.c.id)
    return Branch("Customer", row_of(customer, payload.scene), query)


def _events(payload: Row, _: Arguments) -> Branch:
    event = tables.merge_event.alias()
    written = event.c.id == any_(payload.table.c.event_ids)
    query = select().select_from(event).where(written).order_by(event.c.id)
    return Branch("MergeEvent", row_of(event, payload.scene), query)


def _decision(payload: Row) -> Branch:
    decision = tables.identity_decision.alias()
    query = select().select_from(decision).where(decision.c.id == payload.table.c.decision_id)
    return Branch("IdentityDecision", row_of(decision, payload.scene), query)


def _changes(payload: Row, _: Arguments) -> Branch:
    columns: Columns = {
        "kind": Text(),
        "customer_id": BigInteger(),
        "from_customer_id": BigInteger(),
        "profile_ids": JSONB(),
    }
    changes = items(payload.table.c.changes, columns)
    query = select().select_from(changes).order_by(changes.c.position)
    return Branch("IdentityChange", Row(changes, "identity_change", payload.scene), query)


def _moving(change: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    moving = profile.c.id.in_(numbers(change.table.c.profile_ids))
    return profiles_among(moving, profile, change.scene)


def _traits(payload: Row, _: Arguments) -> Branch:
    columns: Columns = {
        "customer_id": BigInteger(),
        "name": Text(),
        "before": JSONB(),
        "after": JSONB(),
    }
    traits = items(payload.table.c.traits, columns)
    query = select().select_from(traits).order_by(traits.c.position)
    return Branch("TraitChange", Row(traits, "trait_change", payload.scene), query)


def _customer_id(name: str) -> Leaf:
    return Leaf(lambda row: global_id("Customer", row.table.c[name]))


@strawberry.type(description="Source profiles that go from one customer to another.")
class IdentityChange:
    """An item of the effect's changes."""

    kind: MergeEventKind = planned(upper("kind"), "Whether they join or part.")
    customer_id: strawberry.ID = planned(
        _customer_id("customer_id"), "The customer whose they are after it."
    )
    from_customer_id: strawberry.ID = planned(
        _customer_id("from_customer_id"), "The customer whose they were before."
    )
    source_profiles: list[SourceProfile] = planned(
        Many(_moving), "The source profiles that move; at most 250."
    )


@strawberry.type(
    description="An attribute or computed field of a customer that becomes another. Both values are"
    " written as the field itself writes them."
)
class TraitChange:
    """An item of the effect's traits."""

    customer_id: strawberry.ID = planned(
        _customer_id("customer_id"), "The customer, who is there after it."
    )
    name: str = column(
        "name", "The field, such as `email`, `purchases.netSpend` or `segments` (slugs)."
    )
    before: Json | None = column(
        "before", "Its value before; null where there was none, or the customer was not there."
    )
    after: Json | None = column("after", "Its value after; null where there is none.")


@strawberry.interface(
    description="What a decision about who is who did, or in a preview would do. Ask all of it in"
    " one fragment on this type: the payloads of such mutations share it."
)
class DecisionPayload:
    """The fields of every such payload."""

    customers: list[Customer] = planned(
        Many(_customers),
        "The customers concerned, as they are after it; at most 250. Empty where nothing was done.",
    )
    changes: list[IdentityChange] = planned(
        Many(_changes), "Who joins whom, or parts from whom; at most 250."
    )
    trait_changes: list[TraitChange] = planned(
        Many(_traits), "What becomes another for the customers after it; at most 250."
    )
    merge_events: list[MergeEvent] = planned(
        Many(_events),
        "What the ledger has of it: give one's `id` to `undoMerge`. Empty in a preview; at most"
        " 250.",
    )
    decision: IdentityDecision | None = planned(
        One(_decision), "The decision that was made or taken back; null in a preview."
    )
    notes: list[str] = planned(
        Leaf(lambda payload: func.coalesce(payload["notes"], literal_column("'[]'::jsonb", JSONB))),
        "Sentences that a person should read, such as why two are still one after an undo.",
    )
    errors: list[UserError] = USER_ERRORS

    resolve_type = staticmethod(type_of)
    is_type_of = staticmethod(is_type_of)
