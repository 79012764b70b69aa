"""Records that could not be taken: looked at, tried again once they can be, or dismissed."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Row, Select, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.delivery import Batch, Delivery, Received, Refused
from cdp.errors import BadInput, NotFound
from cdp.ingest import apply
from cdp.sources import get_source
from cdp.tables import dead_letter, source
from cdp.unheard import refuse_unheard
from cdp.values import Json, SourceId
from cdp.workspace import Workspace, take_turn

MAX_RETRIED: Final = 5_000  # in one transaction; whoever has more goes on with the next


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be taken.

    `key` is null where the record did not tell it; `path` is the column at fault, empty where none
    is; `resolved_at` is when a retry took it, its record came anew and was taken, or a person
    dismissed it; null while it lies here. `dismissed_by` and `dismissed_reason` are null but for
    the last.
    """

    id: int
    source_id: SourceId
    source: str
    connector: str
    stream: str
    key: str | None
    place: str
    reason: str
    path: str
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    dismissed_by: str | None
    dismissed_reason: str | None
    payload: Json


Reader: TypeAlias = Callable[[DeadLetter], Sequence[Delivery]]
"""Maps a kept payload once more, as its source's connector would."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a letter cannot be taken; `path` is the column at fault, empty where none is."""

    path: str
    reason: str

    def __str__(self) -> str:
        """For people, in one line."""
        return f"{self.path}: {self.reason}" if self.path else self.reason


@dataclass(slots=True)
class Retried:
    """What became of the letters: how many were taken, and why the others were not, by id."""

    taken: int = 0
    refused: dict[int, Refusal] = field(default_factory=dict)


_UNMAPPED: Final = Refusal("", "Nothing in the map holds for this row.")


async def list_letters(
    connection: AsyncConnection,
    *,
    source_name: str | None = None,
    stream: str | None = None,
    since: datetime | None = None,
    after_id: int = 0,
    limit: int,
    is_resolved_too: bool = False,
) -> list[DeadLetter]:
    """Letters in the order of their ids; `since` keeps those that were seen then or later."""
    statement = _letters().where(dead_letter.c.id > after_id)
    if source_name is not None:
        statement = statement.where(source.c.name == source_name)
    if stream is not None:
        statement = statement.where(dead_letter.c.stream == stream)
    if since is not None:
        statement = statement.where(dead_letter.c.last_seen_at >= since)
    if not is_resolved_too:
        statement = statement.where(dead_letter.c.resolved_at.is_(None))
    rows = await connection.execute(statement.order_by(dead_letter.c.id).limit(limit))
    return [_letter(row) for row in rows]


async def get_letters(connection: AsyncConnection, ids: Iterable[int]) -> list[DeadLetter]:
    """The letters of these ids, in their order. Raises NotFound naming the first that is none."""
    wanted = sorted(set(ids))
    rows = await connection.execute(
        _letters().where(dead_letter.c.id.in_(wanted)).order_by(dead_letter.c.id)
    )
    found = [_letter(row) for row in rows]
    missing = next(iter(set(wanted) - {letter.id for letter in found}), None)
    if missing is not None:
        raise NotFound(
            f"There is no dead letter {missing}.", todo="See cdp deadletter list --resolved."
        )
    return found


async def retry_letters(
    connection: AsyncConnection,
    letters: Sequence[DeadLetter],
    workspace: Workspace,
    read: Reader,
) -> Retried:
    """Read the letters again and apply those that can be taken now, in the caller's transaction.

    A letter gives all its deliveries or none; one that is refused tells the newest reason. One that
    was taken before is left as it is; one that was dismissed is tried, and lies here again where it
    is refused.
    """
    outcome = Retried()
    untaken = [one for one in letters if one.resolved_at is None or one.dismissed_by is not None]
    taken: dict[SourceId, list[Received]] = defaultdict(list)
    taken_ids: list[int] = []
    for letter in untaken[:MAX_RETRIED]:
        deliveries = [
            refuse_unheard(each, workspace.region) if isinstance(each, Received) else each
            for each in read(letter)
        ]
        received = [each for each in deliveries if isinstance(each, Received)]
        refusal = _refusal(deliveries)
        if refusal is None and received:
            taken[letter.source_id].extend(received)
            taken_ids.append(letter.id)
        else:
            outcome.refused[letter.id] = refusal or _UNMAPPED
    # One batch after another holds the locks of both: only who is alone cannot meet another so.
    await take_turn(connection, alone=len(taken) > 1)
    for source_id, received in taken.items():
        await apply(connection, Batch(source_id, received), workspace)
    await _note(connection, taken_ids, outcome.refused)
    outcome.taken = len(taken_ids)
    return outcome


async def dismiss_letters(
    connection: AsyncConnection,
    actor: str,
    reason: str,
    *,
    ids: Collection[int] = (),
    source_name: str | None = None,
    stream: str | None = None,
) -> int:
    """Close letters that nobody will ever take; how many were closed. `reason` is for people.

    Those of the ids, else all that the names tell of. One that is resolved already, or that a batch
    is about to resolve, is left as it is: so this waits for nobody. Raises NotFound for an id or a
    source that is none, and BadInput where nothing is named.
    """
    if bool(ids) == (source_name is not None or stream is not None):
        raise BadInput(
            "Which dead letters are dismissed is not told.",
            todo="Give their ids, or --source, --stream or both.",
        )
    letter = dead_letter.c
    which = select(letter.id).where(letter.resolved_at.is_(None))
    if ids:
        await get_letters(connection, ids)
        which = which.where(letter.id.in_(ids))
    if source_name is not None:
        owner = await get_source(connection, source_name)
        which = which.where(letter.source_id == owner.id)
    if stream is not None:
        which = which.where(letter.stream == stream)
    closed = await connection.execute(
        update(dead_letter)
        .where(letter.id.in_(which.with_for_update(skip_locked=True)))
        .values(
            resolved_at=func.clock_timestamp(),
            dismissed_by=actor,
            dismissed_reason=reason,
        )
    )
    return closed.rowcount


def _refusal(deliveries: Sequence[Delivery]) -> Refusal | None:
    """Why not all of them can be stored; None where they can."""
    for delivery in deliveries:
        one = delivery
        if isinstance(one, Refused):
            return Refusal(one.path, one.reason)
    return None


async def _note(
    connection: AsyncConnection, taken_ids: Sequence[int], refused: Mapping[int, Refusal]
) -> None:
    tried = [*taken_ids, *refused]
    if not tried:
        return
    columns = dead_letter.c
    await connection.execute(
        update(dead_letter)
        .where(columns.id.in_(tried))
        .values(
            attempts=columns.attempts + 1,
            last_seen_at=func.clock_timestamp(),
            resolved_at=case((columns.id.in_(taken_ids), func.clock_timestamp())),
            dismissed_by=None,
            dismissed_reason=None,
        )
    )
    if refused:
        told = [
            {"letter": letter_id, "path": one.path, "reason": one.reason}
            for letter_id, one in refused.items()
        ]
        await connection.execute(update(dead_letter).where(columns.id == bindparam("letter")), told)


def _letters() -> Select[Any]:
    columns = dead_letter.c
    return select(
        columns.id,
        columns.source_id,
        source.c.name.label("source"),
        source.c.connector,
        columns.stream,
        columns.key,
        columns.place,
        columns.reason,
        columns.path,
        columns.attempts,
        columns.first_seen_at,
        columns.last_seen_at,
        columns.resolved_at,
        columns.dismissed_by,
        columns.dismissed_reason,
        columns.payload,
    ).join_from(dead_letter, source)


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(**row._mapping)  # noqa: SLF001 (the documented way to a row's names)
