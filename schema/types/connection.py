"""Relay's connections: a page of a list, its edges, and where it ends."""

from typing import Final

import strawberry
from strawberry.types.arguments import StrawberryArgument

from schema.declare import Declared, declare
from schema.edges import Part, argument, is_given, planned


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = planned(
        Part(), "Whether there is more after this page. Going backward: whether `before` was given."
    )
    has_previous_page: bool = planned(
        Part(), "Whether there is more before this page. Going forward: whether `after` was given."
    )
    start_cursor: str | None = planned(Part(), "The cursor of the first row; null without any.")
    end_cursor: str | None = planned(
        Part(),
        "The cursor of the last row; null without any. Give it as `after` for the next page.",
    )


def connection(name: str, node: Declared, doc: str) -> Declared:
    """The connection type of a list of `node`, called `NAMEConnection`, and its edge type."""
    edge: Declared = declare(
        strawberry.type,
        f"{name}Edge",
        f"One row of a {name}Connection, and where it stands.",
        {
            "cursor": (str, planned(Part(), "Where the row stands: give it as `after`.")),
            "node": (node, planned(Part(), "The row itself.")),
        },
    )
    return declare(
        strawberry.type,
        f"{name}Connection",
        doc,
        {
            "edges": (list[edge], planned(Part(), "The rows of this page, with their cursors.")),
            "nodes": (list[node], planned(Part(), "The rows of this page.")),
            "page_info": (PageInfo, planned(Part(), "Where this page stands in the list.")),
            "total_count": (
                int,
                planned(Part(), "How many rows the whole list has. Dear: ask only if you show it."),
            ),
        },
    )


FORWARD: tuple[StrawberryArgument, ...] = (
    argument("first", int | None, "How many rows at most; 25 unless told. Your role has a limit."),
    argument("after", str | None, "The cursor after which the page begins."),
)
"""The arguments of a list that is read newest first."""

LATE: Final = {"after": is_given}
"""The cursor of such a list is bound late."""
