"""What a person decided about source profiles: that they are one, or that they are not."""

from typing import Final

import strawberry
from sqlalchemy import ColumnElement, FromClause, and_, case, distinct, exists, func, or_, select

from cdp import tables
from cdp.identity.evidence import Verdict
from schema.declare import Declared, enumeration
from schema.edges import Arguments, Branch, Leaf, Many, Row, Scene, column, planned, row_of
from schema.ids import global_id
from schema.scalars import DateTime
from schema.types.identity import SourceProfile
from schema.types.node import Node
from schema.types.records import profiles_of, upper

DecisionKind: Declared = enumeration(
    "DecisionKind",
    "What was decided of two sets of source profiles.",
    {
        "SAME": "All of them are one person.",
        "NOT_SAME": "Nobody on the left is the same person as anybody on the right.",
        "SPLIT": "Left and right are two people, each of them whole.",
    },
)
DecisionAction: Declared = enumeration(
    "DecisionAction",
    "By what a person decided.",
    {
        "MERGE": "`mergeCustomers`.",
        "SPLIT": "`splitCustomer`.",
        "UNDO": "`undoMerge`.",
        "REVIEW": "`decideMatch`.",
    },
)


def _members(decision: Row, side: str) -> Branch:
    member, profile = tables.decision_member.alias(), tables.source_profile.alias()
    query = (
        select()
        .select_from(member.join(profile, profile.c.id == member.c.source_profile_id))
        .where(member.c.decision_id == decision.table.c.id, member.c.side == side)
        .order_by(profile.c.id)
    )
    return Branch("SourceProfile", row_of(profile, decision.scene), query)


def _customers(decision: Row, *sides: str) -> ColumnElement[int]:
    """How many customers the profiles of some sides are now."""
    member, profile = tables.decision_member.alias(), tables.source_profile.alias()
    found = (
        select(func.count(distinct(profile.c.customer_id)))
        .select_from(member.join(profile, profile.c.id == member.c.source_profile_id))
        .where(member.c.decision_id == decision.table.c.id, member.c.side.in_(sides))
    )
    return found.correlate_except(member, profile).scalar_subquery()


def _do_meet(decision: Row) -> ColumnElement[bool]:
    """Whether anybody of the one side is the same customer as anybody of the other."""
    left, right = tables.decision_member.alias(), tables.decision_member.alias()
    one, other = tables.source_profile.alias(), tables.source_profile.alias()
    pairs = (
        select(1)
        .select_from(
            left.join(one, one.c.id == left.c.source_profile_id)
            .join(right, right.c.decision_id == left.c.decision_id)
            .join(other, other.c.id == right.c.source_profile_id)
        )
        .where(
            left.c.decision_id == decision.table.c.id,
            left.c.side == "left",
            right.c.side == "right",
            one.c.customer_id == other.c.customer_id,
        )
    )
    return exists(pairs.correlate_except(left, right, one, other))


def _is_overruled(decision: Row) -> ColumnElement[bool]:
    """Whether the map from source profile to customer contradicts a decision that still holds."""
    contradicts = case(
        (decision.table.c.kind == Verdict.SAME.value, _customers(decision, "left", "right") > 1),
        (
            decision.table.c.kind == Verdict.SPLIT.value,
            or_(
                _customers(decision, "left") > 1,
                _customers(decision, "right") > 1,
                _do_meet(decision),
            ),
        ),
        else_=_do_meet(decision),
    )
    return and_(decision.table.c.retracted_at.is_(None), contradicts)


@strawberry.type(
    description="What a person decided about source profiles. It binds: only a later decision that"
    " contradicts it weighs more."
)
class IdentityDecision(Node):
    """A row of identity_decision."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("IdentityDecision", row.table.c.id)), "Opaque and lasting."
    )
    kind: DecisionKind = planned(upper("kind"), "What was decided.")
    action: DecisionAction = planned(upper("action"), "By what.")
    at: DateTime = column("at", "When it was decided.")
    actor: str = column("actor", "Who decided: the name of an API key, `local` or `cli`.")
    reason: str | None = column("reason", "Why, in words. Personal: null for a masked role.")
    retracted_at: DateTime | None = column(
        "retracted_at", "When it was taken back, as by undoing a merge; null while it holds."
    )
    retracted_by: str | None = column("retracted_by", "Who took it back; null while it holds.")
    is_overruled: bool = planned(
        Leaf(_is_overruled),
        "Whether the customers contradict it although it was not taken back: a later decision says"
        " otherwise.",
    )
    left: list[SourceProfile] = planned(
        Many(lambda row, _: _members(row, "left")), "The source profiles of one side; at most 250."
    )
    right: list[SourceProfile] = planned(
        Many(lambda row, _: _members(row, "right")), "Those of the other side; at most 250."
    )


def _decisions(customer: Row, _: Arguments) -> Branch:
    decision, member = tables.identity_decision.alias(), tables.decision_member.alias()
    about = select(member.c.decision_id).where(
        member.c.source_profile_id.in_(profiles_of(customer))
    )
    query = (
        select()
        .select_from(decision)
        .where(decision.c.id.in_(about.correlate_except(member)))
        .order_by(decision.c.at.desc(), decision.c.id.desc())
    )
    return Branch("IdentityDecision", row_of(decision, customer.scene), query)


def find_decision(scene: Scene, wanted: FromClause) -> Branch:
    """Decisions by their number."""
    decision = tables.identity_decision.alias()
    query = select().select_from(decision, wanted).where(decision.c.id == wanted.c.part_0)
    return Branch("IdentityDecision", row_of(decision, scene), query)


DECISIONS: Final = Many(_decisions)
