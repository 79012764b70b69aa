"""Who comes and who goes: the difference of two sets of pairs, stored and told in one statement."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    all_,
    and_,
    any_,
    case,
    column,
    func,
    insert,
    literal_column,
    select,
    true,
    union_all,
    update,
)

from cdp.tables import segment_change, segment_membership, source_profile

ENTERED: Final = "ENTERED"
EXITED: Final = "EXITED"

_MEMBER: Final = segment_membership

Reason: TypeAlias = Callable[
    [FromClause], tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]
]
"""Of rows with `segment_id` and `customer_id`: those with what they are joined to, the cause in
words, and whom that speaks of.
"""


@dataclass(frozen=True, slots=True)
class Moves:
    """How many customers entered a segment and how many left it."""

    entered: int
    exited: int

    def __add__(self, other: "Moves") -> "Moves":
        """Of two statements together."""
        return Moves(self.entered + other.entered, self.exited + other.exited)


def place_of(name: str) -> ColumnElement[Any]:
    """Where a row of the table of that name lies."""
    return literal_column(f"{name}.ctid")


def settled(apart: FromClause, reason: Reason, at: ColumnElement[Any]) -> Select[Any]:
    """One row, how many entered and how many left, of the statement that has them do so.

    `apart`: who enters or leaves what, of `within`; `reason`: why. The feed tells of it segment by
    segment, as if they had been looked at one after another.
    """
    moves = _moves(apart, reason)
    enters, leaves = moves.c.place.is_(None), moves.c.place.is_not(None)
    places = select(moves.c.place).where(leaves).scalar_subquery()
    left = (
        update(_MEMBER)
        .where(place_of("segment_membership") == any_(func.array(places)))
        .values(exited_at=at)
        .cte("left_now")
    )
    # A customer's memberships lie together, and an index that is filled in its order costs half.
    entries = (
        select(moves.c.segment_id, moves.c.customer_id, at)
        .where(enters)
        .order_by(moves.c.customer_id, moves.c.segment_id)
    )
    entered = (
        insert(_MEMBER)
        .from_select(["segment_id", "customer_id", "entered_at"], entries)
        .cte("entered_now")
    )
    # Segment by segment, in each those who enter first. By two numbers and not three: each but the
    # first is taken out of the row whenever it is compared, which is most of what a sort takes. So
    # that the index of an empty feed is filled from its beginning to its end.
    turn = 2 * moves.c.segment_id + case((enters, 0), else_=1)
    kind = case((enters, ENTERED), else_=EXITED)
    changes = select(
        moves.c.segment_id, moves.c.customer_id, kind, at, moves.c.cause, moves.c.other_id
    ).order_by(turn, moves.c.customer_id)
    told = (
        insert(segment_change)
        .from_select(
            ["segment_id", "customer_id", "kind", "at", "cause", "other_id"],
            changes,
        )
        .cte("told_of")
    )
    counts: list[ColumnElement[Any]] = [func.count().filter(each) for each in (enters, leaves)]
    return select(*counts).add_cte(left, entered, told)


def within(looked_at: FromClause) -> FromClause:
    """One row per pair that is in one of both alone: `segment_id`, `customer_id`, `place`.

    `place` is that of the membership; null for who enters. `leaver`: the customer if it may be
    nobody any more. `looked_at` (`id`, and lists): the segments that hold for each customer
    (`answers`), and those that they are in (`held`), with the `places`. For most of them both are
    the same, whatever the order. `is_nobody`: there is no such customer any more.
    """
    answers, held = looked_at.c.answers, looked_at.c.held
    answer = func.unnest(answers).column_valued("answer")
    member = (
        func.unnest(held, looked_at.c.places)
        .table_valued(column("segment_id", Integer), column("place"))
        .render_derived("member")
    )
    nowhere: ColumnElement[Any] = literal_column("NULL::tid")
    entering = select(answer.label("segment_id"), nowhere.label("place")).where(
        answer != all_(held)
    )
    leaving = select(member.c.segment_id, member.c.place).where(
        member.c.segment_id != all_(answers)
    )
    change = union_all(entering, leaving).lateral("change").c
    is_settled = and_(answers.bool_op("@>")(held), held.bool_op("@>")(answers))
    return (
        select(
            change.segment_id,
            looked_at.c.id.label("customer_id"),
            change.place,
            case((looked_at.c.is_nobody, looked_at.c.id)).label("leaver"),
        )
        .select_from(looked_at.join(change.segment_id.table, true()))
        .where(~is_settled)
        .subquery("apart")
    )


def _moves(apart: FromClause, reason: Reason) -> CTE:
    """One row per change: what became of whom, and why."""
    told, cause, other_id = reason(apart)
    bearer = _bearer(apart)
    is_merged = bearer.c.customer_id != apart.c.leaver
    is_erased = apart.c.leaver.is_not(None) & bearer.c.customer_id.is_(None)
    return (
        select(
            apart.c.segment_id,
            apart.c.customer_id,
            apart.c.place,
            case((is_erased, "erased"), (is_merged, "merged into"), else_=cause).label("cause"),
            case((is_merged, bearer.c.customer_id), else_=other_id).label("other_id"),
        )
        .select_from(told.outerjoin(bearer, true()))
        .cte("moves")
    )


def _bearer(apart: FromClause) -> FromClause:
    """Who bears the id of one who leaves: whoever is nobody any more left by being merged."""
    profile = source_profile.alias("bearer_profile")
    return (
        select(profile.c.customer_id)
        # Without the first of these the index would be asked for each who enters too.
        .where(apart.c.leaver.is_not(None), profile.c.id == apart.c.leaver)
        .correlate(apart)
        .offset(literal_column("0"))  # looked up for each who leaves, not among all profiles
        .lateral("bearer")
    )
