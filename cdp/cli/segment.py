"""`cdp segment`: what segments there are, how one is made and kept, and who is in it and why."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import click
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.cli.session import Session, actor, runs
from cdp.database import Database
from cdp.errors import BadInput
from cdp.filters import parse_filter
from cdp.refresh import follow
from cdp.segments.definition import Draft, create_segment, delete_segment, update_segment
from cdp.segments.lists import (
    MAX_MEMBERS,
    BadMember,
    ById,
    ByIdentifier,
    Listed,
    Named,
    add_members,
    remove_members,
)
from cdp.segments.overlap import MAX_COMPARED, Overlap, overlap
from cdp.segments.preview import preview
from cdp.segments.refresh import Refreshed, mark_due
from cdp.segments.segment import Segment, get_segment, list_segments
from cdp.segments.why import Verdict, why
from cdp.workspace import Workspace
from schema.ids import row_id, whole

SHOWN_UNKNOWN: Final = 5  # of members whom nobody knows; their number is told

_FILTER = click.option("--filter", "filter_text", metavar="JSON", help="A CustomerFilter.")
_NAME = click.option("--name", help="Its name, for people.")
_DESCRIPTION = click.option("--description", help="What it is for.")
Change: TypeAlias = Callable[
    [AsyncConnection, Segment, Sequence[Named], Workspace], Awaitable[Listed]
]
Members: TypeAlias = Mapping[Named, str]
"""Who is given in a file, each with the first line that names them."""

_MEMBERS_HELP = (
    "A file, or - for standard input, with a customer id, an email address or KIND:VALUE a line."
)


@click.group("segment")
def segment() -> None:
    """Segments: stored filters and lists of customers.

    SLUG is the segment's name in filters and exports, such as big-spenders.
    """


@segment.command("list")
@runs
async def list_command(session: Session) -> None:
    """List the segments with the number of their members."""
    async with session.database() as database, database.read_only() as connection:
        found = [
            {**_described(one), "members": await _count(connection, one)}
            for one in await list_segments(connection)
        ]
    lines = [f"{one['members']:>9,}  {one['slug']:<24}{one['name']}" for one in found]
    session.show(found, "\n".join(lines) if lines else "No segments.")


@segment.command("show")
@click.argument("slug")
@runs
async def show_command(session: Session, slug: str) -> None:
    """Show a segment: its filter, when it was evaluated, and how many are in it."""
    async with session.database() as database, database.read_only() as connection:
        found = await get_segment(connection, slug)
        described = {**_described(found), "members": await _count(connection, found)}
    lines = [f"{name}: {_text(value)}" for name, value in described.items() if value is not None]
    session.show(described, "\n".join(lines))


@segment.command("create")
@click.argument("name")
@click.option("--slug", help="Its name in filters and exports (default: made of NAME).")
@_DESCRIPTION
@_FILTER
@click.option("--members", "path", metavar="FILE", help=f"Make a static list. {_MEMBERS_HELP}")
@runs
async def create_command(
    session: Session,
    name: str,
    slug: str | None,
    description: str | None,
    filter_text: str | None,
    path: str | None,
) -> None:
    """Save a segment named NAME, with --filter, or with --members a static list."""
    if (filter_text is None) == (path is None):
        raise BadInput("A segment is a filter or a list.", todo="Give --filter or --members.")
    given = _read_members(path) if path is not None else {}
    draft = Draft(
        name=name,
        slug=slug,
        description=description or "",
        filter=parse_filter(filter_text),
        owner=actor(),
    )
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            made = await create_segment(connection, draft, workspace)
            unknown = await _change(add_members, connection, made, given, workspace)
        await _tell_refreshed(session, database, workspace, made.slug, unknown)


@segment.command("update")
@click.argument("slug")
@_NAME
@_DESCRIPTION
@_FILTER
@click.option("--add", "add_path", metavar="FILE", help=f"Put on a static list. {_MEMBERS_HELP}")
@click.option("--remove", "remove_path", metavar="FILE", help="Take off it: as --add.")
@runs
async def update_command(
    session: Session,
    slug: str,
    name: str | None,
    description: str | None,
    filter_text: str | None,
    add_path: str | None,
    remove_path: str | None,
) -> None:
    """Change what is given of a segment; the rest stays."""
    filter_ = parse_filter(filter_text)
    added = _read_members(add_path) if add_path is not None else {}
    removed = _read_members(remove_path) if remove_path is not None else {}
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            changed = await update_segment(
                connection, slug, workspace, name=name, description=description, filter_=filter_
            )
            unknown = [
                *await _change(add_members, connection, changed, added, workspace),
                *await _change(remove_members, connection, changed, removed, workspace),
            ]
        await _tell_refreshed(session, database, workspace, slug, unknown)


@segment.command("delete")
@click.argument("slug")
@runs
async def delete_command(session: Session, slug: str) -> None:
    """Delete a segment; who was in it stays in its history."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            await delete_segment(connection, slug, workspace)
        await follow(database, workspace)
    session.show({"deleted": slug}, f"Deleted {slug}.")


@segment.command("preview")
@click.option("--filter", "filter_text", required=True, metavar="JSON", help="A CustomerFilter.")
@runs
async def preview_command(session: Session, filter_text: str) -> None:
    """Count for whom a filter would hold, and show some of them."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.read_only() as connection:
            found = await preview(
                connection,
                parse_filter(filter_text),
                workspace,
                datetime.now(UTC),
                may_see_personal=True,
            )
            customer = tables.customer
            rows = await connection.execute(
                select(customer.c.id, customer.c.name, customer.c.email)
                .where(customer.c.id.in_(found.sample))
                .order_by(customer.c.id)
            )
            sample = [dict(row) for row in rows.mappings()]
    share = "" if found.percentage is None else f" ({found.percentage:.1f} %)"
    lines = [f"{found.count:,} of {found.total:,} customers{share}"]
    lines += [f"  {one['id']}  {one['name'] or '-'}  {one['email'] or '-'}" for one in sample]
    shown = {"count": found.count, "percentage": found.percentage, "sample": sample}
    session.show(shown, "\n".join(lines))


@segment.command("why")
@click.argument("slug")
@click.argument("customer", metavar="ID")
@runs
async def why_command(session: Session, slug: str, customer: str) -> None:
    """Tell why a customer is, or is not, in a segment. ID: a number, or GraphQL's global id."""
    customer_id = whole(customer) if customer.isdigit() else row_id(customer, "Customer")
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.read_only() as connection:
            found_segment = await get_segment(connection, slug)
            found = await why(connection, found_segment, customer_id, workspace, datetime.now(UTC))
    if found.is_member:
        standing = f"is in {slug} since {found.entered_at:%Y-%m-%d %H:%M}"
    elif found.exited_at is not None:
        standing = f"left {slug} on {found.exited_at:%Y-%m-%d %H:%M}"
    else:
        standing = f"is not in {slug}"
    lines = [f"Customer {found.customer_id} {standing}.", *_verdicts(found.verdicts)]
    if found_segment.is_static:
        lines.append("It is a static list.")
    session.show(asdict(found), "\n".join(lines))


@segment.command("overlap")
@click.argument("slugs", nargs=-1, metavar="[SLUG]...")
@runs
async def overlap_command(session: Session, slugs: Sequence[str]) -> None:
    """Count who is in both, of each pair of the segments named, or of the first twenty."""
    async with session.database() as database, database.read_only() as connection:
        if slugs:
            names = [(await get_segment(connection, slug)).slug for slug in dict.fromkeys(slugs)]
        else:
            names = [one.slug for one in await list_segments(connection)][:MAX_COMPARED]
        found = await overlap(connection, names)
    shown = [
        {"left": left, "right": right, "count": count} for (left, right), count in found.items()
    ]
    session.show(shown, "\n".join(_table(names, found)))


@segment.command("refresh")
@runs
async def refresh_command(session: Session) -> None:
    """Evaluate every segment as a whole, due or not."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.transaction() as connection:
            await mark_due(connection, "refresh")
        done = await follow(database, workspace)
    session.show(asdict(done), _refreshed(done))


async def _change(
    change: Change,
    connection: AsyncConnection,
    list_: Segment,
    given: Members,
    workspace: Workspace,
) -> list[Named]:
    """Put on the list, or take off it; returns those whom nobody knows."""
    unknown: list[Named] = []
    for part in _parts(list(given)):
        try:
            unknown += (await change(connection, list_, part, workspace)).unknown
        except BadMember as error:
            raise BadInput(f"{given[error.member]}: {error.message}", todo=error.todo) from None
    return unknown


async def _tell_refreshed(
    session: Session,
    database: Database,
    workspace: Workspace,
    slug: str,
    unknown: Sequence[Named],
) -> None:
    await follow(database, workspace)
    async with database.read_only() as connection:
        found = await get_segment(connection, slug)
        count = await _count(connection, found)
    lines = [f"{slug}: {count:,} customers."]
    lines += [f"  nobody is known as {_member_text(one)}" for one in unknown[:SHOWN_UNKNOWN]]
    if len(unknown) > SHOWN_UNKNOWN:
        lines.append(f"  {len(unknown)} in all are not known")
    shown = {**_described(found), "members": count, "unknown": list(map(_member_text, unknown))}
    session.show(shown, "\n".join(lines))


async def _count(connection: AsyncConnection, found: Segment) -> int:
    member = tables.segment_membership
    count = await connection.scalar(
        select(func.count()).where(member.c.segment_id == found.id, member.c.exited_at.is_(None))
    )
    return count or 0


def _described(found: Segment) -> dict[str, object]:
    return {name: value for name, value in asdict(found).items() if name != "archived_at"}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for one in verdicts:
        depth = one.path.count("[") + one.path.count("not.")
        value = "" if one.value is None else f" (it is {one.value})"
        asked = "" if isinstance(one.asked, (dict, list)) else f" {one.asked}"
        yield f"{'  ' * depth}  {'yes' if one.holds else 'no ':<4}{one.path}{asked}{value}"


def _table(names: Sequence[str], found: Overlap) -> Iterator[str]:
    wide = max(map(len, names), default=0)
    yield f"{'':<{wide}}" + "".join(f"  {number:>8}" for number in range(1, len(names) + 1))
    for number, left in enumerate(names, 1):
        counts = "".join(f"  {found[left, right]:>8,}" for right in names)
        yield f"{left:<{wide}}{counts}  {number}"


def _refreshed(done: Refreshed) -> str:
    return f"{done.whole} segments evaluated; {done.entered:,} entered, {done.exited:,} left."


def _read_members(path: str) -> Members:
    """Members of a file, a line each; empty lines are nobody. Raises BadInput naming the line."""
    content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    name = "standard input" if path == "-" else path
    members: dict[Named, str] = {}
    for number, line in enumerate(content.splitlines(), 1):
        place = f"{name}, line {number}"
        if line.strip():
            members.setdefault(_member(line, place), place)
    return members


def _member(content: bytes, place: str) -> Named:
    try:
        line = content.decode().strip()
        if line.isdigit():
            return ById(whole(line))
    except UnicodeDecodeError:
        raise BadInput(f"{place}: it is not UTF-8.", todo="Save the file as UTF-8.") from None
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}", todo=error.todo) from None
    kind, colon, value = line.rpartition(":")
    return ByIdentifier(kind, value) if colon else ByIdentifier("email", line)


def _member_text(member: Named) -> str:
    return str(member.customer_id) if isinstance(member, ById) else f"{member.kind}:{member.value}"


def _parts(given: Sequence[Named]) -> Iterable[Sequence[Named]]:
    return (given[start : start + MAX_MEMBERS] for start in range(0, len(given), MAX_MEMBERS))
