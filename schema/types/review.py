"""The review queue: two sides that the evidence ties but did not join, for a person to decide."""

from typing import Annotated, Any, Final

import strawberry
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Select,
    Subquery,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from cdp import tables
from cdp.errors import Forbidden
from cdp.identity.evidence import GIVEN_NAME, RELATIVES, SIMILARITY, Verdict
from schema.declare import Declared
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Page,
    Row,
    Scene,
    Slice,
    column,
    planned,
    row_of,
)
from schema.ids import Whole, cursor, decode_cursor, global_id
from schema.objects import items
from schema.scalars import DateTime
from schema.types.connection import FORWARD, LATE, connection
from schema.types.identity import SourceProfile, profiles_among
from schema.types.node import Node
from schema.types.records import customer_of_profile, profile_array


def _permitted(scene: Scene) -> None:
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read reviews.")


# The two sides --------------------------------------------------------------------------------

_Customer = Annotated["Customer", strawberry.lazy("schema.types.customer")]  # type: ignore[name-defined]  # noqa: F821


def _side(name: str) -> One:
    def branch(review: Row) -> Branch:
        table = review.table
        side = (
            select(table.c[f"{name}_id"].label("first_id"), table.c[f"{name}_ids"].label("ids"))
            .correlate(table)
            .subquery()
        )
        return Branch(
            "MatchSide", Row(side, "match_side", review.scene), select().select_from(side)
        )

    return One(branch)


def _customer(side: Row) -> Branch:
    return customer_of_profile(side.table.c.first_id, side.scene)


def _profiles(side: Row, _: Arguments) -> Branch:
    profile = tables.source_profile.alias()
    return profiles_among(profile.c.id == any_(side.table.c.ids), profile, side.scene)


@strawberry.type(description="One of the two sides of a review.")
class MatchSide:
    """Half of a row of match_review."""

    customer: _Customer | None = planned(
        One(_customer),
        "The customer whose these profiles are; null where there are none. Of a value that joins"
        " nobody, for too many bear it, the customer of the first of those who do.",
    )
    source_profiles: list[SourceProfile] = planned(
        Many(_profiles), "The source profiles of this side, oldest first; at most 250."
    )


# The waterfall --------------------------------------------------------------------------------


def _of_pair(review: Row, name: str) -> ColumnElement[Any]:
    """A column of the scored pair that ties the two sides best; null where none was scored."""
    pair = tables.match_pair.alias()
    found = select(pair.c[name]).where(
        pair.c.left_id == review.table.c.pair_left_id,
        pair.c.right_id == review.table.c.pair_right_id,
    )
    return found.correlate_except(pair).scalar_subquery()


def _parts(review: Row) -> Subquery:
    """The comparisons of the scored pair, in the order in which the model made them."""
    return items(_of_pair(review, "parts"), {"name": Text(), "level": Text(), "weight": Double()})


def _comparisons(review: Row, _: Arguments) -> Branch:
    parts = _parts(review)
    query = select().select_from(parts).order_by(parts.c.position)
    return Branch("MatchComparison", Row(parts, "match_comparison", review.scene), query)


@strawberry.type(
    description="One step of the waterfall: what one comparison of two profiles adds to the weight."
)
class MatchComparison:
    """An item of match_pair.parts."""

    name: str = column(
        "name",
        "What is compared, such as `given_name` or `email`. Or what is no comparison: `prior`, how"
        " rare pairs of one person are; `relatives`, how well a relative of the same household"
        " explains the pair; `decided_pairs`, what pairs decided before say of such weights.",
    )
    level: str = column(
        "level",
        "What the comparison found, such as `short form` or `another birth date`; empty where it is"
        " none.",
    )
    weight: float = column(
        "weight", "What it adds, in powers of two: above 0 it speaks for one person, below against."
    )


# What speaks against --------------------------------------------------------------------------


def _differ(review: Row, name: str) -> ColumnElement[bool]:
    """Whether both sides tell an attribute, and no value is on both."""

    def told(side: str) -> Select[str]:
        profile = tables.source_profile.alias()
        told = func.nullif(cast(profile.c[name], Text), "")
        mine = profile.c.id == any_(review.table.c[f"{side}_ids"])
        return select(told.label("told")).where(mine, told.is_not(None)).correlate_except(profile)

    both = exists(told("left").intersect(told("right")))
    return and_(exists(told("left")), exists(told("right")), ~both)


def _is_short_form(review: Row) -> ColumnElement[bool]:
    """Whether the comparison of first names speaks for one person, as of Greg and Gregory."""
    parts = _parts(review)
    return exists(select(1).where(parts.c.name == GIVEN_NAME, parts.c.weight > 0))


def _is_decided(review: Row) -> ColumnElement[bool]:
    """Whether a decision that holds says that the two sides are not one."""
    decision = tables.identity_decision.alias()
    left, right = tables.decision_member.alias(), tables.decision_member.alias()
    return exists(
        select(1)
        .select_from(
            left.join(decision, decision.c.id == left.c.decision_id).join(
                right, right.c.decision_id == decision.c.id
            )
        )
        .where(
            decision.c.kind != Verdict.SAME.value,
            decision.c.retracted_at.is_(None),
            left.c.side != right.c.side,
            left.c.source_profile_id == any_(review.table.c.left_ids),
            right.c.source_profile_id == any_(review.table.c.right_ids),
        )
        .correlate(review.table)
    )


_RELATIVES: Final = "Relatives of one household would be alike too."


def _against(review: Row) -> ColumnElement[Any]:
    """Sentences, those of the sides first, then what weighs against, the heaviest first.

    How rare it is that two are one speaks of everybody, and against nobody.
    """
    told = {
        "A person decided that they are not the same.": _is_decided(review),
        "The first names differ.": and_(_differ(review, "given_key"), ~_is_short_form(review)),
        "The last names differ.": _differ(review, "family_key"),
        "The birth dates differ.": _differ(review, "birth_date"),
    }
    sentences = array([case((holds, literal(text, Text))) for text, holds in told.items()])
    parts = _parts(review)
    said = case(
        (parts.c.name == RELATIVES, _RELATIVES),
        else_=func.concat("The comparison of ", parts.c.name, " says: ", parts.c.level, "."),
    )
    weighed = (
        select(said)
        .where(parts.c.weight < 0, or_(parts.c.level != "", parts.c.name == RELATIVES))
        .order_by(parts.c.weight)
    )
    found = func.array_remove(sentences, null(), type_=ARRAY(Text))
    return func.to_json(func.array_cat(found, func.array(weighed.scalar_subquery())))


# The reviews ----------------------------------------------------------------------------------


@strawberry.type(
    description="A question for a person: are the two sides one? Answer it with `decideMatch`; it"
    " leaves the queue as soon as it is decided, or no longer asks anything."
)
class MatchReview(Node):
    """A row of match_review."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("MatchReview", row.table.c.id)),
        "Opaque: give it to `decideMatch`.",
    )
    kind: str = column(
        "kind",
        "What ties the two sides: the kind of the identifier that both carry, such as `email`;"
        " `similarity` where they are alike; `identifiers` where a source profile carries more of"
        " them than a person can, so that none of them counts.",
    )
    value: str | None = planned(
        Leaf(lambda row: case((row.table.c.kind != SIMILARITY, row["value"]))),
        "The identifier that both carry, normalised; of `identifiers` the profile's source, stream"
        " and key. Personal: null for a role that is masked. Null for `similarity`.",
    )
    reason: str = column("reason", "Why it did not join them, in words.")
    priority: float = column(
        "priority",
        "How much the answer teaches: 1 where nobody knows, 0 where it is hardly a question.",
    )
    probability: float | None = planned(
        Leaf(lambda row: _of_pair(row, "probability")),
        "How likely they are one, by the model, between 0 and 1; null where it compared no two of"
        " them.",
    )
    weight: float | None = planned(
        Leaf(lambda row: _of_pair(row, "weight")),
        "The same as the binary logarithm of the odds: the sum of the waterfall. Null where the"
        " model compared no two of them.",
    )
    left: MatchSide = planned(_side("left"), "The one side.")
    right: MatchSide = planned(
        _side("right"),
        "The other side. Without customer and profiles where the question is not whether two are"
        " one: too much evidence was left out, as `reason` tells.",
    )
    comparisons: list[MatchComparison] = planned(
        Many(_comparisons),
        "The waterfall: what each comparison of the two profiles most alike adds to the weight, in"
        " the order of the model. Empty where the model compared no two of them.",
    )
    against: list[str] = planned(
        Leaf(_against), "What speaks against one person, in words; empty if nothing does."
    )
    opened_at: DateTime = column("opened_at", "When the question first came up.")


MatchReviewConnection: Declared = connection(
    "MatchReview", MatchReview, "A page of the review queue."
)

_TAG: Final = "reviews"
_KEYS: Final = (float, Whole)


def match_reviews(_: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    """The queue: whose answer teaches most comes first, the older first among equals.

    After a cursor come those as open as its review, then those that are less: two ranges of the
    index, however many are equal.
    """
    _permitted(scene)
    priority = arguments.later("after", Double(), lambda text: _decoded(text)[0])
    number = arguments.later("after", BigInteger(), lambda text: _decoded(text)[1])
    whole = tables.match_review.alias()
    branches = [_queue(scene, whole)]
    if priority is not None and number is not None:
        equal, less = tables.match_review.alias(), tables.match_review.alias()
        branches = [
            _queue(scene, equal, equal.c.priority == priority, equal.c.id > number),
            _queue(scene, less, less.c.priority < priority),
        ]
    return Slice(
        branches=branches,
        size=arguments.page_size(),
        order=lambda branch: (branch.row.table.c.priority, -branch.row.table.c.id),
        cursor=lambda branch: cursor(_TAG, branch.row.table.c.priority, branch.row.table.c.id),
        total=lambda: select(func.count()).select_from(whole).scalar_subquery(),
        is_inner=priority is not None,
    )


def _queue(scene: Scene, review: FromClause, *conditions: ColumnElement[bool]) -> Branch:
    query = select().select_from(review).where(*conditions)
    ordered = query.order_by(review.c.priority.desc(), review.c.id)
    return Branch("MatchReview", row_of(review, scene), ordered)


def _decoded(text: str) -> tuple[Any, ...]:
    return decode_cursor(text, _TAG, _KEYS)


def _of_customer(customer: Row, _: Arguments) -> Branch:
    _permitted(customer.scene)
    review = tables.match_review.alias()
    mine = any_(profile_array(customer))
    query = (
        select()
        .select_from(review)
        .where(or_(review.c.left_id == mine, review.c.right_id == mine))
        .order_by(review.c.priority.desc(), review.c.id)
    )
    return Branch("MatchReview", row_of(review, customer.scene), query)


def find_review(scene: Scene, wanted: FromClause) -> Branch:
    """Reviews by their number."""
    _permitted(scene)
    review = tables.match_review.alias()
    query = select().select_from(review, wanted).where(review.c.id == wanted.c.part_0)
    return Branch("MatchReview", row_of(review, scene), query)


REVIEWS: Final = Page(match_reviews)
REVIEWS_ARGUMENTS: Final = FORWARD
REVIEWS_LATE: Final = LATE
CUSTOMER_REVIEWS: Final = Many(_of_customer)
