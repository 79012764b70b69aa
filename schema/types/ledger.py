"""The history of merges: every change of who is who, with what it rests on."""

from typing import Annotated, Any, Final

import strawberry
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Text,
    any_,
    case,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import JSONB

from cdp import tables
from cdp.identity.ledger import is_undone
from schema.declare import Declared, enumeration
from schema.edges import Arguments, Branch, Leaf, Many, One, Row, Scene, column, planned, row_of
from schema.ids import global_id
from schema.objects import numbers
from schema.scalars import DateTime
from schema.types.decision import IdentityDecision
from schema.types.identity import SourceProfile, profiles_among
from schema.types.node import Node
from schema.types.records import profile_array, upper

MergeEventKind: Declared = enumeration(
    "MergeEventKind",
    "What an entry of the ledger tells.",
    {"MERGED": "Two customers became one.", "SPLIT": "One customer became two."},
)

NOT_IDENTIFIERS: Final = ("similarity", "decision")
"""Kinds of evidence whose value is made of numbers of our own, and so nothing personal."""


# What it rests on -----------------------------------------------------------------------------


def _evidence(event: Row, _: Arguments) -> Branch:
    pieces = func.jsonb_to_recordset(event.table.c.evidence).table_valued(
        sql_column("kind", Text),
        sql_column("value", Text),
        sql_column("weight", Double),
        sql_column("profileIds", JSONB),
    )
    rows = pieces.render_derived(name="evidence", with_types=True)
    query = select().select_from(rows).order_by(rows.c.kind, rows.c.value)
    return Branch("MergeEvidence", Row(rows, "merge_evidence", event.scene), query)


def _value(evidence: Row) -> ColumnElement[Any]:
    is_number = evidence.table.c.kind.in_(NOT_IDENTIFIERS)
    return case((is_number, evidence.table.c.value), else_=evidence["value"])


def _tied(evidence: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    tied = profile.c.id.in_(numbers(evidence.table.c.profileIds))
    return profiles_among(tied, profile, evidence.scene)


def _deciding(evidence: Row) -> Branch:
    decision = tables.identity_decision.alias()
    number = case((evidence.table.c.kind == "decision", cast(evidence.table.c.value, BigInteger)))
    query = select().select_from(decision).where(decision.c.id == number)
    return Branch("IdentityDecision", row_of(decision, evidence.scene), query)


@strawberry.type(
    description="A reason why source profiles are one: an identifier that they share, how alike"
    " they are, or what a person decided."
)
class MergeEvidence:
    """One piece of what a change rests on."""

    kind: str = column(
        "kind",
        "Of a shared identifier its kind, such as `email`; `similarity` of two profiles that a"
        " model found alike; `decision` of a person.",
    )
    value: str | None = planned(
        Leaf(_value),
        "The identifier, normalised: personal, and null for a role that is masked. Of `similarity`"
        " the numbers of the two profiles, of `decision` that of the decision.",
    )
    weight: float | None = column(
        "weight",
        "Of `similarity`: the binary logarithm of the odds that they are one, so that 10 stands for"
        " about a thousand to one. Null of all others.",
    )
    source_profiles: list[SourceProfile] = planned(
        Many(_tied), "The source profiles that it ties together; at most 250."
    )
    decision: IdentityDecision | None = planned(
        One(_deciding), "Of `decision`: who decided, and why. Null of all others."
    )


# The entries ----------------------------------------------------------------------------------


def _moved(event: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    moved = profile.c.id == any_(event.table.c.profile_ids)
    return profiles_among(moved, profile, event.scene)


def _others(event: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    others = profile.c.id == any_(event.table.c.other_ids)
    return profiles_among(others, profile, event.scene)


def _decision(event: Row) -> Branch:
    decision = tables.identity_decision.alias()
    query = select().select_from(decision).where(decision.c.id == event.table.c.decision_id)
    return Branch("IdentityDecision", row_of(decision, event.scene), query)


def _undone(event: Row) -> Branch:
    earlier = tables.merge_event.alias()
    query = select().select_from(earlier).where(earlier.c.id == event.table.c.undoes_event_id)
    return Branch("MergeEvent", row_of(earlier, event.scene), query)


def _customer_id(name: str) -> Leaf:
    return Leaf(lambda row: global_id("Customer", row.table.c[name]))


_MergeEvent = Annotated["MergeEvent", strawberry.lazy(__name__)]


@strawberry.type(description="One entry of the ledger: who joined or parted, when, and why.")
class MergeEvent(Node):
    """A row of merge_event."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("MergeEvent", row.table.c.id)),
        "Opaque and lasting: give it to `undoMerge`.",
    )
    at: DateTime = column("at", "When it happened.")
    kind: MergeEventKind = planned(upper("kind"), "Whether they joined or parted.")
    customer_id: strawberry.ID = planned(
        _customer_id("customer_id"), "The customer whose the profiles are since then."
    )
    from_customer_id: strawberry.ID = planned(
        _customer_id("from_customer_id"),
        "The customer whose they were before. After a merge it leads to the survivor.",
    )
    profiles: list[SourceProfile] = planned(
        Many(_moved), "The source profiles that moved; at most 250."
    )
    others: list[SourceProfile] = planned(
        Many(_others), "Those that they joined, or left behind; at most 250."
    )
    evidence: list[MergeEvidence] = planned(
        Many(_evidence), "What ties them, or no longer does; at most 250 pieces."
    )
    decision: IdentityDecision | None = planned(
        One(_decision), "The decision of a person that did it; null where the rules alone did."
    )
    undoes: _MergeEvent | None = planned(
        One(_undone), "The earlier event that this one undoes; null where it undoes none."
    )
    is_undone: bool = planned(
        Leaf(lambda row: is_undone(row.table)),
        "Whether it was taken back: by a later event, or with the decision that made it.",
    )
    rule_version: int = column("rule_version", "The version of `identityRules` that decided.")
    actor: str = column("actor", "Who did it: `system`, the name of an API key, `local` or `cli`.")
    reason: str | None = column("reason", "Why, in words. Personal: null for a masked role.")


def _history(customer: Row, _: Arguments) -> Branch:
    event = tables.merge_event.alias()
    mine = any_(profile_array(customer))
    query = (
        select()
        .select_from(event)
        .where(or_(event.c.customer_id == mine, event.c.from_customer_id == mine))
        .order_by(event.c.at.desc(), event.c.id.desc())
    )
    return Branch("MergeEvent", row_of(event, customer.scene), query)


def find_event(scene: Scene, wanted: FromClause) -> Branch:
    """Entries of the ledger by their number."""
    event = tables.merge_event.alias()
    query = select().select_from(event, wanted).where(event.c.id == wanted.c.part_0)
    return Branch("MergeEvent", row_of(event, scene), query)


HISTORY: Final = Many(_history)
