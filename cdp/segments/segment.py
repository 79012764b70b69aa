"""A stored segment: read from the database, and its definition as a condition on customers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Final

from sqlalchemy import ColumnElement, Row, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.clauses import Filter
from cdp.clock import Clock
from cdp.errors import BadInput, NotFound
from cdp.filters import read_filter
from cdp.traits.trait import Scope
from cdp.values import Json
from cdp.workspace import Workspace

MAX_SEGMENTS: Final = 500  # of one workspace: each is looked at whenever a customer is touched

_TABLE: Final = tables.segment


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of `segment`. `filter`: a CustomerFilter as JSON; None for a static list.

    `due_at`: when it is to be evaluated as a whole, and `due_cause` why; None where time alone
    changes nothing. `error`: why it cannot be evaluated any more.
    """

    id: int
    slug: str
    name: str
    description: str
    owner: str | None
    filter: Json
    is_personal: bool
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    evaluated_at: datetime | None
    due_at: datetime | None
    due_cause: str
    error: str | None

    @property
    def is_static(self) -> bool:
        """Whether it is a list that people keep."""
        return self.filter is None


async def list_segments(
    connection: AsyncConnection, *, is_archived_too: bool = False
) -> Sequence[Segment]:
    """All segments by slug; `is_archived_too`: also deleted ones that have yet to be emptied."""
    lives = _TABLE.c.archived_at.is_(None)
    wanted = lives | _TABLE.c.due_at.is_not(None) if is_archived_too else lives
    rows = await connection.execute(select(_TABLE).where(wanted).order_by(_TABLE.c.slug))
    return [segment_of(row) for row in rows]


async def get_segment(connection: AsyncConnection, slug: str) -> Segment:
    """The segment of that slug. Raises NotFound."""
    return await _get(connection, _TABLE.c.slug == slug, repr(slug[:80]))


async def segment_by_id(
    connection: AsyncConnection, segment_id: int, path: str | None = None
) -> Segment:
    """The segment of that number. Raises NotFound, for `path`."""
    return await _get(connection, _TABLE.c.id == segment_id, str(segment_id), path)


async def _get(
    connection: AsyncConnection, wanted: ColumnElement[bool], named: str, path: str | None = None
) -> Segment:
    rows = await connection.execute(select(_TABLE).where(wanted, _TABLE.c.archived_at.is_(None)))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(
            f"There is no segment {named}.", todo="Read the list of segments.", path=path
        )
    return segment_of(row)


def segment_of(row: Row[tuple[object, ...]]) -> Segment:
    """A row of the table."""
    return Segment(**row._mapping)  # noqa: SLF001  the public name of a row's columns


def definition_of(segment: Segment, scope: Scope, workspace: Workspace) -> Filter:
    """Whom it holds for. Raises BadInput where its filter names what there is no more."""
    if segment.is_static:
        return _listed(segment, scope)
    return read_filter(segment.filter, scope, workspace=workspace, may_see_personal=True)


def _listed(segment: Segment, scope: Scope) -> Filter:
    """Those who are made of a source profile on the list."""
    entry, profile = tables.segment_list_entry.alias(), tables.source_profile.alias()
    condition = exists(
        select(entry.c.source_profile_id)
        .join(profile, profile.c.id == entry.c.source_profile_id)
        .where(entry.c.segment_id == segment.id, profile.c.customer_id == scope.customer.c.id)
        .correlate(scope.customer)
    )
    return Filter(condition, (), Clock(), frozenset())


@dataclass(frozen=True, slots=True)
class Defined:
    """A segment with its definition; None where that cannot be read any more."""

    segment: Segment
    filter: Filter | None
    error: str | None


def define(segments: Iterable[Segment], scope: Scope, workspace: Workspace) -> Sequence[Defined]:
    """The segments with their definitions, each after those that it names."""
    found: dict[str, Defined] = {}
    for segment in segments:
        try:
            read = definition_of(segment, scope, workspace)
            found[segment.slug] = Defined(segment, read, None)
        except BadInput as error:
            found[segment.slug] = Defined(segment, None, str(error))
    return [found[slug] for slug in in_order({slug: _names(one) for slug, one in found.items()})]


def in_order(named: Mapping[str, Iterable[str]]) -> Sequence[str]:
    """Slugs, each after those that it names. Raises graphlib.CycleError."""
    known = {slug: sorted(name for name in names if name in named) for slug, names in named.items()}
    return list(TopologicalSorter(known).static_order())


def _names(defined: Defined) -> Iterable[str]:
    return () if defined.filter is None else defined.filter.segments
