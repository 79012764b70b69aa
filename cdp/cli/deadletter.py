"""`cdp deadletter`: the records that could not be taken, with their reasons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.cli.session import Session, actor, runs
from cdp.deadletters import (
    MAX_RETRIED,
    DeadLetter,
    Reader,
    Refusal,
    dismiss_letters,
    get_letters,
    list_letters,
    retry_letters,
)
from cdp.deciding import Author
from cdp.delivery import Delivery, Refused
from cdp.sources import PUSHED, get_source
from connectors.generic.file import canonical_row
from connectors.generic.map_file import FileMap, read_map
from connectors.generic.mapping import mapped_again
from connectors.generic.targets import structures_of

DEFAULT_LIMIT: Final = 50
SHOWN_REASONS: Final = 5

_SOURCE = click.option("--source", metavar="NAME", help="Only those of this source.")
_STREAM = click.option("--stream", metavar="STREAM", help="Only those of this stream.")


@click.group("deadletter")
def deadletter() -> None:
    """Records that could not be taken, with their reasons."""


@deadletter.command("list")
@_SOURCE
@_STREAM
@click.option(
    "--resolved", "is_resolved_too", is_flag=True, help="Those taken or dismissed since, too."
)
@click.option("--after", "after_id", default=0, metavar="ID", help="Only those after this id.")
@click.option("--limit", default=DEFAULT_LIMIT, show_default=True, type=click.IntRange(1, 10_000))
@runs
async def list_command(
    session: Session,
    source: str | None,
    stream: str | None,
    is_resolved_too: bool,  # noqa: FBT001 (click passes it by name)
    after_id: int,
    limit: int,
) -> None:
    """List the dead letters, oldest first."""
    async with session.database() as database, database.read_only() as connection:
        if source is not None:
            await get_source(connection, source)
        letters = await list_letters(
            connection,
            source_name=source,
            stream=stream,
            after_id=after_id,
            limit=limit,
            is_resolved_too=is_resolved_too,
        )
    session.show([_facts(letter) for letter in letters], _listed(letters, limit))


@deadletter.command("show")
@click.argument("letter_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")
@runs
async def show_command(session: Session, letter_id: int) -> None:
    """Show one dead letter with the record as it came."""
    async with session.database() as database, database.read_only() as connection:
        (letter,) = await get_letters(connection, [letter_id])
    payload = msgspec.json.format(msgspec.json.encode(letter.payload), indent=2).decode()
    facts = "\n".join(
        f"{name}: {value}" for name, value in _facts(letter).items() if value is not None
    )
    session.show({**_facts(letter), "payload": letter.payload}, f"{facts}\n{payload}")


@deadletter.command("retry")
@click.argument("ids", type=click.IntRange(1, 2**63 - 1), nargs=-1, metavar="[ID]...")
@_SOURCE
@_STREAM
@click.option(
    "--map",
    "map_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The map to read them through (default: that of their source).",
)
@runs
async def retry_command(
    session: Session,
    ids: Sequence[int],
    source: str | None,
    stream: str | None,
    map_path: Path | None,
) -> None:
    """Try letters again: those of the IDs, else all that the options name.

    Letters from files are read again here; what another connector could not take comes again by
    itself when its source is synced with --full, and what was pushed when it is pushed again.
    """
    file_map = read_map(map_path) if map_path else None
    taken, last_id, is_last = 0, 0, False
    elsewhere = Counter[str]()
    refused: dict[int, Refusal] = {}
    async with session.database() as database:
        while not is_last:
            workspace = await session.workspace(database)  # may change from part to part
            async with database.transaction() as connection:
                letters = await (
                    get_letters(connection, ids)
                    if ids
                    else list_letters(
                        connection,
                        source_name=source,
                        stream=stream,
                        after_id=last_id,
                        limit=MAX_RETRIED,
                    )
                )
                from_files = [letter for letter in letters if letter.connector == "file"]
                read = await _reader(connection, from_files, file_map)
                part = await retry_letters(connection, from_files, workspace, read)
            taken += part.taken
            refused |= part.refused
            elsewhere.update(one.connector for one in letters if one.connector != "file")
            is_last = bool(ids) or len(letters) < MAX_RETRIED
            last_id = letters[-1].id if letters else last_id
    result = {"taken": taken, "refused": len(refused), "elsewhere": elsewhere.total()}
    session.show(result, _told(taken, refused, elsewhere))


@deadletter.command("dismiss")
@click.argument("ids", type=click.IntRange(1, 2**63 - 1), nargs=-1, metavar="[ID]...")
@_SOURCE
@_STREAM
@click.option("--reason", required=True, help="Why; it is kept with the letter.")
@runs
async def dismiss_command(
    session: Session, ids: Sequence[int], source: str | None, stream: str | None, reason: str
) -> None:
    """Close letters untaken: those of the IDs, else all that --source and --stream name.

    They stay closed when the same line comes again as it is. Whoever names a dismissed letter to
    retry tries it again.
    """
    author = Author(actor(), reason)
    async with session.database() as database, database.transaction() as connection:
        dismissed = await dismiss_letters(
            connection, author.actor, author.reason, ids=ids, source_name=source, stream=stream
        )
    session.show({"dismissed": dismissed}, f"{dismissed} dismissed.")


async def _reader(
    connection: AsyncConnection, letters: Sequence[DeadLetter], given: FileMap | None
) -> Reader:
    """How to read a letter again: through the map that was given, else its source's, else as is."""
    maps: dict[str, FileMap | None] = {}
    for name in {letter.source for letter in letters}:
        path = (await get_source(connection, name)).settings.get("map")
        maps[name] = given or (read_map(Path(path)) if path else None)

    def read(letter: DeadLetter) -> Sequence[Delivery]:
        payload, file_map = letter.payload, maps[letter.source]
        if isinstance(payload, str):
            return [Refused(letter.stream, letter.key, letter.reason, letter.path, b"null")]
        if file_map is not None:
            return mapped_again(payload, letter.stream, file_map, letter.place)
        row = payload if isinstance(payload, dict) else {}
        return [canonical_row(row, letter.stream, letter.place, structures_of(letter.stream))]

    return read


def _facts(letter: DeadLetter) -> dict[str, object]:
    """Everything but the record itself, which a list has no room for."""
    return {name: value for name, value in asdict(letter).items() if name != "payload"}


def _listed(letters: Sequence[DeadLetter], limit: int) -> str:
    if not letters:
        return "No dead letters."
    lines = [
        f"{letter.id}  {letter.source}  {letter.place}"
        f"{f', column {letter.path}' if letter.path else ''}: {letter.reason}{_closed(letter)}"
        for letter in letters
    ]
    if len(letters) == limit:
        lines.append(f"More may follow: --after {letters[-1].id}.")
    return "\n".join(lines)


def _closed(letter: DeadLetter) -> str:
    """What became of it, for people; empty while it lies here."""
    if letter.resolved_at is None:
        return ""
    if letter.dismissed_by is None:
        return " [taken]"
    return f" [dismissed by {letter.dismissed_by}: {letter.dismissed_reason}]"


def _told(taken: int, refused: Mapping[int, Refusal], elsewhere: Mapping[str, int]) -> str:
    """In words; `elsewhere` counts by connector the letters that are not read again here."""
    lines = [f"{taken} taken, {len(refused)} refused again."]
    lines += [f"  {key}: {reason}" for key, reason in islice(refused.items(), SHOWN_REASONS)]
    pushed = elsewhere.get(PUSHED, 0)
    pulled = sum(elsewhere.values()) - pushed
    if pulled:
        lines.append(f"{pulled} come from a vendor: cdp sync NAME --full reads them again.")
    if pushed:
        lines.append(f"{pushed} were pushed: their sender is to push them again, corrected.")
    return "\n".join(lines)
