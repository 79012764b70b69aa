"""How segments overlap: a row for each pair."""

import strawberry
from sqlalchemy import select

from cdp.segments.overlap import MAX_COMPARED, overlap_query
from schema.edges import Arguments, Branch, Roots, Row, Scene, argument, column, planned
from schema.types.segment import permitted


@strawberry.type(description="How many customers are in both of two segments.")
class SegmentOverlap:
    """A row of an overlap."""

    left: str = column("left", "The slug of the one.")
    right: str = column("right", "The slug of the other; the same one for a segment by itself.")
    count: int = column("count", "How many are in both.")


def _overlap(scene: Scene, arguments: Arguments) -> Branch:
    permitted(scene)
    found = overlap_query(arguments.now("slugs")).subquery()
    query = select().select_from(found).order_by(found.c.left, found.c.right)
    return Branch("SegmentOverlap", Row(found, "segment_overlap", scene), query)


SEGMENT_OVERLAP = planned(
    Roots(_overlap),
    "Of each pair of segments how many customers are in both; each pair once, and each segment with"
    " itself. Not for the role frontend.",
    [argument("slugs", list[str], f"The segments, at most {MAX_COMPARED}.")],
)
