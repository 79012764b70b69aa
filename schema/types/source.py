"""Sources: what is connected, how fresh it is, and how its last run went."""

from typing import Any

import strawberry
from sqlalchemy import (
    ColumnElement,
    Float,
    FromClause,
    Select,
    Text,
    cast,
    extract,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from strawberry.types.info import Info

from cdp import tables
from cdp.errors import Forbidden
from schema.context import Context
from schema.declare import Declared, enumeration
from schema.edges import (
    EDGE,
    Arguments,
    Branch,
    Leaf,
    Loaded,
    One,
    Row,
    Scene,
    column,
    planned,
    row_of,
)
from schema.ids import global_id
from schema.scalars import DateTime, Json
from schema.types.node import Node
from schema.types.records import upper

SourceState: Declared = enumeration(
    "SourceState",
    "How a source, or one of its runs, stands.",
    {
        "NEW": "It never ran.",
        "RUNNING": "It runs now, or was killed and has not run since.",
        "OK": "Its last run took everything.",
        "PARTIAL": "Its last run ended well, with records that it could not take.",
        "FAILED": "Its last run ended early.",
    },
)


def _run(source: Row) -> tuple[FromClause, Select[Any]]:
    """The last run of a source."""
    run = tables.sync_run.alias()
    query = (
        select()
        .select_from(run)
        .where(run.c.source_id == source.table.c.id)
        .order_by(run.c.started_at.desc(), run.c.id.desc())
        .limit(1)
    )
    return run, query


def _last_run(source: Row) -> Branch:
    run, query = _run(source)
    return Branch("SyncRun", row_of(run, source.scene), query)


def _state(source: Row) -> ColumnElement[str]:
    run, query = _run(source)
    status = query.add_columns(run.c.status).correlate_except(run).scalar_subquery()
    return func.upper(func.coalesce(status, "new"), type_=Text)


def _cursor(source: Row) -> ColumnElement[Any]:
    if source.scene.viewer.is_masked:
        return null()
    place = tables.checkpoint.alias()
    cursors = (
        select(func.jsonb_object_agg(place.c.stream, place.c.cursor))
        .where(place.c.source_id == source.table.c.id)
        .correlate_except(place)
        .scalar_subquery()
    )
    return func.coalesce(cursors, literal_column("'{}'::jsonb", JSONB))


def _lag(source: Row) -> ColumnElement[float]:
    run = tables.sync_run.alias()
    read_up_to = (
        select(func.max(run.c.started_at))
        .where(run.c.source_id == source.table.c.id, run.c.status.in_(("ok", "partial")))
        .correlate_except(run)
        .scalar_subquery()
    )
    return cast(extract("epoch", source.scene.as_of - read_up_to), Float)


@strawberry.type(description="One run of a source.")
class SyncRun:
    """A row of sync_run."""

    state: SourceState = planned(upper("status"), "How it stands, or how it ended.")
    started_at: DateTime = column("started_at", "When it began.")
    finished_at: DateTime | None = column("finished_at", "When it ended; null while it runs.")
    counts: Json = column("counts", "How many records of each outcome: new, changed, refused, ...")
    error: str | None = column(
        "error",
        "What stopped it, in one sentence; null if nothing did. It may quote the source: null for a"
        " role that is masked.",
    )


async def _dead_letters(root: dict[str, Any], info: Info[Context, None]) -> int:
    return await info.context.dead_letter_count_by_source.load(root["deadLetterCount:key"])


@strawberry.type(description="A system outside that is read, or that sends us records.")
class Source(Node):
    """A row of source."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("Source", row.table.c.id)), "Opaque and lasting."
    )
    name: str = column("name", "The name that it was given when it was added.")
    connector: str = column("connector", "What reads it, such as `shopify` or `file`.")
    state: SourceState = planned(Leaf(_state), "How its last run stands.")
    cursor: Json | None = planned(
        Leaf(_cursor),
        "Where each of its streams resumes: stream to place. A place may name a record: null for a"
        " role that is masked.",
    )
    lag_seconds: float | None = planned(
        Leaf(_lag), "Seconds since it was last read to its end; null before that."
    )
    last_run: SyncRun | None = planned(One(_last_run), "Its latest run; null before the first.")
    dead_letter_count: int = strawberry.field(
        resolver=_dead_letters,
        description="How many of its records could not be taken and wait for a person.",
        metadata={EDGE: Loaded(lambda row: row.table.c.id)},
    )


def _permitted(scene: Scene) -> None:
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read sources.")


def sources(scene: Scene, _: Arguments) -> Branch:
    """Every source that was not removed, in the order in which they were added."""
    _permitted(scene)
    source = tables.source.alias()
    query = select().select_from(source).where(source.c.removed_at.is_(None)).order_by(source.c.id)
    return Branch("Source", row_of(source, scene), query)


def find_source(scene: Scene, wanted: FromClause) -> Branch:
    """Sources by their number, removed ones too."""
    _permitted(scene)
    source = tables.source.alias()
    query = select().select_from(source, wanted).where(source.c.id == wanted.c.part_0)
    return Branch("Source", row_of(source, scene), query)
