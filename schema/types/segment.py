"""Segments: what each is, who is in it, who came and went, and what a filter would hold for."""

from typing import Any, Final

import strawberry
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    FromClause,
    Select,
    Text,
    any_,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
)

from cdp import tables
from cdp.errors import BadInput, Forbidden
from cdp.filters import predicate
from cdp.segments.preview import SAMPLE_SIZE, preview_query
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Page,
    Root,
    Row,
    Scene,
    Slice,
    argument,
    column,
    is_given,
    planned,
    row_of,
)
from schema.feeds import Feed
from schema.filters import filter_json
from schema.ids import Whole, cursor, decode_cursor, global_id, row_id
from schema.pages import COUNT_PRICE
from schema.scalars import DateTime, Json
from schema.traits import CustomerFilter
from schema.types.connection import FORWARD, LATE, connection
from schema.types.customer import (
    CUSTOMERS_ARGUMENTS,
    Customer,
    CustomerConnection,
    customers_among,
)
from schema.types.membership import segment_of
from schema.types.node import Node

# Changes --------------------------------------------------------------------------------------

SegmentChangeKind: Declared = enumeration(
    "SegmentChangeKind",
    "What became of a customer in a segment.",
    {"ENTERED": "Is in it from then on.", "EXITED": "Is in it no longer."},
)


def _changed_customer(change: Row) -> Branch:
    customer = tables.scored_customer.alias()
    query = select().select_from(customer).where(customer.c.id == change.table.c.customer_id)
    return Branch("Customer", row_of(customer, change.scene), query)


def _id_of(name: str) -> Leaf:
    """A customer's id, also of one who is no more."""
    return Leaf(lambda row: global_id("Customer", row.table.c[name]))


_CHANGES: Final = "segment-changes"


def _cursor(change: Row) -> ColumnElement[str]:
    return cursor(_CHANGES, change.table.c.id)


def _number(text: str) -> int:
    """The number of the change at which a cursor stands. Raises BadInput."""
    number: int = decode_cursor(text, _CHANGES, (Whole,))[0]
    return number


@strawberry.type(description="That a customer entered or left a segment.")
class SegmentChange:
    """A row of segment_change."""

    segment: "Segment" = planned(One(segment_of), "The segment.")
    kind: SegmentChangeKind = column("kind", "Entered, or left.")
    at: DateTime = column("at", "When the platform found it.")
    cause: str = column(
        "cause",
        "Why. Somebody has changed: `ingest`, `loyalty`, `consent`, `list changed`, `clock`,"
        " `merged into`, `merged with`, `split from`, `identity` (decided otherwise), `erased`."
        " Everybody was looked at: `segment created`, `definition changed`, `segment deleted`,"
        " `settings changed`, `rules changed`, `scored`, `refresh`. More may come.",
    )
    customer_id: strawberry.ID = planned(
        _id_of("customer_id"), "Who it was, also where they have been merged since."
    )
    customer: Customer | None = planned(
        One(_changed_customer), "The customer; null where there is none of that id any more."
    )
    other_customer_id: strawberry.ID | None = planned(
        _id_of("other_id"), "Whom they merged with or parted from; null for other causes."
    )
    cursor: str = planned(
        Leaf(_cursor), "Where it stands in the feed: give it as `after` to go on from there."
    )


SegmentChangeConnection: Declared = connection(
    "SegmentChange", SegmentChange, "A page of changes, in the order in which they were found."
)


def _changes(segment: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    """The feed, oldest first: who keeps the last cursor misses nothing, and sees nothing twice."""
    assert segment is not None
    change = tables.segment_change.alias()
    whole = select().select_from(change).where(change.c.segment_id == segment.table.c.id)
    after = arguments.later("after", BigInteger(), _number)
    page = whole if after is None else whole.where(change.c.id > after)
    return Slice(
        branches=[Branch("SegmentChange", row_of(change, scene), page.order_by(change.c.id))],
        size=arguments.page_size(),
        order=lambda _: (),
        cursor=lambda branch: _cursor(branch.row),
        total=lambda: whole.add_columns(func.count()).correlate_except(change).scalar_subquery(),
        is_inner=after is not None,
    )


def _segment_id(text: str) -> int:
    return row_id(text, "Segment", "segmentId")


def _told(scene: Scene, arguments: Arguments, after: ColumnElement[int]) -> Branch:
    """The same feed after a number, while the segment lives."""
    number = arguments.later("segmentId", BigInteger(), _segment_id)
    assert number is not None, "the argument is required"
    segment, change = tables.segment.alias(), tables.segment_change.alias()
    query = (
        select()
        .select_from(change)
        .where(
            change.c.segment_id == number,
            change.c.id > after,
            exists().where(segment.c.id == number, _lives(segment)),
        )
        .order_by(change.c.id)
    )
    return Branch("SegmentChange", row_of(change, scene), query)


SEGMENT_CHANGES: Final = planned(
    Feed(
        _told,
        number=lambda change: change.row.table.c.id,
        source=lambda given: _segment_id(given["segmentId"]),
        start=lambda given: _number(given["after"]) if given.get("after") is not None else None,
    ),
    "Who enters and leaves a segment, each as soon as it is found. Whoever keeps the `cursor` of"
    " the last change and comes back with it as `after` misses nothing, and sees nothing twice."
    " Ends with NOT_FOUND once the segment is deleted.",
    (
        argument("segment_id", strawberry.ID, "The segment's id."),
        argument(
            "after",
            str | None,
            "The cursor of a change, from here or from `Segment.changes`: what came after it is"
            " told first. Without it, what is found from now on.",
        ),
    ),
    {"segmentId": is_given, "after": is_given},
)


# Segments -------------------------------------------------------------------------------------


def _members(segment: FromClause) -> Select[Any]:
    """The ids of who is in a segment."""
    member = tables.segment_membership.alias()
    query = select(member.c.customer_id).where(
        member.c.segment_id == segment.c.id, member.c.exited_at.is_(None)
    )
    return query.correlate_except(member)


def _member_count(segment: Row) -> ColumnElement[int]:
    return _members(segment.table).with_only_columns(func.count()).scalar_subquery()


def _filter(segment: Row) -> ColumnElement[Any]:
    """The filter, or null where it names personal data and the viewer is masked."""
    whole = segment.table.c.filter
    if not segment.scene.viewer.is_masked:
        return whole
    return case((segment.table.c.is_personal, null()), else_=whole)


def _customers(segment: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    assert segment is not None
    table = segment.table
    return customers_among(scene, arguments, lambda row: [row.table.c.id.in_(_members(table))])


@strawberry.type(
    description="A named filter of customers, or a named list of them. Who is in it is found anew"
    " within seconds after records arrive; `evaluatedAt` tells when everybody was looked at last."
)
class Segment(Node):
    """A row of segment."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("Segment", row.table.c.id)), "Opaque and lasting."
    )
    slug: str = column("slug", "Its name in filters, files and exports.")
    name: str = column("name", "Its name for people.")
    description: str = column("description", "What it is for.")
    owner: str | None = column("owner", "Who made it; null for those that came ready.")
    is_static: bool = planned(
        Leaf(lambda row: row.table.c.filter.is_(None)), "Whether it is a list that people keep."
    )
    filter: Json | None = planned(
        Leaf(_filter),
        "The CustomerFilter, ids of customers in it as plain numbers; null for a static list. Null"
        " for a role that is masked where it names personal data.",
    )
    created_at: DateTime = column("created_at", "When it was made.")
    updated_at: DateTime = column("updated_at", "When a person changed it last.")
    evaluated_at: DateTime | None = column(
        "evaluated_at", "When everybody was looked at last; null before the first time."
    )
    error: str | None = column(
        "error",
        "Why it cannot be evaluated any more; null while it can. Its members stay; another filter"
        " has it tried again.",
    )
    member_count: int = planned(
        Leaf(_member_count, COUNT_PRICE),
        "How many customers are in it, counted. Members come with the next refresh, within seconds:"
        " of a new segment, be it a filter or a list, it is 0 while `evaluatedAt` is null.",
    )
    customers: CustomerConnection = planned(
        Page(_customers), "Who is in it, filtered, sorted and in pages.", CUSTOMERS_ARGUMENTS
    )
    changes: SegmentChangeConnection = planned(
        Page(_changes),
        "Who came and went, oldest first: keep the last cursor, and go on from there.",
        FORWARD,
        LATE,
    )


SegmentConnection: Declared = connection("Segment", Segment, "A page of segments, by slug.")

_SEGMENTS = "segments"


def _lives(segment: FromClause) -> ColumnElement[bool]:
    return segment.c.archived_at.is_(None)


def _segments(_: Row | None, scene: Scene, arguments: Arguments) -> Slice:
    segment = tables.segment.alias()
    whole = select().select_from(segment).where(_lives(segment))
    after = arguments.later("after", Text(), lambda text: decode_cursor(text, _SEGMENTS, (str,))[0])
    page = whole if after is None else whole.where(segment.c.slug > after)
    return Slice(
        branches=[Branch("Segment", row_of(segment, scene), page.order_by(segment.c.slug))],
        size=arguments.page_size(),
        order=lambda _: (),
        cursor=lambda _: cursor(_SEGMENTS, segment.c.slug),
        total=lambda: whole.add_columns(func.count()).correlate_except(segment).scalar_subquery(),
        is_inner=after is not None,
    )


def _segment(scene: Scene, arguments: Arguments) -> Branch:
    number = arguments.later("id", BigInteger(), lambda text: row_id(text, "Segment"))
    slug = arguments.later("slug", Text(), lambda text: text)
    if (number is None) == (slug is None):
        raise BadInput("segment takes one argument.", todo="Give either id or slug.")
    segment = tables.segment.alias()
    wanted = segment.c.id == number if number is not None else segment.c.slug == slug
    query = select().select_from(segment).where(wanted, _lives(segment))
    return Branch("Segment", row_of(segment, scene), query)


def find_segment(scene: Scene, wanted: FromClause) -> Branch:
    """Segments by their number."""
    segment = tables.segment.alias()
    query = (
        select()
        .select_from(segment, wanted)
        .where(segment.c.id == wanted.c.part_0, _lives(segment))
    )
    return Branch("Segment", row_of(segment, scene), query)


SEGMENT: Final = Root(_segment)
SEGMENTS: Final = Page(_segments)

# Previews -------------------------------------------------------------------------------------


def permitted(scene: Scene) -> None:
    """Whether the viewer may try filters and look into segments. Raises Forbidden."""
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not preview segments.")


def _preview(scene: Scene, arguments: Arguments) -> Branch:
    permitted(scene)
    row = row_of(tables.scored_customer.alias(), scene)
    condition = predicate(
        filter_json(arguments.now("filter")),
        row.scope,
        workspace=scene.workspace,
        may_see_personal=scene.viewer.may_see_personal,
    )
    # The fence keeps PostgreSQL from counting anew wherever a count is mentioned.
    found = preview_query(condition, row.scope).offset(literal_column("0")).subquery()
    return Branch("SegmentPreview", Row(found, "preview", scene), select().select_from(found))


def _percentage(row: Row) -> ColumnElement[Any]:
    total = func.nullif(row.table.c.total, 0)
    return cast(row.table.c.count, Float) * 100 / total


def _sample(row: Row, _: Arguments) -> Branch:
    customer = tables.scored_customer.alias()
    shown = customer.c.id == any_(row.table.c.sample)
    query = select().select_from(customer).where(shown).order_by(customer.c.id)
    return Branch("Customer", row_of(customer, row.scene), query)


@strawberry.type(description="What a filter would hold for, if it were saved now.")
class SegmentPreview:
    """The row of a preview."""

    count: int = planned(
        Leaf(lambda row: row.table.c.count, COUNT_PRICE), "For how many customers it holds, exact."
    )
    percentage: float | None = planned(
        Leaf(_percentage, COUNT_PRICE), "Of all customers; null where there are none."
    )
    sample: list[Customer] = planned(Many(_sample), f"Some of them, at most {SAMPLE_SIZE}, by id.")


PREVIEW: Final = Root(_preview, reads_all=True)
PREVIEW_ARGUMENTS: Final = (argument("filter", CustomerFilter, "Which customers."),)

SEGMENT_ARGUMENTS: Final = (
    argument("id", strawberry.ID | None, "The segment's id."),
    argument("slug", str | None, "The segment's slug."),
)
