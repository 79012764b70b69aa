"""Static lists: who is on one, given by customer ids or by identifiers, and who is taken off."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.bearers import spellings
from cdp.errors import BadInput
from cdp.segments.segment import Segment
from cdp.values import ProfileId
from cdp.workspace import Workspace

MAX_MEMBERS: Final = 10_000  # given at once; a longer list comes in parts


@dataclass(frozen=True, slots=True)
class ById:
    """A customer by id; a merged id is its survivor."""

    customer_id: int


@dataclass(frozen=True, slots=True)
class ByIdentifier:
    """Whoever bears an identifier now, else whoever did last; `value` in any spelling."""

    kind: str
    value: str


Named = ById | ByIdentifier


class BadMember(BadInput):
    """One of those who were given names nobody that there could be; `member` is that one."""

    def __init__(self, member: Named, cause: BadInput) -> None:
        """In the words of the cause; its path is within the member."""
        super().__init__(cause.message, todo=cause.todo, path=cause.path)
        self.member = member


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of those who were given: how many were put on or taken off, and the unknown."""

    changed: int
    unknown: Sequence[Named]


async def add_members(
    connection: AsyncConnection, segment: Segment, given: Sequence[Named], workspace: Workspace
) -> Listed:
    """Put customers on a static list; the next refresh makes them members.

    The list keeps a source profile of each: whoever it belongs to later, by a merge or a split, is
    on the list. Raises BadInput for a segment that is no list, and for too many at once;
    BadMember for a kind of identifier that there is not.
    """
    found = await _profiles(connection, segment, given, workspace)
    added = await connection.exec_driver_sql(
        "INSERT INTO segment_list_entry (segment_id, source_profile_id)"
        " SELECT $1, id FROM unnest($2::bigint[]) AS given(id) WHERE NOT EXISTS ("
        "  SELECT FROM segment_list_entry entry"
        "  JOIN source_profile listed ON listed.id = entry.source_profile_id"
        "  JOIN source_profile wanted ON wanted.id = given.id"
        "  WHERE entry.segment_id = $1 AND listed.customer_id = wanted.customer_id)"
        " ON CONFLICT DO NOTHING",
        (segment.id, sorted(set(found.values()))),
    )
    await outbox.note(connection, set(found.values()), "list")
    return Listed(added.rowcount, [one for one in given if one not in found])


async def remove_members(
    connection: AsyncConnection, segment: Segment, given: Sequence[Named], workspace: Workspace
) -> Listed:
    """Take customers off a static list, by whichever of their source profiles they are on it.

    Raises as `add_members`.
    """
    found = await _profiles(connection, segment, given, workspace)
    removed = await connection.exec_driver_sql(
        "DELETE FROM segment_list_entry entry USING source_profile listed, source_profile given"
        " WHERE entry.segment_id = $1 AND given.id = ANY($2::bigint[])"
        " AND listed.customer_id = given.customer_id AND entry.source_profile_id = listed.id",
        (segment.id, sorted(set(found.values()))),
    )
    await outbox.note(connection, set(found.values()), "list")
    return Listed(removed.rowcount, [one for one in given if one not in found])


async def _profiles(
    connection: AsyncConnection, segment: Segment, given: Sequence[Named], workspace: Workspace
) -> Mapping[Named, ProfileId]:
    """A source profile of each customer who was given and is known."""
    if not segment.is_static:
        raise BadInput(f"{segment.slug!r} is no list.", todo="Change its filter.", path="members")
    if len(given) > MAX_MEMBERS:
        raise BadInput(f"{len(given)} members at once; {MAX_MEMBERS} are the most.", path="members")
    ids = [one.customer_id for one in given if isinstance(one, ById)]
    rows = await connection.exec_driver_sql(
        "SELECT id FROM source_profile WHERE id = ANY($1::bigint[])", (ids,)
    )
    found: dict[Named, ProfileId] = {ById(row[0]): ProfileId(row[0]) for row in rows}
    by_kind: dict[str, list[ByIdentifier]] = defaultdict(list)
    for one in given:
        if isinstance(one, ByIdentifier):
            by_kind[one.kind].append(one)
    for kind, named in by_kind.items():
        found |= await _bearers(connection, kind, named, workspace)
    return found


async def _bearers(
    connection: AsyncConnection, kind: str, named: Sequence[ByIdentifier], workspace: Workspace
) -> Mapping[Named, ProfileId]:
    stored = {one: _spellings(one, workspace) for one in named}
    rows = await connection.exec_driver_sql(
        "SELECT DISTINCT ON (i.value) i.value, p.id FROM identifier i"
        " JOIN source_profile p ON p.id = i.source_profile_id"
        " WHERE i.kind = $1 AND i.value = ANY($2::text[]) ORDER BY i.value,"
        " (i.is_current AND p.deleted_at IS NULL) DESC, i.last_seen_at DESC, p.id",
        (kind, sorted({value for values in stored.values() for value in values})),
    )
    bearers = {row.value: ProfileId(row.id) for row in rows}
    return {
        one: bearers[value]
        for one, values in stored.items()
        for value in values
        if value in bearers
    }


def _spellings(one: ByIdentifier, workspace: Workspace) -> Sequence[str]:
    try:
        return spellings(one.kind, one.value, workspace=workspace)
    except BadInput as error:
        raise BadMember(one, error) from None
