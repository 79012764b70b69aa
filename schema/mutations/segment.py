"""`createSegment`, `updateSegment`, `deleteSegment`: what people keep of segments."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import strawberry
from sqlalchemy import Integer, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.errors import BadInput
from cdp.segments.definition import Draft, create_segment, delete_segment, update_segment
from cdp.segments.lists import BadMember, ById, ByIdentifier, Named, add_members, remove_members
from cdp.segments.segment import Segment as StoredSegment
from cdp.segments.segment import segment_by_id
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Branch, One, Row, Value, column, planned, row_of
from schema.filters import filter_json
from schema.ids import row_id
from schema.traits import CustomerFilter
from schema.types.identity import IdentifierInput
from schema.types.payload import USER_ERRORS, UserError
from schema.types.segment import Segment

_COLUMNS: Final[Mapping[str, TypeEngine[Any]]] = {
    "segment_id": Integer(),
    "slug": Text(),
    "unknown": JSONB(),
}

_NAME: Final = "Its name for people, in 1 to 100 characters."
_DESCRIPTION: Final = "What it is for."


@strawberry.input(description="Customers of a static list: by id, by identifier, or both.")
class SegmentMembersInput:
    """At most 10,000 in all, and 250 of each in one operation."""

    customer_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Customers; a merged id is its survivor."
    )
    identifiers: list[IdentifierInput] | None = strawberry.field(
        default=None, description="Whoever bears one of these now, else whoever did last."
    )


@strawberry.input(description="A new segment: a filter, or a static list.")
class CreateSegmentInput:
    """What `create_segment` takes."""

    name: str = strawberry.field(description=_NAME)
    slug: str | None = strawberry.field(
        default=None,
        description="Its name in filters and exports: small letters, digits and dashes, at most"
        " 63; made of the name unless told. It cannot be changed later.",
    )
    description: str | None = strawberry.field(default=None, description=_DESCRIPTION)
    filter: CustomerFilter | None = strawberry.field(
        default=None, description="Whom it holds for; left out: it is a static list."
    )
    members: SegmentMembersInput | None = strawberry.field(
        default=None, description="Who is on the static list."
    )


@strawberry.input(description="A change of a segment: what is left out stays.")
class UpdateSegmentInput:
    """What `update_segment` takes."""

    id: strawberry.ID = strawberry.field(description="The segment.")
    name: str | None = strawberry.field(default=None, description=_NAME)
    description: str | None = strawberry.field(default=None, description=_DESCRIPTION)
    filter: CustomerFilter | None = strawberry.field(
        default=None, description="Whom it holds for from now on."
    )
    add: SegmentMembersInput | None = strawberry.field(
        default=None, description="Who is put on a static list."
    )
    remove: SegmentMembersInput | None = strawberry.field(
        default=None, description="Who is taken off a static list."
    )


@strawberry.input(description="A segment that nobody needs any more.")
class DeleteSegmentInput:
    """What `delete_segment` takes."""

    id: strawberry.ID = strawberry.field(description="The segment.")


def _kept(payload: Row) -> Branch:
    segment = tables.segment.alias()
    query = select().select_from(segment).where(segment.c.id == payload.table.c.segment_id)
    return Branch("Segment", row_of(segment, payload.scene), query)


_SEGMENT: Final = One(_kept)
_UNKNOWN: Final = "Members whom nobody knows, as they were given; the others were taken."


@strawberry.type(
    description="What was made. Its members, those of a list too, come with the next refresh,"
    " within seconds: until then it has none, and its `evaluatedAt` is null."
)
class CreateSegmentPayload:
    """The payload."""

    segment: Segment | None = planned(_SEGMENT, "The segment; null where nothing was done.")
    unknown: list[str] | None = column("unknown", _UNKNOWN)
    errors: list[UserError] = USER_ERRORS


@strawberry.type(
    description="What was changed. Its members, those of a list too, are found anew by the next"
    " refresh, within seconds."
)
class UpdateSegmentPayload:
    """The payload."""

    segment: Segment | None = planned(_SEGMENT, "The segment; null where nothing was done.")
    unknown: list[str] | None = column("unknown", _UNKNOWN)
    errors: list[UserError] = USER_ERRORS


@strawberry.type(description="What was deleted. Whoever was in it leaves within seconds.")
class DeleteSegmentPayload:
    """The payload."""

    slug: str | None = column("slug", "Of the segment that is gone; null where nothing was done.")
    errors: list[UserError] = USER_ERRORS


async def _create(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    if given["filter"] is not None and given["members"] is not None:
        raise BadInput("A segment is a filter or a list.", todo="Give one of them.", path="members")
    draft = Draft(
        name=given["name"],
        slug=given["slug"],
        description=given["description"] or "",
        filter=filter_json(given["filter"]),
        owner=caller.viewer.name,
    )
    made = await create_segment(connection, draft, caller.workspace)
    unknown = await _take(connection, made, given["members"], caller, "members")
    return _outcome(made, unknown)


async def _update(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    segment = await _named(connection, given)
    changed = await update_segment(
        connection,
        segment.slug,
        caller.workspace,
        name=given["name"],
        description=given["description"],
        filter_=filter_json(given["filter"]),
    )
    unknown = await _take(connection, changed, given["add"], caller, "add")
    unknown += await _take(connection, changed, given["remove"], caller, "remove")
    return _outcome(changed, unknown)


async def _delete(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    segment = await _named(connection, given)
    await delete_segment(connection, segment.slug, caller.workspace)
    return Outcome({"slug": segment.slug})


async def _named(connection: AsyncConnection, given: Mapping[str, Value]) -> StoredSegment:
    return await segment_by_id(connection, row_id(given["id"], "Segment", "id"), "id")


async def _take(
    connection: AsyncConnection,
    segment: StoredSegment,
    given: Mapping[str, Value] | None,
    caller: Caller,
    path: str,
) -> list[str]:
    """Put members on a list, or take them off; those whom nobody knows."""
    if given is None:
        return []
    named: dict[Named, str] = {}
    places: dict[Named, str] = {}
    for number, text in enumerate(given["customerIds"] or ()):
        place = f"{path}.customerIds[{number}]"
        named[ById(row_id(text, "Customer", place))] = text
    for number, each in enumerate(given["identifiers"] or ()):
        one = ByIdentifier(each["kind"], each["value"])
        named[one] = f"{one.kind}:{one.value}"
        places[one] = f"{path}.identifiers[{number}]"
    change = remove_members if path == "remove" else add_members
    try:
        listed = await change(connection, segment, list(named), caller.workspace)
    except BadMember as error:
        place = f"{places[error.member]}.{error.path}"
        raise BadInput(error.message, todo=error.todo, path=place) from None
    return [named[one] for one in listed.unknown]


def _outcome(segment: StoredSegment, unknown: Sequence[str]) -> Outcome:
    return Outcome({"segment_id": segment.id, "unknown": unknown})


CREATE_SEGMENT: Final = deed(
    Deed(_create, _COLUMNS),
    CreateSegmentInput,
    "Save a segment. What its filter cannot be, and a segment that comes to name itself, is told in"
    " `errors`.",
)
UPDATE_SEGMENT: Final = deed(
    Deed(_update, _COLUMNS), UpdateSegmentInput, "Change a segment: its words, filter or list."
)
DELETE_SEGMENT: Final = deed(
    Deed(_delete, _COLUMNS),
    DeleteSegmentInput,
    "Delete a segment that no other names. Its history stays; its slug is free again.",
)
