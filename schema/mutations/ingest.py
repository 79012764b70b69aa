"""`ingest`: a system hands its records over, those of one stream at a time."""

from collections.abc import Mapping
from dataclasses import asdict
from operator import attrgetter
from typing import Any, Final

import strawberry
from sqlalchemy import Integer, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.pushed import changes_money, push
from schema.deeds import Caller, Deed, Outcome, deed
from schema.edges import Arguments, Branch, Many, Row, Value, column, planned
from schema.mutations.decision import Columns
from schema.objects import items
from schema.scalars import Json
from schema.types.payload import USER_ERRORS, UserError

_COUNTS: Final = ("new", "changed", "unchanged", "stale", "deleted", "refused", "merged")
_COLUMNS: Final[Columns] = {**dict.fromkeys(_COUNTS, Integer()), "refusals": JSONB()}


@strawberry.input(description="Records of one stream of one source.")
class IngestInput:
    """What `push` takes."""

    source: str = strawberry.field(
        description="Whose records these are. A source of that name is configured if there is none;"
        " one that a connector or a file tells of is refused."
    )
    stream: str = strawberry.field(description="The canonical stream, such as `customers`.")
    records: list[Json] = strawberry.field(
        description="Objects with the stream's columns; any other column is kept as an attribute."
        " At most 250. A record sent again changes nothing."
    )


def _refusals(payload: Row, _: Arguments) -> Branch:
    columns: Columns = {"index": Integer(), "path": Text(), "reason": Text()}
    listed = items(payload.table.c["refusals"], columns)
    query = select().select_from(listed).order_by(listed.c.position)
    return Branch("IngestRefusal", Row(listed, "ingest_refusal", payload.scene), query)


@strawberry.type(description="A record that could not be taken: it lies in the dead letters.")
class IngestRefusal:
    """An item of the payload's refusals."""

    index: int = column("index", "Its place among the records, from 0.")
    path: str = column("path", "The column at fault; empty where it is none.")
    reason: str = column("reason", "What is wrong with it.")


@strawberry.type(
    description="What became of the records. Those that can be taken are, whatever the others are"
    " like; all counts are null where nothing was done."
)
class IngestPayload:
    """The payload."""

    new: int | None = column("new", "Records that were not known.")
    changed: int | None = column("changed", "Known ones of which this is a newer version.")
    unchanged: int | None = column("unchanged", "Those that said nothing new.")
    stale: int | None = column("stale", "Older versions than the known one: kept as history.")
    deleted: int | None = column("deleted", "Records that are gone by it.")
    refused: int | None = column("refused", "Those that could not be taken.")
    merged: int | None = column("merged", "How often a source profile changed its customer.")
    refusals: list[IngestRefusal] = planned(Many(_refusals), "Why, one by one; at most 250.")
    errors: list[UserError] = USER_ERRORS


async def _ingest(
    connection: AsyncConnection, given: Mapping[str, Value], caller: Caller
) -> Outcome:
    records: list[Any] = given["records"]
    pushed = await push(connection, given["source"], given["stream"], records, caller.workspace)
    counts = {name: getattr(pushed.applied, name) for name in _COUNTS}
    return Outcome({**counts, "refusals": [asdict(one) for one in pushed.refusals]})


def _is_alone(given: Mapping[str, Value]) -> bool:
    return changes_money(given["stream"])


INGEST: Final = deed(
    Deed(_ingest, _COLUMNS, attrgetter("may_ingest"), _is_alone),
    IngestInput,
    "Hand records over: stored, resolved and folded when it answers; segments and scores follow."
    " For the roles connector and admin.",
)
