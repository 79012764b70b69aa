"""Sources as the database knows them: their rows, their checkpoints, their runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

from sqlalchemy import Row, Select, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.delivery import Checkpoint
from cdp.errors import BadInput, NotFound
from cdp.tables import checkpoint, source, sync_run
from cdp.values import Json, RunId, SourceId

RunStatus: TypeAlias = Literal["running", "ok", "partial", "failed"]

SOURCE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A name travels in addresses (`/hooks/NAME`) and in identifier kinds (`external:NAME`)."""

PLATFORM: Final = "platform"
"""The name, and the connector, of the source whose records the platform itself writes."""

PUSHED: Final = "push"
"""The connector of a source that nobody reads: its records are handed to the platform."""

MAX_ERROR = 2_000  # characters kept of a run's error


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A configured source. `settings` may hold secrets: never show it as it is."""

    id: SourceId
    name: str
    connector: str
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a source; `finished_at` is null while it runs."""

    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    counts: Mapping[str, int]
    error: str | None


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source stands.

    `state` is that of its last run, or `new` before the first. `cursors` has the place of each
    stream that was ever read. `read_up_to` is the start of the last run that ended ok or partial:
    what happened after it is not known yet; null before there was one, or where another account is
    to be read anew.
    """

    id: SourceId
    name: str
    connector: str
    state: str
    cursors: Mapping[str, Json]
    read_up_to: datetime | None
    last_run: Run | None

    def lag_seconds(self, as_of: datetime) -> float | None:
        """Seconds since the source was last read to its end; null before that."""
        return None if self.read_up_to is None else (as_of - self.read_up_to).total_seconds()


async def add_source(
    connection: AsyncConnection, name: str, connector: str, settings: Mapping[str, str]
) -> SourceRow:
    """Configure a source; one that was removed comes back with its records and checkpoints.

    Raises BadInput for a name that is taken, or was another connector's, or is the platform's own.
    """
    if name == PLATFORM:
        raise BadInput(f"{name!r} is what the platform calls itself.", todo="Choose another name.")
    if not SOURCE_NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not a name for a source.",
            todo="Use up to 63 letters, digits, dots, hyphens and underscores.",
        )
    former = (
        await connection.execute(select(source).where(source.c.name == name).with_for_update())
    ).one_or_none()
    if former is not None and (former.removed_at is None or former.connector != connector):
        raise BadInput(
            f"There is a source {name!r} already ({former.connector}).",
            todo="Choose another name, or remove it first with cdp source remove.",
        )
    values = {"connector": connector, "settings": dict(settings), "removed_at": None}
    row = await connection.execute(
        insert(source)
        .values(name=name, **values)
        .on_conflict_do_update(
            index_elements=["name"], set_=values, where=source.c.removed_at.is_not(None)
        )
        .returning(source)
    )
    stored = row.one_or_none()
    if stored is None:
        raise BadInput(f"There is a source {name!r} already.", todo="Choose another name.")
    return _source(stored)


async def removed_settings(connection: AsyncConnection, name: str) -> Mapping[str, str] | None:
    """The settings under which a source was known before it was removed; None where none was."""
    found = await connection.execute(
        select(source.c.settings).where(source.c.name == name, source.c.removed_at.is_not(None))
    )
    return cast("Mapping[str, str] | None", found.scalar_one_or_none())


async def begin_anew(connection: AsyncConnection, source_id: SourceId) -> None:
    """Forget where each list was left: the next sync reads all of them from their start.

    A run that is under way is fenced off.
    """
    await connection.execute(
        update(checkpoint)
        .where(checkpoint.c.source_id == source_id)
        .values(cursor=null(), epoch=checkpoint.c.epoch + 1)
    )


async def find_source(connection: AsyncConnection, name: str) -> SourceRow | None:
    """The source of that name; None where there is none, or it was removed."""
    row = (await connection.execute(_present().where(source.c.name == name))).one_or_none()
    return None if row is None else _source(row)


async def get_source(connection: AsyncConnection, name: str) -> SourceRow:
    """The source of that name. Raises NotFound naming those that there are."""
    row = await find_source(connection, name)
    if row is None:
        names = ", ".join(each.name for each in await list_sources(connection))
        raise NotFound(
            f"There is no source {name!r}.",
            todo=f"There are: {names}." if names else "Add one with cdp source add.",
        )
    return row


async def list_sources(connection: AsyncConnection) -> list[SourceRow]:
    """Every source that was not removed, in the order in which they were added."""
    return [_source(row) for row in await connection.execute(_present().order_by(source.c.id))]


async def remove_source(connection: AsyncConnection, name: str) -> None:
    """Take a source out of syncs; its records and checkpoints stay. Raises NotFound."""
    row = await get_source(connection, name)
    await connection.execute(
        update(source).where(source.c.id == row.id).values(removed_at=func.now())
    )


async def platform_source(connection: AsyncConnection) -> SourceId:
    """The platform's own source: nothing syncs it, so that it counts as removed."""
    await connection.execute(
        insert(source)
        .values(name=PLATFORM, connector=PLATFORM, removed_at=func.now())
        .on_conflict_do_nothing()
    )
    found = await connection.execute(select(source.c.id).where(source.c.name == PLATFORM))
    return SourceId(found.scalar_one())


async def take_checkpoint(
    connection: AsyncConnection, source_id: SourceId, stream: str
) -> Checkpoint:
    """Where to resume, under a new epoch: whoever holds an older one is fenced off from now on."""
    statement = insert(checkpoint).values(source_id=source_id, stream=stream, epoch=1)
    row = await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source_id", "stream"],
            set_={"epoch": checkpoint.c.epoch + 1},
        ).returning(checkpoint.c.cursor, checkpoint.c.epoch)
    )
    cursor, epoch = row.one()
    return Checkpoint(stream, cursor, epoch)


async def start_run(connection: AsyncConnection, source_id: SourceId) -> RunId:
    """Note that a run begins. One that still counts as running was killed, or is overtaken now."""
    await connection.execute(
        update(sync_run)
        .where(sync_run.c.source_id == source_id, sync_run.c.status == "running")
        .values(
            status="failed",
            finished_at=func.clock_timestamp(),
            error="It did not end by itself: it was killed, or a later run took its place.",
        )
    )
    row = await connection.execute(
        insert(sync_run)
        .values(source_id=source_id, started_at=func.clock_timestamp())
        .returning(sync_run.c.id)
    )
    return RunId(row.scalar_one())


async def record_progress(
    connection: AsyncConnection, run_id: RunId, counts: Mapping[str, int]
) -> None:
    """Note how far a run has come."""
    await connection.execute(
        update(sync_run).where(sync_run.c.id == run_id).values(counts=dict(counts))
    )


async def finish_run(
    connection: AsyncConnection,
    run_id: RunId,
    status: RunStatus,
    counts: Mapping[str, int],
    error: str | None = None,
) -> None:
    """Note how a run ended."""
    await connection.execute(
        update(sync_run)
        .where(sync_run.c.id == run_id)
        .values(
            status=status,
            counts=dict(counts),
            error=None if error is None else error[:MAX_ERROR],
            finished_at=func.clock_timestamp(),
        )
    )


async def source_states(connection: AsyncConnection) -> list[SourceState]:
    """How every source stands, in the order in which they were added; one statement."""
    last_run = (
        select(sync_run)
        .where(sync_run.c.source_id == source.c.id)
        .order_by(sync_run.c.started_at.desc(), sync_run.c.id.desc())
        .limit(1)
        .lateral("last_run")
    )
    read_up_to = (
        select(func.max(sync_run.c.started_at))
        .where(sync_run.c.source_id == source.c.id, sync_run.c.status.in_(("ok", "partial")))
        .scalar_subquery()
    )
    cursors = (
        select(func.jsonb_object_agg(checkpoint.c.stream, checkpoint.c.cursor))
        .where(checkpoint.c.source_id == source.c.id)
        .scalar_subquery()
    )
    rows = await connection.execute(
        select(
            source.c.id,
            source.c.name,
            source.c.connector,
            cursors.label("cursors"),
            read_up_to.label("read_up_to"),
            last_run.c.started_at,
            last_run.c.finished_at,
            last_run.c.status,
            last_run.c.counts,
            last_run.c.error,
        )
        .select_from(source.outerjoin(last_run, literal(value=True)))
        .where(source.c.removed_at.is_(None))
        .order_by(source.c.id)
    )
    return [_state(row) for row in rows]


def _present() -> Select[*tuple[Any, ...]]:
    return select(source).where(source.c.removed_at.is_(None))


def _source(row: Row[*tuple[Any, ...]]) -> SourceRow:
    return SourceRow(SourceId(row.id), row.name, row.connector, row.settings)


def _state(row: Row[*tuple[Any, ...]]) -> SourceState:
    run = (
        None
        if row.started_at is None
        else Run(row.started_at, row.finished_at, row.status, row.counts, row.error)
    )
    cursors = cast("Mapping[str, Json]", row.cursors or {})
    begins_anew = bool(cursors) and all(cursor is None for cursor in cursors.values())
    return SourceState(
        SourceId(row.id),
        row.name,
        row.connector,
        "new" if run is None else run.status,
        cursors,
        None if begins_anew else row.read_up_to,
        run,
    )
