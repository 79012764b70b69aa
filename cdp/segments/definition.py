"""Saving segments: what may be saved, and what becomes due by it. In the caller's transaction."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from graphlib import CycleError
from typing import Any, Final

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import BadInput
from cdp.filters import read_filter
from cdp.identity.normalise import fold
from cdp.operands import read_text
from cdp.query import present
from cdp.remap import moment_of
from cdp.segments.segment import (
    MAX_SEGMENTS,
    Segment,
    define,
    get_segment,
    in_order,
    list_segments,
    segment_of,
)
from cdp.traits.trait import Scope
from cdp.values import Json
from cdp.workspace import Workspace

DEFINITION_LOCK: Final = 7_365_005  # any number, the same for all who save
MAX_NAME: Final = 100  # characters
MAX_SLUG: Final = 63  # characters: fits a file's name and a column's
MAX_DESCRIPTION: Final = 2_000  # characters
MAX_FILTER: Final = 100_000  # characters of its JSON

_SLUG: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TABLE: Final = tables.segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a person says of a segment. `filter`: a CustomerFilter as JSON, None for a static list.

    `slug`: made of the name where none is given. `owner`: who makes it.
    """

    name: str
    filter: object
    slug: str | None = None
    description: str = ""
    owner: str | None = None


async def create_segment(
    connection: AsyncConnection, draft: Draft, workspace: Workspace
) -> Segment:
    """Save a new segment; the next refresh finds its members.

    Raises BadInput: for a name that is none, a slug that is taken, and a filter that cannot be read
    or names a segment that there is not.
    """
    known = await _turn(connection, workspace)
    name = _name(draft.name)
    slug = slug_of(name) if draft.slug is None else draft.slug
    if not _SLUG.fullmatch(slug) or len(slug) > MAX_SLUG:
        raise BadInput(
            f"{slug[:80]!r} is no slug.",
            todo=f"Small letters, digits and dashes, at most {MAX_SLUG}: big-spenders.",
            path="slug",
        )
    if slug in known.segments:
        raise BadInput(
            f"There is a segment {slug!r} already.", todo="Choose another slug.", path="slug"
        )
    if len(known.segments) >= MAX_SEGMENTS:
        raise BadInput(f"There are {MAX_SEGMENTS} segments.", todo="Delete one that nobody uses.")
    values = {
        "slug": slug,
        "name": name,
        "description": _description(draft.description),
        "owner": draft.owner,
        **known.definition(slug, draft.filter),
    }
    rows = await connection.execute(_TABLE.insert().values(values).returning(_TABLE))
    return segment_of(rows.one())


async def update_segment(
    connection: AsyncConnection,
    slug: str,
    workspace: Workspace,
    *,
    name: str | None = None,
    description: str | None = None,
    filter_: object = None,
) -> Segment:
    """Change what is given; what is None stays. Another filter is evaluated by the next refresh.

    Raises NotFound, and BadInput as `create_segment`, also where the segment would come to name
    itself, or where it is a static list and a filter is given.
    """
    known = await _turn(connection, workspace)
    segment = await get_segment(connection, slug)
    values: dict[str, Any] = {"updated_at": func.now()}
    if name is not None:
        values["name"] = _name(name)
    if description is not None:
        values["description"] = _description(description)
    if filter_ is not None:
        if segment.is_static:
            raise BadInput(f"{slug!r} is a static list.", todo="Change its members.", path="filter")
        values |= known.definition(slug, filter_)
        await _mark_due(connection, known.with_users(slug))
    changed = update(_TABLE).where(_TABLE.c.id == segment.id).values(values).returning(_TABLE)
    return segment_of((await connection.execute(changed)).one())


async def delete_segment(connection: AsyncConnection, slug: str, workspace: Workspace) -> None:
    """Delete a segment; the next refresh empties it, and its history stays.

    Raises NotFound, and BadInput while another segment names it.
    """
    known = await _turn(connection, workspace)
    segment = await get_segment(connection, slug)
    users = sorted(user for user, names in known.names.items() if slug in names)
    if users:
        raise BadInput(
            f"{slug!r} is named by the segment {users[0]!r}.", todo="Change or delete that first."
        )
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.id == segment.id)
        .values(archived_at=func.now(), due_at=func.clock_timestamp(), due_cause="segment deleted")
    )


def slug_of(name: str) -> str:
    """A slug made of a name: its letters without their marks, its words joined by dashes."""
    return "-".join(fold(name).split())[:MAX_SLUG].strip("-")


def plain_json(given: object) -> Json:
    """A filter as JSON can hold it: decimals as text. Raises BadInput for what is no JSON."""
    try:
        text = json.dumps(given, default=_decimal_text)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"The filter is not JSON: {error}.", path="filter") from None
    if len(text) > MAX_FILTER:
        raise BadInput(f"The filter has over {MAX_FILTER} characters.", path="filter")
    plain: Json = json.loads(text)
    return plain


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


@dataclass(frozen=True, slots=True)
class _Known:
    """All segments by slug, and of each the slugs that it names; no other writer changes them."""

    segments: Mapping[str, Segment]
    names: Mapping[str, Collection[str]]
    scope: Scope
    workspace: Workspace

    def definition(self, slug: str, given: object) -> dict[str, Any]:
        """The columns of a filter, found good. Raises BadInput."""
        if given is None:
            return {"filter": None, "is_personal": False}
        plain = plain_json(given)
        try:
            read = read_filter(plain, self.scope, workspace=self.workspace, may_see_personal=True)
        except BadInput as error:
            path = f"filter.{error.path}".rstrip(".")
            raise BadInput(error.message, todo=error.todo, path=path) from None
        unknown = sorted(read.segments - self.names.keys() - {slug})
        if unknown:
            raise BadInput(
                f"There is no segment {unknown[0][:80]!r}.",
                todo="Read the list of segments.",
                path="filter.segments",
            )
        try:
            in_order({**self.names, slug: read.segments})
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise BadInput(
                f"The segment would come to name itself: {circle}.",
                todo="Leave one of them out.",
                path="filter.segments",
            ) from None
        return {"filter": plain, "is_personal": read.is_personal}

    def with_users(self, slug: str) -> Collection[str]:
        """The slug, and those of all segments that name it, however far away."""
        found = {slug}
        for each in in_order(self.names):
            if found & set(self.names[each]):
                found.add(each)
        return found


async def _turn(connection: AsyncConnection, workspace: Workspace) -> _Known:
    """What there is, after whoever else was saving; held until the transaction ends."""
    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({DEFINITION_LOCK})")
    segments = await list_segments(connection)
    scope = present(await moment_of(connection), workspace)
    names = {
        one.segment.slug: one.filter.segments if one.filter is not None else frozenset[str]()
        for one in define(segments, scope, workspace)
    }
    return _Known({one.slug: one for one in segments}, names, scope, workspace)


async def _mark_due(connection: AsyncConnection, slugs: Collection[str]) -> None:
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.slug.in_(slugs), _TABLE.c.archived_at.is_(None))
        .values(due_at=func.clock_timestamp(), due_cause="definition changed")
    )


def _name(text: str) -> str:
    name = read_text(text, "name").strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BadInput(
            f"{name[:40]!r} is no name.", todo=f"1 to {MAX_NAME} characters, one line.", path="name"
        )
    return name


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION or "\0" in text:
        raise BadInput(
            "That is no description.",
            todo=f"Write up to {MAX_DESCRIPTION} characters.",
            path="description",
        )
    return text.strip()
